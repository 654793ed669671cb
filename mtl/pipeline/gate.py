"""Gate: the decision about a version, made once. The gate decides from the report; a person may be asked to confirm.

A final decision is one object in the store, `releases/{model}/decisions/v{n}/{question}.json`, and is never written
again: whoever decides the same question later (a retried step, a flow that was killed after the answer) finds it. The
question is what was decided about: the report's rules, the policy, and whether a person is asked. Where keys are
trusted, the object is signed, so that nobody else who can write to the store decides.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from mtl import layout
from mtl.config.retrain import RetrainConfig
from mtl.decision import NOBODY, ApprovalResponse, Decision, DecisionState, title
from mtl.errors import NotFoundError, SignatureError
from mtl.evaluation.markdown import escape
from mtl.fingerprint import sha256_json
from mtl.pipeline.records import Evaluation, RegisteredVersion
from mtl.promotion import decide as decide_promotion
from mtl.promotion import policy_from
from mtl.seal import seal, unseal
from mtl.signing.configured import check_document, sign_document
from mtl.workspace import Workspace


def decide(
    workspace: Workspace, config: RetrainConfig, evaluation: Evaluation, registered: RegisteredVersion
) -> Decision:
    """The decision about the version, recorded in its tags: made now, or found.

    `awaits` is what a person must be asked about, None where the gate alone decides. Until the answer is there, the
    version is recorded as waiting.
    """
    decision = _find(workspace, config, evaluation, registered)
    until = None
    if decision is None:
        decision = gate_decision(config, evaluation)
        if decision.promoted and config.gate.approval == "manual":
            champion = evaluation.champion_version
            asked = f"v{registered.version}-against-{'nothing' if champion is None else f'v{champion}'}"
            decision = replace(decision, state=DecisionState.WAITING, awaits=asked)
            until = datetime.now(UTC) + timedelta(hours=config.gate.approval_hours)
        else:
            decision = _keep(workspace, config, evaluation, registered, decision)
    registry = workspace.registry(registered.model)
    registry.record_decision(registered.version, decision, until=until)
    passed = decision.state is not DecisionState.REJECT
    registry.set_tags(registered.version, {"gate": "passed" if passed else "rejected"})
    return decision


def gate_decision(config: RetrainConfig, evaluation: Evaluation) -> Decision:
    """What the gate says about a report: a function of the two alone."""
    champion = evaluation.champion_version
    found = decide_promotion(evaluation.report, policy_from(config.gate), champion_exists=champion is not None)
    return Decision(
        state=DecisionState.PROMOTE if found.promoted else DecisionState.REJECT,
        reasons=(*found.reasons, *evaluation.left_out),
        against=champion,
        policy_version=found.policy_version,
        compared_with=found.compared_with,
    )


def question(registered: RegisteredVersion, decision: Decision, *, reason: str = "") -> str:
    """What the approval form asks, as Markdown. reason: why a person started the retrain."""
    reasons = "\n".join(f"- {escape(reason)}" for reason in decision.reasons)
    report = f"[Read the report]({registered.report_url})"  # as a link: an address in full is wider than the form
    why = f"Started because: {escape(reason)}\n\n" if reason else ""
    return f"Make {registered.name} champion?\n\n{why}{reasons}\n\n{report}"


def conclude(
    workspace: Workspace,
    config: RetrainConfig,
    evaluation: Evaluation,
    registered: RegisteredVersion,
    decision: Decision,
    answer: ApprovalResponse,
) -> Decision:
    """The decision after a person's answer, recorded with the person's name. If nobody answered, it is not final."""
    if answer.by is None:
        state, by = DecisionState.UNANSWERED, NOBODY
    else:
        state, by = DecisionState.APPROVED if answer.approved else DecisionState.REFUSED, answer.by
    said = title(state, by) + (f": {answer.reason}" if answer.reason else "")
    concluded = replace(decision, state=state, by=by, reasons=(said, *decision.reasons), approval=answer, awaits=None)
    if concluded.final:
        concluded = _keep(workspace, config, evaluation, registered, concluded)
    workspace.registry(registered.model).record_decision(registered.version, concluded)
    return concluded


def _key(config: RetrainConfig, evaluation: Evaluation, registered: RegisteredVersion) -> str:
    asked = sha256_json([evaluation.rules, policy_from(config.gate).version, config.gate.approval])
    return layout.decision_key(registered.model, registered.version, asked[:16])


def _find(
    workspace: Workspace, config: RetrainConfig, evaluation: Evaluation, registered: RegisteredVersion
) -> Decision | None:
    key = _key(config, evaluation, registered)
    try:
        data = workspace.store.get(key)
    except NotFoundError:
        return None
    hint = f"delete {key}, and the gate decides about the version again"
    document = unseal(data, key, hint=hint)
    try:
        check_document(document, key, at=document.get("at"))
    except SignatureError as error:
        raise SignatureError(error.message, field=key, hint=hint) from None
    return Decision.from_json(document)


def _keep(
    workspace: Workspace,
    config: RetrainConfig,
    evaluation: Evaluation,
    registered: RegisteredVersion,
    decision: Decision,
) -> Decision:
    """The decision as it stands in the store afterwards: the first, where two are made at once."""
    key, at = _key(config, evaluation, registered), datetime.now(UTC).isoformat()
    document = {"model": registered.model, "version": registered.version, "at": at} | decision.to_json()
    workspace.store.put_if_absent(key, seal(sign_document(document, key, at=at)))
    kept = _find(workspace, config, evaluation, registered)
    assert kept is not None, "it was put just now"
    return kept
