"""The start of a retrain: a new adapter, or that of a released version. Chosen once and kept in the store.

The question is the retrain itself, by the identity of its full run. Who asks it first puts the answer, if nobody else
has; everybody takes the answer that is there. So a retry, a resume and two retrains at once start from the same
adapter, and the same retrain again finds the run that is done, whoever became champion meanwhile.
"""

from __future__ import annotations

import logging
from contextlib import suppress

from mtl.checkpoints.identity import MAY_DIFFER_WHEN_COMPATIBLE
from mtl.config.retrain import RetrainConfig
from mtl.config.train import CHAMPION, SCRATCH
from mtl.data.dataset import Dataset, open_dataset
from mtl.document import check_record
from mtl.errors import DamageError, InputError, NotFoundError
from mtl.fingerprint import sha256_json
from mtl.layout import start_key
from mtl.pipeline.models import champion_version, task_names
from mtl.pipeline.outcome import run_identity
from mtl.pipeline.records import FULL, Start
from mtl.pipeline.warm_policy import Candidate, Unusable, choose, obstacle
from mtl.release.layout import ReleaseManifest, find_manifest, published_versions
from mtl.release.provenance import read_provenance
from mtl.release.pull import find_release
from mtl.seal import seal, unseal
from mtl.store.base import ObjectStore
from mtl.training.parent import Parent, fetch_parent
from mtl.training.result import read_result
from mtl.workspace import Workspace

_log = logging.getLogger(__name__)
_ANOTHER = "name another version, or set train.from to champion or scratch"
_SHAPE = ("base", "lora.r", "lora.alpha", "lora.target_modules", "lora.rslora", "lora.dora")
"""Fields of a run's identity that an adapter must share with the one that it starts from."""


def choose_start(workspace: Workspace, config: RetrainConfig, dataset: str) -> Start:
    """What the retrain of a data set starts from.

    A version that is asked for by name must be fit for it. For the champion, the policy decides, and states why it
    orders a full run. A parent that was lost or damaged since it was chosen is needed no more by a run that is done.

    Errors: for a version by name, NotFoundError, DamageError, SignatureError, or InputError for one that does not fit;
    DamageError for a kept choice that was damaged.
    """
    if config.train.from_ == SCRATCH:
        return FULL
    question = _question(config, dataset)
    kept = _read(workspace, question) or _settle(workspace, question, _ask(workspace, config, dataset))
    if kept.parent is None or _is_done(workspace, config, dataset, kept.parent):
        return kept
    replaced = _question(config, dataset, without=kept.parent)
    if (instead := _read(workspace, replaced)) is not None:  # the parent may have been restored since
        return instead
    try:
        _check(workspace, config, kept.parent)
        return kept
    except (NotFoundError, DamageError) as error:
        if config.train.from_ != CHAMPION:
            error.hint = error.hint or _ANOTHER
            raise
        why = error.message
    _log.warning("v%s, which this retrain was to start from, cannot be used any more: %s", kept.parent.version, why)
    decision = choose(Unusable(kept.parent.version, why), full_every=1, full_above=0)
    return _settle(workspace, replaced, Start(None, decision.reason))


def _question(config: RetrainConfig, dataset: str, *, without: Parent | None = None) -> str:
    """Hash of the retrain. without: a parent that was chosen and has been lost or damaged since."""
    names = ("from_", "warm_steps", "warm_learning_rate", "replay_share", "full_every", "full_above")
    fields = run_identity(config, dataset).values()
    return sha256_json(
        {
            "name": config.name,
            "run": {name: value for name, value in fields.items() if name not in MAY_DIFFER_WHEN_COMPATIBLE},
            "model": config.register_.model,
            **{name: getattr(config.train, name) for name in names},
            **({"without": without.to_dict()} if without else {}),
        }
    )


def _read(workspace: Workspace, question: str) -> Start | None:
    key = start_key(question)
    hint = f"delete {key}: the start of this retrain is then chosen again"
    try:
        return check_record(Start, unseal(workspace.store.get(key), key, hint=hint), key, hint=hint)
    except NotFoundError:
        return None


def _settle(workspace: Workspace, question: str, start: Start) -> Start:
    """Keep a choice unless one is kept already; the one that is."""
    workspace.store.put_if_absent(start_key(question), seal(start.to_json()))
    return _read(workspace, question) or start


def _is_done(workspace: Workspace, config: RetrainConfig, dataset: str, parent: Parent) -> bool:
    try:
        read_result(workspace.store, run_identity(config, dataset, parent).sha256)
    except (NotFoundError, DamageError):
        return False
    return True


def _parent(manifest: ReleaseManifest) -> Parent:
    """A released version as what a run starts from."""
    return Parent(
        model=manifest.model,
        version=manifest.version,
        adapter_sha256=manifest.adapter_sha256,
        dataset=manifest.facts.fingerprint,
        warm_starts=(manifest.facts.parent.warm_starts if manifest.facts.parent else 0) + 1,
    )


