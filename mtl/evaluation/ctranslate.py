"""CTranslate2 as engine, where there is a wheel of it: the merged model converted, on the CPU.

float32 writes the tokens that transformers writes; int8 (weights and products in 8 bits) is faster and only nearly so.
https://opennmt.net/CTranslate2
"""

from __future__ import annotations

import importlib.util
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch

from mtl.decoding import GREEDY, TOP, Decoding, seed_of

Compute = Literal["float32", "int8"]
_SEEDING = threading.Lock()
"""The seed of CTranslate2's sampling belongs to the whole process."""


def available() -> bool:
    """Whether it is installed: it has no wheel for every processor."""
    return importlib.util.find_spec("ctranslate2") is not None


class CTranslatePredictor:
    """A merged T5 and its tokenizer, converted once; the model given is not kept. draws: `draw` will be called.

    batch_tokens: padded source tokens of one batch. threads: batches at a time, each on one core (a batch on several
    cores leaves them half idle); default: torch's threads.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        max_input_tokens: int,
        batch_tokens: int,
        compute: Compute = "float32",
        threads: int | None = None,
        draws: bool = False,
    ) -> None:
        self._tokenizer = tokenizer
        self._max_input_tokens = max_input_tokens
        self._batch_tokens = batch_tokens
        self._threads = threads or torch.get_num_threads()
        self._compute = compute
        folder = tempfile.TemporaryDirectory(prefix="mtl-ct2-")
        self._converted = _convert(model, tokenizer, Path(folder.name), compute=compute)
        self._translator = self._load(batches=self._threads, cores=1)
        self._folder = folder if draws else None  # kept as long as this object
        if not draws:
            folder.cleanup()

    def _load(self, *, batches: int, cores: int) -> Any:
        """A translator that works on so many batches at a time, each on so many cores."""
        import ctranslate2

        torch_threads = torch.get_num_threads()
        translator = ctranslate2.Translator(
            str(self._converted),
            device="cpu",
            compute_type=self._compute,
            inter_threads=batches,
            intra_threads=cores,
        )
        torch.set_num_threads(torch_threads)  # the translator's intra_threads would be torch's too from now on
        return translator

    def __call__(self, inputs: Sequence[str], *, max_new_tokens: int, decoding: Decoding = GREEDY) -> list[str]:
        """One text for each input, in the order of the inputs; equal inputs are answered once."""
        distinct = list(dict.fromkeys(inputs))
        if not distinct:
            return []
        rows = self._rows(distinct)
        most = max(1, self._batch_tokens // decoding.num_beams)
        found = self._translator.translate_batch(
            rows,
            beam_size=decoding.num_beams,
            length_penalty=decoding.length_penalty,
            max_decoding_length=max_new_tokens,
            max_input_length=0,
            max_batch_size=batch_size([len(row) for row in rows], most=most, threads=self._threads),
            batch_type="tokens",
        )
        answers = dict(zip(distinct, self._texts([result.hypotheses[0] for result in found]), strict=True))
        return [answers[text] for text in inputs]

    def draw(self, inputs: Sequence[str], count: int, *, max_new_tokens: int) -> list[list[str]]:
        """`count` texts for each input, the first of them greedy, the others sampled; the same every time."""
        greedy = self(inputs, max_new_tokens=max_new_tokens)
        sampled = {text: self._sample(text, count - 1, max_new_tokens) for text in dict.fromkeys(inputs)}
        return [[first, *sampled[text]] for first, text in zip(greedy, inputs, strict=True)]

    def _sample(self, text: str, count: int, max_new_tokens: int) -> list[str]:
        """A translator of its own for each text: its threads draw from generators that are seeded when they start, and
        then go on from text to text."""
        import ctranslate2

        if count < 1:
            return []
        with _SEEDING:
            ctranslate2.set_random_seed(seed_of(text) % 2**32)
            (found,) = self._load(batches=1, cores=self._threads).translate_batch(
                self._rows([text]),
                beam_size=1,
                num_hypotheses=count,
                sampling_topk=TOP,
                max_decoding_length=max_new_tokens,
                max_input_length=0,
            )
        return self._texts(found.hypotheses)

    def _rows(self, texts: Sequence[str]) -> list[list[str]]:
        rows = self._tokenizer(list(texts), truncation=True, max_length=self._max_input_tokens)["input_ids"]
        return [self._tokenizer.convert_ids_to_tokens(row) for row in rows]

    def _texts(self, rows: Sequence[Sequence[str]]) -> list[str]:
        ids = [self._tokenizer.convert_tokens_to_ids(row) for row in rows]
        texts: list[str] = self._tokenizer.batch_decode(
            ids, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return texts


def batch_size(lengths: Sequence[int], *, most: int, threads: int) -> int:
    """Tokens of one batch: few enough that every thread gets one, at least the longest input, and at most `most`."""
    return max(*lengths, min(most, -(-sum(lengths) // threads)), 1)


def _convert(model: Any, tokenizer: Any, folder: Path, *, compute: Compute) -> Path:
    """The model as CTranslate2 reads it, in a folder below `folder`."""
    from ctranslate2.converters import TransformersConverter
    from ctranslate2.specs.model_spec import OPTIONAL

    class Converter(TransformersConverter):  # type: ignore[misc, unused-ignore]
        """Scales the logits as the model does: the library looks at `tie_word_embeddings`, which transformers 5 holds
        to be true of every T5. Greedy answers are the same either way; probabilities, and so beams, are not.
        """

        def _load(self) -> Any:
            spec = super()._load()
            if not model.config.scale_decoder_outputs:
                spec.decoder.scale_outputs = OPTIONAL
            return spec

    source = folder / "merged"
    model.save_pretrained(source)
    tokenizer.save_pretrained(source)
    converted = folder / "converted"
    Converter(str(source)).convert(str(converted), quantization=compute)
    return converted
