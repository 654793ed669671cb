"""What logged texts say against a candidate: metrics on which it is clearly worse than the champion, a sentence each.

The rule is that of the other guards: the whole interval below -margin, from as many pairs. A metric that could not be
looked at does not stand against the candidate, but never passes in silence: a sentence says why.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from mtl.evaluation.logged import SAMPLE
from mtl.evaluation.report import CANDIDATE, CHAMPION, EvalReport
from mtl.metrics.reading import needs_reader
from mtl.promotion.objections import gain, values_of
from mtl.promotion.policy import PromotionPolicy, guarded_from, margin_of, trusts_reader


def worse_on_traffic(report: EvalReport, policy: PromotionPolicy) -> Iterator[str]:
    """What stands against the candidate."""
    traffic = report.traffic
    for task, name in _guards(policy):
        if traffic is None or _unlooked(report, policy, task, name) is not None:
            continue
        compared = traffic.comparison(CHAMPION, task, name)
        if _broken(traffic, task, name) or compared is None:
            yield f"{task}: the difference in {name} on logged texts to the champion is not a finite number."
        elif traffic.mean(CANDIDATE, task, name) is None:
            yield f"{task}: {name} on logged texts is missing for the candidate, and the champion has one."
        elif gain(traffic, compared)[2] < -margin_of(traffic, policy, task, name):
            yield f"{task}: {name} is clearly worse on logged texts: {values_of(traffic, compared)}."


def unguarded_on_traffic(report: EvalReport, policy: PromotionPolicy) -> Iterator[str]:
    """Which of the guards were not looked at, and why."""
    for task, name in _guards(policy):
        why = _unlooked(report, policy, task, name)
        if why is not None:
            yield f"{task}: {name} was not guarded on logged texts: {why}."


def _guards(policy: PromotionPolicy) -> Iterator[tuple[str, str]]:
    return ((task, name) for task, names in policy.traffic_guard.items() for name in names)


def _unlooked(report: EvalReport, policy: PromotionPolicy, task: str, name: str) -> str | None:
    """Why a guard says nothing; None if it can be looked at."""
    traffic = report.traffic
    if traffic is None:
        return "the report has none"
    if fault := traffic.settings[SAMPLE]["fault"]:
        return f"the request log could not be read ({fault})"
    if CHAMPION not in traffic.models:
        return "there is no champion to compare with"
    if task not in traffic.metrics:
        return f"none is of {task}"
    if traffic.metric(task, name) is None:
        return "it was not measured"
    if needs_reader(name) and not trusts_reader(report, policy):
        return "it comes from a reader that is not good enough"
    if _broken(traffic, task, name):
        return None
    compared, least = traffic.comparison(CHAMPION, task, name), guarded_from(policy)
    assert compared is not None, "both models are in the report"
    if compared.n >= least or (traffic.mean(CANDIDATE, task, name) is None and compared.unpaired >= least):
        return None
    return f"only {compared.n} have a value for both models, and a guard needs {least}"


def _broken(traffic: EvalReport, task: str, name: str) -> bool:
    means = (traffic.mean(model, task, name) for model in (CANDIDATE, CHAMPION))
    return any(mean is not None and not math.isfinite(mean) for mean in means)
