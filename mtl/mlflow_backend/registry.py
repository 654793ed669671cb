"""MlflowRegistry: versions of one registered model in MLflow, one for each trained adapter.

MLflow has no compare-and-set and may lose an answer, so a version is looked for before it is made, and afterwards:
numbers only rise, so the lowest of equal versions is the one everybody keeps.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from mtl.decision import GATE, NOBODY, Decision, DecisionState
from mtl.errors import NotFoundError
from mtl.fingerprint import sha256_file
from mtl.mlflow_backend.faults import mlflow_errors
from mtl.mlflow_backend.package import packaged
from mtl.mlflow_backend.tracker import MlflowTracker
from mtl.registry.base import CANDIDATE, Registered, VersionInfo
from mtl.serving.folder import ADAPTER
from mtl.tracking.address import redact

_KEPT = ("champion", "previous")
_SYNCED = "journal_seq"
_PAGE = 200
_LONGEST_TAG = 4900
_LONGEST_DESCRIPTION = 5000


class MlflowRegistry:
    """Versions of `model`. Errors of all methods: TransientError, PermanentError, NotFoundError."""

    def __init__(self, tracking: MlflowTracker, model: str) -> None:
        self._client = tracking.client
        self._where = redact(tracking.uri)
        self.model = model

    def __repr__(self) -> str:
        return f"MlflowRegistry({self.model!r})"

    def register(
        self,
        run_id: str,
        folder: Path,
        *,
        identity: str,
        fingerprint: str,
        code_version: str,
        tags: Mapping[str, str] | None = None,
    ) -> Registered:
        """The version of this identity and adapter: the one that is there, or a new one, which becomes `candidate`.

        Errors: also InputError or DamageError if `folder` is no trained adapter.
        """
        adapter = sha256_file(folder / ADAPTER) if (folder / ADAPTER).is_file() else ""
        with mlflow_errors(f"register {self.model}"):
            found = self._equal(identity, adapter)
            if not found:
                source = self._upload(run_id, folder, f"model-{adapter[:12]}")
                known = {"fingerprint": fingerprint, "code_version": code_version, **(tags or {})}
                self._create(source, run_id, {**known, "identity": identity, "adapter_sha256": adapter})
            version, removed = self._remove_doubles(identity, adapter)
            self.set_alias(CANDIDATE, max(version, self.aliases().get(CANDIDATE, 0)))
            return Registered(version, created=not found, removed=removed)

    def find(self, identity: str) -> int | None:
        """The newest version of an identity, None if it has none."""
        with mlflow_errors(f"look for a version of {identity[:12]}"):
            return max((int(v.version) for v in self._search(f"tags.identity = '{identity}'")), default=None)

    def version_of_run(self, run_id: str) -> int | None:
        """The lowest version that a run made, None if it made none."""
        with mlflow_errors(f"look for the version of run {run_id}"):
            return min((int(v.version) for v in self._search(f"run_id = '{run_id}'")), default=None)

    def aliases(self) -> dict[str, int]:
        """alias -> version; nothing for a model that is not registered yet."""
        with mlflow_errors(f"read the aliases of {self.model}"):
            try:
                return {a: int(v) for a, v in self._client.get_registered_model(self.model).aliases.items()}
            except MlflowException as error:
                if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                    return {}
                raise

    def set_alias(self, alias: str, version: int | None) -> None:
        """Point `alias` at a version, None removes it; setting it to where it points makes no call (and no webhook)."""
        with mlflow_errors(f"set alias {alias} of {self.model}"):
            if self.aliases().get(alias) == version:
                return
            if version is None:
                self._client.delete_registered_model_alias(self.model, alias)
            else:
                self._client.set_registered_model_alias(self.model, alias, str(version))

    def synced(self) -> int | None:
        """The entry of the journal that the aliases last followed, see `mtl.release.aliases`."""
        with mlflow_errors(f"read the tags of {self.model}"):
            try:
                value = self._client.get_registered_model(self.model).tags.get(_SYNCED, "")
            except MlflowException as error:
                if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                    return None
                raise
            return int(value) if value.isdigit() else None

    def set_synced(self, seq: int | None) -> None:
        with mlflow_errors(f"tag {self.model}"):
            if seq is None:
                self._client.delete_registered_model_tag(self.model, _SYNCED)
            else:
                self._client.set_registered_model_tag(self.model, _SYNCED, str(seq))

    def record_decision(self, version: int, decision: Decision, *, until: datetime | None = None) -> None:
        """Keep the decision in the version's tags. until: when the waiting for a person ends."""
        self.set_tags(
            version,
            {
                "decision": decision.state,
                "decision_by": decision.by,
                "decision_reasons": json.dumps(list(decision.reasons)),
                "decision_against": "" if decision.against is None else str(decision.against),
                **({"decision_policy": decision.policy_version} if decision.policy_version else {}),
                **({"decision_until": until.isoformat(timespec="seconds")} if until else {}),
            },
        )

    def decision(self, version: int) -> Decision | None:
        """The recorded decision about a version; None if there is none. One whose waiting ended is unanswered."""
        tags = self._get(version).tags
        state, by = _decision(tags)
        if state not in list(DecisionState):
            return None
        against = tags.get("decision_against")
        return Decision(
            state=DecisionState(state),
            reasons=_reasons(tags),
            against=int(against) if against else None,
            by=by,
            policy_version=tags.get("decision_policy", ""),
        )

    def set_tags(self, version: int, tags: Mapping[str, str]) -> None:
        """Set tags of a version; one without a value is removed, so that no page shows empty ones."""
        with mlflow_errors(f"tag v{version} of {self.model}"):
            known = self._get(version).tags
            for name, value in tags.items():
                kept = redact(value)[:_LONGEST_TAG]
                if kept and known.get(name) != kept:
                    self._client.set_model_version_tag(self.model, str(version), name, kept)
                elif not kept and name in known:
                    self._client.delete_model_version_tag(self.model, str(version), name)

    def describe(self, version: int, text: str) -> None:
        """Make `text` (Markdown) a version's description; no call if it is that already."""
        kept = redact(text)[:_LONGEST_DESCRIPTION]
        with mlflow_errors(f"describe v{version} of {self.model}"):
            if (self._get(version).description or "") != kept:
                self._client.update_model_version(self.model, str(version), description=kept)

    def version(self, version: int) -> VersionInfo:
        """All about one version."""
        found = self._get(version)
        with mlflow_errors(f"read v{version} of {self.model}"):
            return self._info(found, self.aliases())

    def versions(self, *, limit: int = 50) -> list[VersionInfo]:
        """The newest versions with their aliases and the metrics of their runs, newest first."""
        aliases = self.aliases()
        with mlflow_errors(f"list the versions of {self.model}"):
            found = sorted(self._search(""), key=lambda version: -int(version.version))
            return [self._info(version, aliases) for version in found[:limit]]

    def _info(self, version: ModelVersion, aliases: Mapping[str, int]) -> VersionInfo:
        number = int(version.version)
        run = self._client.get_run(version.run_id) if version.run_id else None
        decision, by = _decision(version.tags)
        return VersionInfo(
            version=number,
            aliases=tuple(sorted(alias for alias, target in aliases.items() if target == number)),
            identity=version.tags.get("identity", ""),
            fingerprint=version.tags.get("fingerprint", ""),
            decision=decision,
            decision_by=by,
            reasons=_reasons(version.tags),
            created=datetime.fromtimestamp(version.creation_timestamp / 1000, UTC).isoformat(timespec="seconds"),
            run_id=version.run_id or "",
            metrics=dict(run.data.metrics) if run else {},
            tags=dict(version.tags),
            description=version.description or "",
        )

    def _get(self, version: int) -> ModelVersion:
        with mlflow_errors(f"read v{version} of {self.model}"):
            try:
                found: ModelVersion = self._client.get_model_version(self.model, str(version))
                return found
            except MlflowException as error:
                if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                    raise
        known = sorted(int(found.version) for found in self._search(""))
        hint = f"known: {', '.join(f'v{number}' for number in known) or 'none'}"
        raise NotFoundError(f"{self.model} has no v{version} in {self._where}", field="version", hint=hint)

    def _search(self, filter_: str) -> Sequence[ModelVersion]:
        """All versions of the model that pass, whatever page MLflow would cut at."""
        clauses = " and ".join(filter(None, [f"name = '{self.model}'", filter_]))
        found: list[ModelVersion] = []
        token: str | None = None
        while True:
            page = self._client.search_model_versions(clauses, max_results=_PAGE, page_token=token)
            found.extend(page)
            token = page.token
            if not token:
                return found

    def _equal(self, identity: str, adapter: str) -> list[int]:
        found = self._search(f"tags.identity = '{identity}' and tags.adapter_sha256 = '{adapter}'")
        return sorted(int(version.version) for version in found)

    def _upload(self, run_id: str, folder: Path, path: str) -> str:
        """URI of the uploaded model. Its path names the adapter, so that uploading again overwrites like with like."""
        with packaged(folder) as packed:
            self._client.log_artifacts(run_id, str(packed), path)
        return f"{self._client.get_run(run_id).info.artifact_uri}/{path}"

    def _create(self, source: str, run_id: str, tags: Mapping[str, Any]) -> None:
        try:
            self._client.create_registered_model(self.model)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        kept = {name: redact(str(value))[:_LONGEST_TAG] for name, value in tags.items() if value}
        self._client.create_model_version(self.model, source, run_id, tags=kept, await_creation_for=0)

    def _remove_doubles(self, identity: str, adapter: str) -> tuple[int, tuple[int, ...]]:
        """(the version that stays, those removed): the lowest stays, and whatever was promoted."""
        first, *others = self._equal(identity, adapter)
        kept = {version for alias, version in self.aliases().items() if alias in _KEPT}
        removed = tuple(version for version in others if version not in kept)
        for version in removed:
            self._delete(version)
        return first, removed

    def _delete(self, version: int) -> None:
        for alias, target in self.aliases().items():
            if target == version:
                self.set_alias(alias, None)
        try:
            self._client.delete_model_version(self.model, str(version))
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":  # somebody else removed it first
                raise


_OF_PEOPLE = {"promote": DecisionState.APPROVED, "reject": DecisionState.REFUSED}


def _decision(tags: Mapping[str, str]) -> tuple[str, str]:
    """(decision, who made it). A person's answer was once recorded as the gate's, with the name beside it."""
    decision, by = tags.get("decision", ""), tags.get("decision_by", GATE)
    if decision == DecisionState.WAITING and _is_past(tags.get("decision_until", "")):
        return DecisionState.UNANSWERED, NOBODY  # the server ends the run that asks, and nobody is left to say so
    person = tags.get("approval_by")
    if person and "decision_by" not in tags and decision in _OF_PEOPLE:
        return DecisionState.UNANSWERED if person == NOBODY else _OF_PEOPLE[decision], person
    return decision, by


def _is_past(moment: str) -> bool:
    try:
        return datetime.fromisoformat(moment) < datetime.now(UTC)
    except (TypeError, ValueError):  # no moment, or one without a time zone, written by hand
        return False


def _reasons(tags: Mapping[str, str]) -> tuple[str, ...]:
    try:
        return tuple(str(reason) for reason in json.loads(tags.get("decision_reasons", "[]")))
    except ValueError:  # cut at the length of a tag
        return (tags["decision_reasons"],)