def _check(workspace: Workspace, config: RetrainConfig, parent: Parent) -> None:
    """That a run can start from it: its release as it was published, its adapter, its data set."""
    model = config.register_.model
    if _parent(find_release(workspace.store, f"v{parent.version}", model=model)) != parent:
        raise DamageError(
            f"the release of {model} v{parent.version} is not what {parent} was chosen from", field="train.from"
        )
    fetch_parent(workspace.store, parent, workspace.cache)
    data = open_dataset(workspace.store, parent.dataset, workspace.cache)
    for task in data.manifest.counts:
        data.uids(task, "train")


def _ask(workspace: Workspace, config: RetrainConfig, dataset: str) -> Start:
    """The start that the configuration names, or that the policy chooses today."""
    train, model = config.train, config.register_.model
    if train.from_ != CHAMPION:
        try:
            named, candidate = _examined(workspace, config, dataset, train.from_)
        except (NotFoundError, DamageError) as error:
            error.hint = error.hint or _ANOTHER
            raise
        if (found := obstacle(candidate)) is not None:
            said = f"no training can start from {model} {train.from_}: {found}"
            raise InputError(said, field="train.from", hint=_ANOTHER)
        return Start(named, f"train.from is {train.from_}.")
    version = champion_version(workspace, model)
    champion: Candidate | Unusable | None = None
    parent: Parent | None = None
    if version is not None:
        try:
            parent, champion = _examined(workspace, config, dataset, f"v{version}")
        except (NotFoundError, DamageError) as error:
            champion = Unusable(version, error.message)
    decision = choose(champion, full_every=train.full_every, full_above=train.full_above)
    return Start(parent if decision.warm_from is not None else None, decision.reason)


def _examined(workspace: Workspace, config: RetrainConfig, dataset: str, ref: str) -> tuple[Parent, Candidate]:
    """A released version as a parent, and what the policy asks about it. Errors: NotFoundError, DamageError."""
    store = workspace.store
    manifest = find_release(store, ref, model=config.register_.model)
    parent = _parent(manifest)
    _check(workspace, config, parent)
    now, then = (open_dataset(store, which, workspace.cache) for which in (dataset, parent.dataset))
    names = task_names(config)
    candidate = Candidate(
        version=manifest.version,
        since_full=_since_full(store, manifest.model),
        differing=_differing(workspace, config, manifest, now=now, then=then),
        changed=changed_share(now, then, names),
        held_out=len(_newly_held_out(now, _ancestry(workspace, manifest), names)),
    )
    return parent, candidate


def _differing(
    workspace: Workspace, config: RetrainConfig, manifest: ReleaseManifest, *, now: Dataset, then: Dataset
) -> tuple[str, ...]:
    """Names of what both adapters must share and do not."""
    run, _ = read_provenance(workspace.store, manifest)
    wanted = run_identity(config, now.manifest.fingerprint).values()
    found = [name for name in _SHAPE if run.fields.get(name) != wanted.get(name)]
    if now.manifest.tokenizer["sha256"] != then.manifest.tokenizer["sha256"]:
        found.append("tokenizer")
    if now.manifest.tasks != then.manifest.tasks:
        found.append("set of tasks or version of a task")
    return tuple(found)


def changed_share(now: Dataset, then: Dataset, tasks: list[str]) -> float:
    """Share of the training examples, old and new together, that are not in both data sets."""
    new, old = ({f"{task} {uid}" for task in tasks for uid in data.uids(task, "train")} for data in (now, then))
    return round(len(new ^ old) / max(1, len(new | old)), 6)


def _since_full(store: ObjectStore, model: str) -> int:
    """Versions since the last full run, whatever was decided about them: a full run is due every so many nights."""
    number = 0
    for version in reversed(published_versions(store, model)):
        with suppress(DamageError):  # nobody knows what a damaged one was: the next full run comes sooner
            manifest = find_manifest(store, model, version)
            if manifest is not None and manifest.facts.parent is None:
                break
        number += 1
    return number


def _ancestry(workspace: Workspace, manifest: ReleaseManifest) -> list[Dataset]:
    """What the version and all versions that it came from were trained on, back to a full run.

    Errors: NotFoundError, DamageError for an ancestor whose release or data set is lost.
    """
    found = [open_dataset(workspace.store, manifest.facts.fingerprint, workspace.cache)]
    while (parent := manifest.facts.parent) is not None:
        found.append(open_dataset(workspace.store, parent.dataset, workspace.cache))
        manifest = find_release(workspace.store, f"v{parent.version}", model=manifest.model)
    return found


def _newly_held_out(now: Dataset, ancestry: list[Dataset], tasks: list[str]) -> set[str]:
    """Passages held out now, of any task, that were trained on before; not those that are in both splits anyway."""
    held_out = _passages(now, tasks, "validation") | _passages(now, tasks, "test")
    trained = {passage for then in ancestry for passage in _passages(then, tasks, "train")}
    return (held_out & trained) - _passages(now, tasks, "train")


def _passages(data: Dataset, tasks: list[str], split: str) -> set[str]:
    have = [task for task in tasks if data.manifest.sizes(split).get(task)]
    return {passage for task in have for passage in data.passages(task, split)}
