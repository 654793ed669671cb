"""Metrics that a task with questions gets from a reader, a model that answers the questions (`mtl.evaluation`).

They stand here, without a reader, for all that must know their names: the checks of the task table, and the gate, which
has to decide by other metrics where no reader that is good enough answered the questions.
"""

from __future__ import annotations

from mtl.task import CONSISTENT, Metric

USABLE = "usable"
LOST = ("lost_unread", "lost_level", "lost_repeated", "lost_key")
"""Why the other requested questions cannot be used. Together with `usable`, they sum to 1 in each example."""
GUESSABLE = "guessable"
_OF_LABEL = f"{USABLE}_"

READING_METRICS = (
    Metric(
        USABLE,
        source="share of the requested questions that can be used as they are: well formed, four distinct options, of "
        "a requested difficulty, not asked before, and the reader picks the key",
        deviation=0.35,
        needs_reference=False,
    ),
    Metric(
        "lost_unread",
        higher_is_better=None,
        source="share of the requested questions that cannot be read",
        needs_reference=False,
    ),
    Metric(
        "lost_level",
        higher_is_better=None,
        source="the same: the question is of a difficulty not asked for",
        needs_reference=False,
    ),
    Metric(
        "lost_repeated",
        higher_is_better=None,
        source="the same: an earlier question or an option is repeated",
        needs_reference=False,
    ),
    Metric(
        "lost_key",
        higher_is_better=None,
        source="the same: the reader, given the passage, picks another option",
        needs_reference=False,
    ),
    Metric(
        "answerable",
        source="share of questions whose key the reader picks; chance 0.25 (Raina and Gales 2022)",
        needs_reference=False,
    ),
    Metric(
        GUESSABLE,
        higher_is_better=False,
        source="the same without the passage (Liusie, Raina and Gales 2023, world knowledge in reading comprehension)",
        needs_reference=False,
    ),
    Metric(
        "passage_gain", low=-1.0, source="answerable - guessable: what the passage is needed for", needs_reference=False
    ),
)
_NAMES = frozenset(metric.name for metric in READING_METRICS)


def usable_of(label: str) -> Metric:
    """`usable` among the requested questions of one label (a difficulty): `usable_Hard`."""
    return Metric(
        f"{_OF_LABEL}{label}", source=f"usable, of the questions requested of {label} alone", needs_reference=False
    )


def needs_reader(metric: str) -> bool:
    """Whether a metric of this name comes from a reader."""
    return metric in _NAMES or metric == CONSISTENT.name or metric.startswith(_OF_LABEL)
