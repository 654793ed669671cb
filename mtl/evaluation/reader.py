"""Readers: models that answer multiple-choice questions with a probability for each option. Deterministic, in batches.

A T5 is given a question-answering prompt and each option as its answer; a model with a multiple-choice head (RACE
readers on the Hub) scores the four pairs of passage and question with option.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from torch.nn.functional import cross_entropy, log_softmax, softmax
from transformers.cache_utils import EncoderDecoderCache

from mtl.errors import ModelError
from mtl.evaluation.predictor import Precision, plan_batches, prepared
from mtl.model.base import FAMILY, BaseRef, load_base, locate
from mtl.model.load import MODEL_FILE, load_for_generation, load_spec, load_untrained
from mtl.model.precision import device_kind, use_bf16
from mtl.model.tokenizer import load_tokenizer
from mtl.progress import report as report_progress
from mtl.task import ReadingQuestion

OWN, BASE = "candidate", "base"
"""Names of readers that need no other model: the candidate, and its base."""

_LOGITS = 64 * 32_128
"""Most questions of one batch, times the vocabulary: the options' likelihoods hold a float for each of its entries."""


Probabilities = tuple[float, ...]
"""One for each option of a question, in the order of the options; their sum is 1."""


class Reader(Protocol):
    """A model that says how likely it holds each of a question's options to be the answer."""

    @property
    def name(self) -> str:
        """What the report calls it."""
        ...

    def __call__(self, questions: Sequence[ReadingQuestion], *, passage: bool) -> list[Probabilities]:
        """The probabilities of each question's options, with the passage or without it; the same every time."""
        ...


