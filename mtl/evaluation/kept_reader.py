"""A reader that reads what is not kept, in the calls that `mtl.evaluation.groups` fixes; loaded when it has to read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from mtl.evaluation.groups import groups_of, most_of
from mtl.evaluation.identity import machine_identity, model_identity, reader_identity
from mtl.evaluation.kept import KeptAnswers
from mtl.evaluation.reader import BASE, Probabilities, Reader, load_reader, reader_folder, reader_ref
from mtl.evaluation.report import Origin
from mtl.fingerprint import canonical_json
from mtl.progress import report as report_progress
from mtl.store.base import ObjectStore
from mtl.task import ReadingQuestion


class KeptReader:
    """Answers of a reader. load: called when a question must be read. limits: as the reader has them."""

    def __init__(
        self, name: str, load: Callable[[], Reader], kept: KeptAnswers, *, max_input_tokens: int, batch_tokens: int
    ) -> None:
        self.name, self._load, self._kept = name, load, kept
        self._limits = {"max_input_tokens": max_input_tokens, "batch_tokens": batch_tokens}
        self._answered = self._taken = 0

    @property
    def origin(self) -> Origin:
        """How many questions were answered, and how many of the answers were kept."""
        return Origin(self._answered, self._taken)

    def __call__(self, questions: Sequence[ReadingQuestion], *, passage: bool) -> list[Probabilities]:
        """The probabilities of each question's options. Keys and labels do not matter to a reader."""
        texts = [_text(question, passage=passage) for question in questions]
        asked = dict(zip(texts, questions, strict=True))
        distinct = list(asked)
        found: dict[str, Probabilities] = {}
        for group in groups_of(distinct, most=most_of(**self._limits)):
            inputs = [distinct[index] for index in group]
            own = [asked[text] for text in inputs]
            answers, kept = self._kept.answers(
                {"kind": "read", "passage": passage, **self._limits},
                inputs,
                lambda own=own: self._reader(own, passage=passage),  # type: ignore[misc]
                kind=list[Probabilities],
            )
            found |= zip(inputs, answers, strict=True)
            self._answered += len(inputs)
            self._taken += len(inputs) if kept else 0
            report_progress("evaluate", len(found), len(distinct), f"{self.name} reads")
        return [found[text] for text in texts]

    @cached_property
    def _reader(self) -> Reader:
        return self._load()


def open_reader(
    name: str,
    revision: str | None,
    *,
    candidate: Path,
    max_input_tokens: int,
    batch_tokens: int,
    store: ObjectStore | None,
) -> KeptReader:
    """The reader that `load_reader` loads, and that is not loaded if all of its answers are kept.

    Errors: those of `load_reader`, of which some come when it is first needed.
    """
    limits: Mapping[str, Any] = {"max_input_tokens": max_input_tokens, "batch_tokens": batch_tokens}
    folder = reader_folder(name, candidate=candidate)
    model = (
        reader_identity(reader_ref(name, revision)) if folder is None else model_identity(folder, trained=name != BASE)
    )
    kept = KeptAnswers(store, model | machine_identity("torch", "auto"))
    return KeptReader(name, lambda: load_reader(name, revision, candidate=candidate, **limits), kept, **limits)


def _text(question: ReadingQuestion, *, passage: bool) -> str:
    """What a reader is given, as one text."""
    return canonical_json([question.passage if passage else "", question.question, question.options]).decode()
