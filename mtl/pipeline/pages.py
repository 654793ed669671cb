"""What MLflow's pages say to a person: a version's description and its run's, written anew with each change of state.

    **v3 waits for a person's approval.** The champion is v2.

    - summarize: rougeLsum is better than the champion's: ...

Everything in it can be had again from the version's tags, its run and the journal, so that whoever changes the state of
a version calls `refresh` afterwards, and a failed call is made up for by the next one (`reconcile/follow-aliases`).
What people write above or below it stays.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping, Sequence

from mtl.decision import DecisionState, predicate
from mtl.errors import MtlError, NotFoundError
from mtl.evaluation.markdown import code, escape
from mtl.layout import release_prefix
from mtl.release.journal import Change, Journal, read_journal
from mtl.tracking.base import NOTE
from mtl.workspace import Workspace

_log = logging.getLogger(__name__)
REPORT_PAGE = "evaluation/report.html"
"""The report among a run's MLflow artifacts."""
PREFECT_RUN, PREFECT_RUN_URL = "prefect_run", "prefect_run_url"
"""Tags of an MLflow run: name and page of the Prefect run that made it."""
_BEGIN, _END = "<!-- mtl: begin -->", "<!-- mtl: end -->"
_LONGEST = 5000  # MLflow's column
_MOST_REASONS, _LONGEST_REASON = 12, 300
_OURS = re.compile(rf"{re.escape(_BEGIN)}.*{re.escape(_END)}", re.DOTALL)


def refresh(workspace: Workspace, model: str, *versions: int | None) -> None:
    """Describe versions of a model as they stand now. A failure is a warning: the pages are news, not state."""
    for version in dict.fromkeys(versions):
        if version is not None:
            try:
                _refresh(workspace, model, version)
            except MtlError as error:
                _log.warning("MLflow's page of %s v%s was not brought up to date: %s", model, version, error.message)


def _refresh(workspace: Workspace, model: str, version: int) -> None:
    tracker, registry = workspace.tracker, workspace.registry(model)
    try:
        info = registry.version(version)
    except NotFoundError:  # deleted by a person
        return
    journal = read_journal(workspace.store, model)
    run = tracker.run_tags(info.run_id) if info.run_id else {}
    release = f"{workspace.settings.store.rstrip('/')}/{release_prefix(model, version)}"
    experiment = tracker.experiment_of(info.run_id) if info.run_id else None
    state = state_words(version, info.decision, info.decision_by)
    report = f"#/experiments/{experiment}/runs/{info.run_id}/artifacts/{REPORT_PAGE}" if experiment else None
    text = description(
        version,
        journal,
        state=state,
        waits=info.decision == DecisionState.WAITING,
        reasons=info.reasons,
        report=report,
        release=release,
        run=run,
    )
    whole = joined(info.description, text)
    if len(whole) > _LONGEST:  # what people wrote is not cut
        whole = joined(info.description, text.partition("\n\n")[0])
    registry.describe(version, whole)
    registry.set_tags(version, promotion_tags(version, journal))
    if info.run_id:
        note = run_note(run, version=f"[{model} v{version}](#/models/{model}/versions/{version}): {state}.")
        whole = joined(run.get(NOTE, ""), note)
        if whole != run.get(NOTE):
            tracker.set_tags(info.run_id, {NOTE: whole})


def description(
    version: int,
    journal: Journal,
    *,
    state: str,
    waits: bool,
    reasons: Sequence[str],
    report: str | None,
    release: str,
    run: Mapping[str, str],
) -> str:
    """The description of a version as Markdown.

    state: as `state_words`. waits: for a person. report: address of its page. release: where its files are. run: tags
    of its MLflow run.
    """
    blocks = [" ".join([f"**{state}.**", *_standing(version, journal)])]
    if waits:
        blocks.append(
            f"To approve or refuse it, open {_prefect_run(run) or 'its Prefect run'} and choose Resume in its menu."
        )
    blocks.append("\n".join(f"- {escape(reason[:_LONGEST_REASON])}" for reason in reasons[:_MOST_REASONS]))
    files = f"release {code(release)} ({code(f'mtl pull v{version} DEST')})"
    blocks.append(" · ".join(filter(None, [f"[Report]({report})" if report else "", files, _prefect_run(run)])))
    return "\n\n".join(filter(None, blocks))


def state_words(version: int, decision: str, by: str) -> str:
    """'v3 was refused by Ann': the decision about a version. The words are those of `mtl.decision`."""
    return f"v{version} {escape(predicate(decision, by))}"


def _standing(version: int, journal: Journal) -> Iterator[str]:
    """Sentences: whether it is or was champion, since when, by whom and why, and who is champion instead."""
    made = _last(change for change in journal.changes if change.version == version != change.replaced)
    if journal.champion == version and made:
        yield f"It is champion since {_when(made)}, {_promoted(made)}."
        return
    left = _last(change for change in journal.changes if change.replaced == version != change.version)
    if left and left.kind == "rollback":
        yield f"It was rolled back on {_when(left)} by {escape(left.actor)}: {_reason(left)}."
    elif left and made:
        yield f"It was champion from {_when(made)} to {_when(left)}."
    yield f"The champion is v{journal.champion}." if journal.champion else "There is no champion yet."


def _promoted(made: Change) -> str:
    """How a version became champion; why, where that was a person's reason and not the gate's, which follow anyway."""
    if made.kind == "rollback":
        return f"by a rollback by {escape(made.actor)} ({_reason(made)})"
    if made.forced:
        return f"promoted by force by {escape(made.actor)} ({_reason(made)})"
    return f"promoted by {escape(made.actor)}"


def _reason(change: Change) -> str:
    return escape(change.reason[:_LONGEST_REASON])


def promotion_tags(version: int, journal: Journal) -> dict[str, str]:
    """Who made a version champion last, when, how and why; nothing for one that never was."""
    made = _last(change for change in journal.changes if change.version == version != change.replaced)
    if made is None:
        return {}
    how = "rollback" if made.kind == "rollback" else "force" if made.forced else "decision"
    return {"promoted_by": made.actor, "promoted_at": made.at, "promoted_how": how, "promoted_reason": made.reason}


def run_note(run: Mapping[str, str], *, version: str = "") -> str:
    """The description of a run. version: what it made and what became of that, if it made one yet."""
    started = f"Started by {escape(run['mlflow.user'])}." if run.get("mlflow.user") else ""
    return "  \n".join(filter(None, [version, _prefect_run(run), started]))


def _prefect_run(run: Mapping[str, str]) -> str:
    name = escape(run.get(PREFECT_RUN, ""))
    if not name:
        return ""
    url = run.get(PREFECT_RUN_URL)
    return f"[Prefect run {name}]({url})" if url else f"Prefect run {name}"


def _last(changes: Iterator[Change]) -> Change | None:
    return next(reversed(list(changes)), None)


def _when(change: Change) -> str:
    return change.at.replace("T", " ").replace("+00:00", " UTC")


def joined(before: str, text: str) -> str:
    """Our part of a description anew, what people wrote around it as it is."""
    ours = f"{_BEGIN}\n\n{text}\n\n{_END}"
    if _OURS.search(before):
        return _OURS.sub(lambda _: ours, before, count=1)
    return f"{ours}\n\n{before}".rstrip()
