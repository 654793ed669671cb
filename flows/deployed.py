"""What a Prefect server has of this project: the choices that were deployed, and how a later deployment differs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from prefect.client.orchestration import SyncPrefectClient
from prefect.variables import Variable

from flows.presets import file_values
from mtl.errors import InputError

VARIABLE = "mtl_deployed"
"""Prefect variable: the choices of the last `mtl deploy`."""
NIGHTLY = "retrain/nightly"

Snapshot = dict[str, Any]
"""What can change between two deployments, by a name that a person understands: `retrain/nightly cron`, ..."""


@dataclass(frozen=True, slots=True)
class Choices:
    """What a person decides about the deployments. config: a path, as it was given."""

    config: str
    cron: str
    timezone: str


FIRST = Choices(config="demo", cron="0 3 * * *", timezone="UTC")


def choices(snapshot: Snapshot, *, config: str | None, cron: str | None, timezone: str | None) -> Choices:
    """Each choice as it is given, else as it was deployed last, else of FIRST.

    Errors: InputError where something is deployed of which nobody knows the configuration file any more.
    """
    kept = Variable.get(VARIABLE)
    before = asdict(FIRST) | (dict(kept) if isinstance(kept, Mapping) else {})
    if kept is None and f"{NIGHTLY} cron" in snapshot:
        before |= {name: snapshot[f"{NIGHTLY} {name}"] for name in ("cron", "timezone")}
        if config is None and not _is_deployed(FIRST.config, snapshot):
            raise InputError(
                "retrain/nightly is deployed, but its configuration file is unknown",
                field="config",
                hint="run mtl deploy --config FILE once; from then on, mtl deploy without --config keeps this file",
            )
    given = {"config": config, "cron": cron, "timezone": timezone}
    return Choices(**before | {name: value for name, value in given.items() if value is not None})


def _is_deployed(config: str, snapshot: Snapshot) -> bool:
    """Whether retrain/nightly has the parameters of a configuration file."""
    found = {name: value for name, value in snapshot.items() if name.startswith(f"{NIGHTLY} config.")}
    return found == {f"{NIGHTLY} {key}": value for key, value in _flat({"config": file_values(config)})}


def keep(chosen: Choices) -> None:
    """Remember the choices for the next deployment."""
    if Variable.get(VARIABLE) != asdict(chosen):
        Variable.set(VARIABLE, asdict(chosen), overwrite=True)


def snapshot(client: SyncPrefectClient) -> Snapshot:
    """The deployments of this project as they are now."""
    found: Snapshot = {}
    for item in client.read_deployments(limit=200):
        if "mtl" in item.tags:
            name = f"{client.read_flow(item.flow_id).name}/{item.name}"
            for schedule in item.schedules:
                found[f"{name} cron"] = getattr(schedule.schedule, "cron", str(schedule.schedule))
                found[f"{name} timezone"] = getattr(schedule.schedule, "timezone", None)
            found |= {f"{name} {key}": value for key, value in _flat(item.parameters)}
            found[f"{name} folder"] = (item.job_variables or {}).get("working_dir")
            found[f"{name} command"] = (item.job_variables or {}).get("command")
    return found


def _flat(values: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{before}{key}.")
        else:
            yield f"{before}{key}", value


def under_new_names(before: Snapshot, renamed: Mapping[str, str]) -> Snapshot:
    """A snapshot as if its deployments had always had the names that they have now."""
    found: Snapshot = {}
    for name, value in before.items():
        label, _, what = name.partition(" ")
        found[f"{renamed.get(label, label)} {what}"] = value
    return found


def changes(before: Snapshot, after: Snapshot) -> list[str]:
    """One sentence for each thing that was deployed before and is another now, and for each deployment that is new.

    What changes alike in several deployments is one sentence that counts them.
    """
    known, now = ({name.partition(" ")[0] for name in snapshot} for snapshot in (before, after))
    new = sorted(now - known) if before else []
    alike: dict[tuple[str, str], list[str]] = {}
    for name in sorted(before.keys() | after.keys()):
        label, _, what = name.partition(" ")
        if before and before.get(name) != after.get(name) and label not in new:
            alike.setdefault((what, f"{_shown(before.get(name))} becomes {_shown(after.get(name))}"), []).append(label)
    return [f"{label} is new" for label in new] + [
        f"{labels[0]} {what}: {change}" if len(labels) == 1 else f"{what} of {len(labels)} deployments: {change}"
        for (what, change), labels in alike.items()
    ]


def _shown(value: object) -> str:
    return "nothing" if value is None else repr(value)
