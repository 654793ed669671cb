"""With `gate.rotate`, each week another seeded part of the judging examples judges, of the same size.

The week of a run is written down when it is first evaluated, and stays. So a step that is tried again, a flow that goes
on after a crash and a report that was kept are all about the same examples.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime

from mtl import layout
from mtl.config.retrain import RetrainConfig
from mtl.errors import DamageError, NotFoundError
from mtl.pipeline.judging import Counts
from mtl.seal import seal, unseal
from mtl.store.base import ObjectStore

_log = logging.getLogger(__name__)
ROTATION_NEEDS = "set evaluate.max_examples to fewer than may judge, such as a third of them, or add rows"


def rotation_week(store: ObjectStore, config: RetrainConfig, identity: str, *, now: datetime) -> str | None:
    """The week (of ISO 8601, UTC) whose part of the examples judges a run, None without rotation.

    now: counts only where no week of this run is written down yet.
    """
    if config.gate.rotate == "never":
        return None
    key, today = layout.rotation_key(identity), now.astimezone(UTC).isocalendar()
    ours = seal({"week": f"{today.year}-W{today.week:02}"})
    store.put_if_absent(key, ours)
    try:
        return _week(store, key)
    except DamageError as error:
        _log.warning("%s; %s", error.message, error.hint)
        store.put(key, ours)
        return _week(store, key)


def week_of(store: ObjectStore, identity: str) -> str | None:
    """The week whose part judged a run; None if the whole did, or nobody knows any more."""
    try:
        return _week(store, layout.rotation_key(identity))
    except NotFoundError:
        return None
    except DamageError as error:
        _log.warning("%s; the champion is measured on other examples than at its release", error.message)
        return None


def _week(store: ObjectStore, key: str) -> str:
    return str(unseal(store.get(key), key, hint="the examples of this week judge")["week"])


def never_rotated(config: RetrainConfig, counts: Counts) -> list[str]:
    """One sentence for each task whose examples are the same each week although `gate.rotate` asks for others.

    counts: of the examples that may judge.
    """
    most, split = config.evaluate.max_examples, config.evaluate.split
    if config.gate.rotate == "never":
        return []
    have = {task: splits[split].examples if split in splits else 0 for task, splits in counts.items()}
    bound = "evaluate.max_examples is empty" if most is None else f"evaluate.max_examples is {most}"
    return [
        f"{task}: gate.rotate is {config.gate.rotate}, and the same examples judge each week, because all "
        f"{number} that may judge are evaluated ({bound})"
        for task, number in have.items()
        if most is None or number <= most
    ]
