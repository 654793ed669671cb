"""Which logged texts a report is about, in sentences for people. See `mtl.evaluation.traffic`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mtl.evaluation.report import CHAMPION, EvalReport
from mtl.traffic.sample import LeftOut

SAMPLE = "sample"
"""Of the report's `settings`: the `TrafficSample` without its ids, and how many of its texts the log has no longer."""

_WHY = {
    LeftOut.UNKNOWN_TASK: "of a task that is not trained here",
    LeftOut.NEEDS_REFERENCE: "of a task without a metric that needs no reference",
    LeftOut.BAD_REQUEST: "with a request that the task does not take",
    LeftOut.REPEATED: "with a text that was sent more than once, which counts once",
    LeftOut.TRAINED: "with a text of the training data",
    LeftOut.HELD_OUT: "with a text of the held-out examples",
    LeftOut.TOO_LONG: "longer than data.max_input_tokens",
    LeftOut.NOT_DRAWN: "more than evaluate.traffic_examples",
}


def logged_sentences(report: EvalReport) -> Iterator[str]:
    """What was taken and what was left out. report: the one about logged texts."""
    sample: Mapping[str, Any] = report.settings[SAMPLE]
    when = f"from {sample['since'][:16]} to {sample['until'][:16]} UTC"
    if sample["fault"]:
        yield f"The request log could not be read, so that no logged text was answered: {sample['fault']}."
        return
    if not sample["logged"] and not sample["damaged"]:
        yield f"No request was logged {when}. mtl serve logs requests only if MTL_TRAFFIC_LOG is set."
        return
    taken = ", ".join(f"{number} of {task}" for task, number in report.examples.items())
    texts = (
        f"{sum(report.examples.values())} texts were answered again ({taken})" if taken else "none is answered again"
    )
    yield f"Of {sample['logged']:,} requests logged {when}, {texts}."
    if days := ", ".join(f"{number} of {day}" for day, number in sample["days"].items()):
        yield f"By day: {days}."
    if left := [f"{sample['left_out'][why]:,} {words}" for why, words in _WHY.items() if why in sample["left_out"]]:
        yield f"Requests left out: {', '.join(left)}."
    if sample["damaged"]:
        yield f"Parts of the request log that are damaged and were left out: {sample['damaged']}."
    if sample["expired"]:
        yield f"Texts that the log has no longer: {sample['expired']}."
    if CHAMPION not in report.models:
        yield "There was no champion to compare with."
    yield (
        "They have no references, so only metrics that need none are shown. The texts and their answers are people's "
        "and are shown nowhere."
    )
