"""What `mtl checkpoints list | verify | prune` do, and how their results read."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from mtl.checkpoints import prune as pruning
from mtl.checkpoints.related import all_runs, find_run
from mtl.checkpoints.verify import verify_run
from mtl.errors import DamageError
from mtl.pipeline.prune import prune_store
from mtl.settings import load_settings
from mtl.store.base import ObjectStore
from mtl.store.open import open_store
from mtl.store.searched import searched

Document = dict[str, Any]


def list_runs(run: str | None) -> Document:
    """Every run of the store, or one: its owner, its commits, whether it is finished."""
    store = _store()
    runs = [find_run(store, run)] if run else list(all_runs(store))
    return {"store": store.uri, "runs": [found.to_dict() for found in runs]}


def verify(run: str | None) -> Document:
    """Every byte that runs keep, read and checked. Errors: NotFoundError for an unknown run."""
    store = _store()
    reports = [verify_run(store, identity).to_dict() for identity in _identities(store, run)]
    return {"store": store.uri, "intact": all(report["intact"] for report in reports), "runs": reports}


def prune(run: str | None, *, yes: bool) -> Document:
    """What no commit needs, a day old, answers that nobody took for 30 days and old logs (or all of one `run`);
    deleted only if `yes`."""
    store = _store()
    if not run:
        return prune_store(store, delete=yes).to_json()
    identity = find_run(store, run).identity.sha256
    plan = pruning.run_objects(store, identity)
    deleted = pruning.remove_run(store, identity) if yes else 0
    return {"store": store.uri, **plan.to_dict(), "run": run, "deleted": deleted, "dry_run": not yes}


def damage(result: Document) -> DamageError | None:
    """The error that names each damaged file; None if `verify` found every byte right."""
    items = [(report["identity"][:12], item) for report in result["runs"] for item in report["damage"]]
    if not items:
        return None
    lines = [
        f"  run {run}, step {item['step']}: {item['file']}: {item['problem']} ({item['key']})" for run, item in items
    ]
    return DamageError(
        "\n".join([f"{len(items)} damaged in {result['store']}", *lines]),
        field=items[0][1]["key"],
        hint="you need not do anything: a run resumes from its newest intact commit, or starts from scratch",
    )


def _identities(store: ObjectStore, run: str | None) -> list[str]:
    """Of one run, or of all, also where a run's own fields rotted."""
    if run:
        return [find_run(store, run).identity.sha256]
    return sorted({info.key.rpartition("/")[2].removesuffix(".json") for info in store.list("run-names/")})


def _store() -> ObjectStore:
    return open_store(load_settings().store)


def list_text(result: Document) -> str:
    """A line a run."""
    if not result["runs"]:
        return f"no runs; {searched(_store())}\nnext: mtl train -c conf/demo.yaml"
    lines = [f"{'run':<14}{'name':<20}{'steps kept':<24}{'state':<12}{'changed':<22}owner"]
    for run in result["runs"]:
        steps = " ".join(str(step) for step in run["steps"]) or "-"
        state = "finished" if run["finished"] else "unfinished"
        changed = datetime.fromtimestamp(run["modified"], UTC).astimezone().strftime("%Y-%m-%d %H:%M %Z")
        lines.append(f"{run['identity'][:12]:<14}{run['name']:<20}{steps:<24}{state:<12}{changed:<22}{run['owner']}")
    return "\n".join([*lines, "next: mtl checkpoints verify, or mtl train -c CONF --resume RUN"])


def verify_text(result: Document) -> str:
    """What was read; damage is told as an error."""
    if not result["runs"]:
        return f"there are no runs to verify; {searched(_store())}"
    commits = sum(len(report["steps"]) for report in result["runs"])
    return f"every byte is right: {len(result['runs'])} runs, {commits} commits in {result['store']}"


def prune_text(result: Document) -> str:
    """What was deleted, or would be."""
    if not result["objects"] and not result["skipped"]:
        return f"there is nothing to delete; {searched(_store())}"
    size = f"{len(result['objects'])} objects, {result['bytes'] / 1e6:.1f} MB"
    lines = [f"  {key}" for key in result["objects"]] if result["dry_run"] else []
    lines += [f"  skipped: run {item['identity'][:12]}: {item['reason']}" for item in result["skipped"]]
    if not result["dry_run"]:
        return "\n".join([f"deleted {result['deleted']} of {size}", *lines])
    again = f"mtl checkpoints prune{' --run ' + result['run'] if result['run'] else ''} --yes"
    return "\n".join([f"would delete {size}", *lines, f"next: {again} deletes them"])
