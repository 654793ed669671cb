"""Whether a retrain starts from the champion's adapter or makes a full run: a pure function of plain records."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """The version that might be started from, beside the data and configuration of today.

    since_full: versions made since the last full run, refused ones among them. differing: what it was trained with that
    is another today, e.g. `base`. changed: share of the training examples, old and new together, that are not in both
    data sets. held_out: passages that hold out examples today and that it, or a version that it came from, was trained
    on.
    """

    version: int
    since_full: int
    differing: tuple[str, ...] = ()
    changed: float = 0.0
    held_out: int = 0


@dataclass(frozen=True, slots=True)
class Unusable:
    """A version that cannot be started from, and why, as a clause."""

    version: int
    why: str


@dataclass(frozen=True, slots=True)
class StartDecision:
    """warm_from: the version that is started from; None for a full run. reason: a sentence."""

    warm_from: int | None
    reason: str


def obstacle(candidate: Candidate) -> str | None:
    """Why no training can start from this version, whoever asks for it; None if it can."""
    name = f"v{candidate.version}"
    if candidate.differing:
        return f"{name} was trained with another {' and another '.join(candidate.differing)}."
    if candidate.held_out:
        passages = "passage" if candidate.held_out == 1 else "passages"
        return f"{name} was trained on {candidate.held_out} {passages} held out today."
    return None


def choose(candidate: Candidate | Unusable | None, *, full_every: int, full_above: float) -> StartDecision:
    """With `train.from: champion`: the start of a retrain. candidate: the champion; None where there is none yet."""
    if candidate is None:
        return StartDecision(None, "There is no champion yet.")
    name = f"v{candidate.version}"
    if isinstance(candidate, Unusable):
        return StartDecision(None, f"The champion {name} cannot be started from: {candidate.why.rstrip('.')}.")
    if (found := obstacle(candidate)) is not None:
        return StartDecision(None, found)
    changed = f"{candidate.changed:.1%} of the training examples changed since {name}"
    if candidate.changed > full_above:
        return StartDecision(None, f"{changed}, more than the {full_above:.1%} of train.full_above.")
    number = candidate.since_full + 1
    if number >= full_every:
        made = "1 version was" if candidate.since_full == 1 else f"{candidate.since_full} versions were"
        said = f"A full run is due: {made} made since the last one, and train.full_every is {full_every}."
        return StartDecision(None, said)
    return StartDecision(candidate.version, f"{changed}; it is warm start {number} since the last full run.")
