"""Reproduction: what `mtl reproduce` found, as a sentence and as JSON. Nothing here trains or reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import zip_longest
from typing import Any

BIT_EQUAL, DIFFERS, NOT_TRAINED = "bit-equal", "differs", "not trained"
EXIT_DIFFERS = 3
"""Exit code of the command where the version was not, or could not be, trained again bit for bit."""
_NAMED = 4


@dataclass(frozen=True, slots=True)
class Difference:
    """A field that is not as it was when the version was trained.

    decides: the weights depend on it by the run's identity; of another one, such as a package that training does not
    import, they may not. hint: what to do about it.
    """

    field: str
    recorded: str
    found: str
    decides: bool = True
    hint: str | None = None

    def __str__(self) -> str:
        return f"{self.field} (recorded {self.recorded}, found {self.found})"


@dataclass(frozen=True, slots=True)
class FirstStep:
    """The first optimizer step whose loss differs; None for a loss where one of both trainings had no such step."""

    step: int
    recorded: float | None
    found: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reproduction:
    """found: sha256 of the adapter of the second training, None where nothing was trained."""

    model: str
    version: int
    identity: str
    recorded: str
    found: str | None
    steps: int
    first: FirstStep | None
    differences: tuple[Difference, ...]
    seconds: float

    @property
    def result(self) -> str:
        if self.found is None:
            return NOT_TRAINED
        return BIT_EQUAL if self.found == self.recorded else DIFFERS

    @property
    def exit_code(self) -> int:
        """Of the command: 0 for bit-equal and, where nothing was trained, for nothing that decides and differs."""
        differs = any(item.decides for item in self.differences) if self.found is None else self.result == DIFFERS
        return EXIT_DIFFERS if differs else 0

    def to_json(self) -> dict[str, Any]:
        """The document of `mtl reproduce --json`."""
        return {
            "model": self.model,
            "version": self.version,
            "identity": self.identity,
            "result": self.result,
            "adapter_sha256": {"recorded": self.recorded, "found": self.found},
            "differences": [asdict(item) for item in self.differences],
            "first_step": asdict(self.first) if self.first else None,
            "steps": self.steps,
            "seconds": self.seconds,
        }

    def sentence(self) -> str:
        """The result for a person."""
        name, named = f"{self.model} v{self.version}", _named(self.differences)
        if self.result == BIT_EQUAL:
            although = f", although these differ: {named}" if named else ""
            return (
                f"{name} is bit-equal: trained again, its adapter has the same sha256 {self.recorded[:12]}{although}."
            )
        if self.result == NOT_TRAINED:
            return f"{name} was not trained again; {f'these differ: {named}' if named else 'nothing differs so far'}."
        cause = f"these differ: {named}" if named else "nothing else that was recorded differs"
        return f"{name} differs: {self._began()}; {cause}."

    def _began(self) -> str:
        if self.first is None:
            return f"the losses of all {self.steps} steps are equal, but not the adapter"
        if self.first.recorded is None or self.first.found is None:
            return f"one of the two trainings ended before step {self.first.step}, and the losses before it are equal"
        return (
            f"the first step whose loss differs is {self.first.step} of {self.steps} "
            f"(recorded {self.first.recorded!r}, found {self.first.found!r})"
        )


def _named(differences: Sequence[Difference]) -> str:
    """The differences in words, those that decide first; of many only the first ones."""
    ordered = sorted(differences, key=lambda item: not item.decides)
    shown = [item for number, item in enumerate(ordered) if item.decides or number < _NAMED]
    more = len(ordered) - len(shown)
    return ", ".join([*map(str, shown), *([f"and {more} more (--json lists them)"] if more else [])])


def first_difference(recorded: Sequence[float | None], found: Sequence[float | None]) -> FirstStep | None:
    """The first step whose losses differ, in the last bit or more. A step that was not measured says nothing."""
    for step, (before, now) in enumerate(zip_longest(recorded, found, fillvalue=...), start=1):
        if before is ... or now is ...:
            return FirstStep(step, *(None if loss is ... else loss for loss in (before, now)))
        if before is not None and now is not None and before != now:
            return FirstStep(step, before, now)
    return None
