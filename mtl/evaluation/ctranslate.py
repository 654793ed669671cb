"""CTranslate2 as engine (optional: `pip install mtl-retrain[fast]`): the merged model converted, greedy, on the CPU.

float32 writes the tokens that transformers writes; int8 (weights and products in 8 bits) is faster and only nearly so.
https://opennmt.net/CTranslate2
"""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch

Compute = Literal["float32", "int8"]


def available() -> bool:
    """Whether the extra is installed."""
    return importlib.util.find_spec("ctranslate2") is not None


class CTranslatePredictor:
    """A merged T5 and its tokenizer, converted once; the model given is not kept.

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
    ) -> None:
        import ctranslate2

        self._tokenizer = tokenizer
        self._max_input_tokens = max_input_tokens
        self._batch_tokens = batch_tokens
        self._threads = threads or torch.get_num_threads()
        with tempfile.TemporaryDirectory(prefix="mtl-ct2-") as folder:
            converted = _convert(model, tokenizer, Path(folder), compute=compute)
            torch_threads = torch.get_num_threads()
            self._translator = ctranslate2.Translator(
                str(converted),
                device="cpu",
                compute_type=compute,
                inter_threads=self._threads,
                intra_threads=1,
            )
            torch.set_num_threads(torch_threads)  # the translator's intra_threads would be torch's too from now on

    def __call__(self, inputs: Sequence[str], *, max_new_tokens: int) -> list[str]:
        """One text for each input, in the order of the inputs; equal inputs are answered once."""
        distinct = list(dict.fromkeys(inputs))
        if not distinct:
            return []
        rows = self._tokenizer(distinct, truncation=True, max_length=self._max_input_tokens)["input_ids"]
        found = self._translator.translate_batch(
            [self._tokenizer.convert_ids_to_tokens(row) for row in rows],
            beam_size=1,
            max_decoding_length=max_new_tokens,
            max_input_length=0,
            max_batch_size=batch_size([len(row) for row in rows], most=self._batch_tokens, threads=self._threads),
            batch_type="tokens",
        )
        ids = [self._tokenizer.convert_tokens_to_ids(result.hypotheses[0]) for result in found]
        texts = self._tokenizer.batch_decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        answers = dict(zip(distinct, texts, strict=True))
        return [answers[text] for text in inputs]


def batch_size(lengths: Sequence[int], *, most: int, threads: int) -> int:
    """Tokens of one batch: few enough that every thread gets one, at least the longest input, and at most `most`."""
    return max(*lengths, min(most, -(-sum(lengths) // threads)), 1)


def _convert(model: Any, tokenizer: Any, folder: Path, *, compute: Compute) -> Path:
    """The model as CTranslate2 reads it, in a folder below `folder`."""
    from ctranslate2.converters import TransformersConverter

    source = folder / "merged"
    model.save_pretrained(source)
    tokenizer.save_pretrained(source)
    converted = folder / "converted"
    TransformersConverter(str(source)).convert(str(converted), quantization=compute)
    return converted
