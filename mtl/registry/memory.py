"""MemoryRegistry: the registry for tests and for steps without a server, in dicts; the same contract as MLflow's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from mtl.decision import NOBODY, Decision, DecisionState
from mtl.errors import DamageError, NotFoundError
from mtl.fingerprint import sha256_file
from mtl.registry.base import CANDIDATE, Registered, VersionInfo
from mtl.release.aliases import MemoryAliases
from mtl.serving.folder import ADAPTER


@dataclass
class _Version:
    number: int
    run_id: str
    created: datetime
    tags: dict[str, str]
    description: str = ""
    decision: Decision | None = None
    until: datetime | None = None


class MemoryRegistry(MemoryAliases):
    """Versions of `model`. clock: the time of now, which ends the waiting for a person."""

    def __init__(self, model: str, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        super().__init__()
        self.model = model
        self.clock = clock
        self._versions: dict[int, _Version] = {}

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
        if not (folder / ADAPTER).is_file():
            raise DamageError(f"{folder} is not a trained model: it has no {ADAPTER}")
        adapter = sha256_file(folder / ADAPTER)
        key = {"identity": identity, "adapter_sha256": adapter}
        equal = [number for number, version in self._versions.items() if key.items() <= version.tags.items()]
        if not equal:
            number = max(self._versions, default=0) + 1
            known = {**(tags or {}), "fingerprint": fingerprint, "code_version": code_version, **key}
            self._versions[number] = _Version(number, run_id, self.clock(), known)
        version = equal[0] if equal else number
        self.set_alias(CANDIDATE, max(version, self.aliases().get(CANDIDATE, 0)))
        return Registered(version, created=not equal)

    def find(self, identity: str) -> int | None:
        return max((n for n, version in self._versions.items() if version.tags["identity"] == identity), default=None)

    def version_of_run(self, run_id: str) -> int | None:
        return min((n for n, version in self._versions.items() if version.run_id == run_id), default=None)

    def record_decision(self, version: int, decision: Decision, *, until: datetime | None = None) -> None:
        found = self._get(version)
        found.decision, found.until = replace(decision, compared_with="", awaits=None, approval=None), until

    def decision(self, version: int) -> Decision | None:
        found = self._get(version)
        decision = found.decision
        waits = decision is not None and decision.state is DecisionState.WAITING
        if decision is not None and waits and found.until is not None and found.until < self.clock():
            return replace(decision, state=DecisionState.UNANSWERED, by=NOBODY)
        return decision

    def set_tags(self, version: int, tags: Mapping[str, str]) -> None:
        known = self._get(version).tags
        for name, value in tags.items():
            if value:
                known[name] = value
            else:
                known.pop(name, None)

    def describe(self, version: int, text: str) -> None:
        self._get(version).description = text

    def version(self, version: int) -> VersionInfo:
        found, decision = self._get(version), self.decision(version)
        return VersionInfo(
            version=version,
            aliases=tuple(sorted(alias for alias, target in self.aliases().items() if target == version)),
            identity=found.tags["identity"],
            fingerprint=found.tags["fingerprint"],
            decision=decision.state if decision else "",
            decision_by=decision.by if decision else "",
            reasons=decision.reasons if decision else (),
            created=found.created.isoformat(timespec="seconds"),
            run_id=found.run_id,
            metrics={},
            tags=dict(found.tags),
            description=found.description,
        )

    def versions(self, *, limit: int = 50) -> list[VersionInfo]:
        return [self.version(number) for number in sorted(self._versions, reverse=True)[:limit]]

    def _get(self, version: int) -> _Version:
        try:
            return self._versions[version]
        except KeyError:
            known = ", ".join(f"v{number}" for number in sorted(self._versions)) or "none"
            hint = f"known: {known}"
            raise NotFoundError(f"{self.model} has no v{version} in memory", field="version", hint=hint) from None