class T5Reader:
    """A T5 with a question-answering prompt.

    The probabilities are the softmax of the options' mean log-likelihood for each of their tokens, so that long options
    are not at a disadvantage.
    """

    def __init__(self, name: str, model: Any, tokenizer: Any, *, max_input_tokens: int, batch_tokens: int) -> None:
        device = device_kind()
        self.name = name
        self._model, self._tokenizer = model.to(device), tokenizer
        self._max_input_tokens, self._batch_tokens = max_input_tokens, batch_tokens
        bf16 = use_bf16("auto", d_model=model.config.d_model, device=device)
        self._precision: Precision = "bf16" if bf16 else "fp32"

    def __call__(self, questions: Sequence[ReadingQuestion], *, passage: bool) -> list[Probabilities]:
        prompts = [prompt(question, passage=passage) for question in questions]
        if not prompts:
            return []
        ids = self._tokenizer(prompts, truncation=True, max_length=self._max_input_tokens)["input_ids"]

        def read(batch: Sequence[int]) -> list[Probabilities]:
            return self._read([ids[i] for i in batch], [questions[i].options for i in batch])

        with prepared(self._model, self._precision):
            lengths, most = [len(row) for row in ids], max(1, _LOGITS // self._model.config.vocab_size)
            return _in_batches(read, lengths, rows=most, batch_tokens=self._batch_tokens, name=self.name)

    def _read(self, rows: Sequence[Sequence[int]], options: Sequence[Sequence[str]]) -> list[Probabilities]:
        """The probabilities of each row. What does not depend on the option is computed once for all options of a row:
        the encoder, the decoder's keys and values of it, and the first step of the decoder.
        """
        model = self._model
        batch = self._tokenizer.pad({"input_ids": list(rows)}, return_tensors="pt").to(model.device)
        start = torch.full((len(rows), 1), model.config.decoder_start_token_id, device=model.device)
        first = model(**batch, decoder_input_ids=start, use_cache=True)
        owners = [row for row, texts in enumerate(options) for _ in texts]
        answers = self._tokenizer([text for texts in options for text in texts])["input_ids"]
        begun = log_softmax(first.logits[:, 0].float(), dim=-1)
        sums = begun[owners, [ids[0] for ids in answers]]
        for chosen in _alike([len(ids) - 1 for ids in answers]):
            own = torch.tensor([owners[index] for index in chosen], device=model.device)
            past = [[part[own] for part in layer if part is not None] for layer in first.past_key_values]
            sums[chosen] += self._rest(
                [answers[index] for index in chosen],
                EncoderDecoderCache(past),
                first.encoder_last_hidden_state[own],
                batch["attention_mask"][own],
            )
        means = sums / torch.tensor([len(ids) for ids in answers], device=model.device)
        counts = [len(texts) for texts in options]
        return [tuple(softmax(row.double(), dim=0).tolist()) for row in torch.split(means, counts)]

    def _rest(self, ids: Sequence[Sequence[int]], past: Any, hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """The log-likelihood of each option but for its first token, which `past` does not hold yet."""
        tokens = self._tokenizer.pad({"input_ids": list(ids)}, return_tensors="pt").to(hidden.device)
        labels = tokens["input_ids"].masked_fill(tokens["attention_mask"] == 0, -100)[:, 1:]
        logits = self._model(
            encoder_outputs=(hidden,),
            attention_mask=mask,
            decoder_input_ids=tokens["input_ids"][:, :-1],
            past_key_values=past,
            use_cache=True,
        ).logits
        return -cross_entropy(logits.float().transpose(1, 2), labels, reduction="none").sum(dim=1)


def _alike(lengths: Sequence[int]) -> list[list[int]]:
    """Indices in groups of about the same length, so that little of a group is padding; those of length 0 in none."""
    groups: dict[int, list[int]] = {}
    for index, length in enumerate(lengths):
        if length:
            groups.setdefault(math.ceil(math.log(length, 1.5)), []).append(index)
    return [groups[size] for size in sorted(groups)]


class AdapterOffReader:
    """The base of a model with its adapter, read with the adapter off: the same weights in memory, and no others."""

    name = BASE

    def __init__(self, model: Any, tokenizer: Any, *, max_input_tokens: int, batch_tokens: int) -> None:
        self._model = model
        self._reader = T5Reader(BASE, model, tokenizer, max_input_tokens=max_input_tokens, batch_tokens=batch_tokens)

    def __call__(self, questions: Sequence[ReadingQuestion], *, passage: bool) -> list[Probabilities]:
        with self._model.disable_adapter():
            return self._reader(questions, passage=passage)


class MultipleChoiceReader:
    """A model with a multiple-choice head: the probabilities are the softmax of its scores for the options."""

    def __init__(self, name: str, model: Any, tokenizer: Any, *, max_input_tokens: int, batch_tokens: int) -> None:
        self.name = name
        self._model, self._tokenizer = model.to(device_kind()), tokenizer
        self._max_input_tokens, self._batch_tokens = max_input_tokens, batch_tokens

    def __call__(self, questions: Sequence[ReadingQuestion], *, passage: bool) -> list[Probabilities]:
        most = max((len(question.options) for question in questions), default=0)
        lengths = [most * min(len(_plain(q, passage=passage)), self._max_input_tokens) for q in questions]

        def read(batch: Sequence[int]) -> list[Probabilities]:
            return self._read([questions[i] for i in batch], most, passage=passage)

        with prepared(self._model, "fp32"):
            return _in_batches(read, lengths, rows=None, batch_tokens=self._batch_tokens, name=self.name)

    def _read(self, questions: Sequence[ReadingQuestion], most: int, *, passage: bool) -> list[Probabilities]:
        """The probabilities of each question. A question with fewer options gets empty ones, which are left out."""
        texts = [question.passage if passage else "" for question in questions for _ in range(most)]
        filled = [(*question.options, *[""] * (most - len(question.options))) for question in questions]
        answers = [
            f"{question.question} {option}" for question, row in zip(questions, filled, strict=True) for option in row
        ]
        batch = self._tokenizer(
            texts,
            answers,
            truncation="longest_first",  # the passage, where it is long
            max_length=self._max_input_tokens,
            padding=True,
            return_tensors="pt",
        ).to(self._model.device)
        shaped = {name: value.view(len(questions), most, -1) for name, value in batch.items()}
        scores = self._model(**shaped).logits.double()
        rows = zip(questions, scores, strict=True)
        return [tuple(softmax(row[: len(question.options)], dim=0).tolist()) for question, row in rows]


def prompt(question: ReadingQuestion, *, passage: bool) -> str:
    """What a T5 is asked. The passage stands last, so that cutting a long one leaves the question whole."""
    asked = f"Answer the question. {question.question}"
    return f"{asked} Text: {question.passage}" if passage else asked


def load_reader(
    name: str, revision: str | None, *, candidate: Path, max_input_tokens: int, batch_tokens: int
) -> Reader:
    """The reader called `candidate`, `base` (the candidate's), or a folder or Hub name with its revision.

    A folder may be a trained model of this project, a T5 or a model with a multiple-choice head.
    Errors: NotFoundError, ModelError (neither of these, or a Hub name without a revision).
    """
    limits = {"max_input_tokens": max_input_tokens, "batch_tokens": batch_tokens}
    folder = reader_folder(name, candidate=candidate)
    if folder is not None:
        spec = load_spec(folder)
        load = load_untrained if name == BASE else load_for_generation
        return T5Reader(name, *load(spec.base, spec.revision, folder), **limits)
    ref = reader_ref(name, revision)
    if any(kind.endswith("ForMultipleChoice") for kind in ref.config.get("architectures") or ()):
        return MultipleChoiceReader(name, *_multiple_choice(ref), **limits)
    if ref.config.get("model_type") in FAMILY:
        return T5Reader(name, load_base(ref).eval(), load_tokenizer(ref.location, [], revision=ref.revision), **limits)
    raise ModelError(
        f"reader {name!r} is of type {ref.config.get('model_type')!r} and has no multiple-choice head",
        field="evaluate.reader",
        hint="give a T5, a model whose architecture ends in ForMultipleChoice, candidate, base or none",
    )


def reader_folder(name: str, *, candidate: Path) -> Path | None:
    """The folder of the trained model that the reader `name` stands for; None if it is another model."""
    folder = candidate if name in (OWN, BASE) else Path(name)
    return folder if (folder / MODEL_FILE).is_file() else None


def reader_ref(name: str, revision: str | None) -> BaseRef:
    """A reader that is no trained model of this project. Errors: NotFoundError, ModelError."""
    return locate(name, revision, what="reader", field="evaluate.reader", revision_field="evaluate.reader_revision")


def _multiple_choice(ref: BaseRef) -> tuple[Any, Any]:
    from safetensors import SafetensorError
    from transformers import AutoModelForMultipleChoice, AutoTokenizer

    options = {"revision": ref.revision, "trust_remote_code": False}
    try:
        tokenizer = AutoTokenizer.from_pretrained(ref.location, **options)
        model = AutoModelForMultipleChoice.from_pretrained(ref.location, use_safetensors=True, **options)
    except (OSError, ValueError, SafetensorError) as error:
        raise ModelError(f"reader {ref.name!r} cannot be loaded: {error}", field="evaluate.reader") from None
    return model.eval(), tokenizer


def _in_batches(
    read: Callable[[Sequence[int]], list[Probabilities]],
    lengths: Sequence[int],
    *,
    rows: int | None,
    batch_tokens: int,
    name: str,
) -> list[Probabilities]:
    """What `read` says of each index, asked in batches of like length."""
    found: list[Probabilities] = [()] * len(lengths)
    done = 0
    for batch in plan_batches(lengths, batch_tokens=batch_tokens, rows=rows):
        for index, probabilities in zip(batch, read(batch), strict=True):
            found[index] = probabilities
        done += len(batch)
        report_progress("evaluate", done, len(lengths), f"{name} reads")
    return found


def _plain(question: ReadingQuestion, *, passage: bool) -> list[str]:
    """About the tokens of one question with one option."""
    return f"{question.passage if passage else ''} {question.question} {question.options[0]}".split()
