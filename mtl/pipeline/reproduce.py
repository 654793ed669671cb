"""Reproduce: train a version again from what its release records, apart from everything, and say whether it is equal.

What can be compared before the training is compared first, and told at once. The training then runs in a folder of its
own with a store of its own: no checkpoint is taken, and nothing of the workspace's runs and versions is written.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from mtl import layout
from mtl.checkpoints.identity import RunIdentity
from mtl.config.retrain import RetrainConfig, parse_config
from mtl.data.dataset import open_dataset
from mtl.data.manifest import DatasetManifest
from mtl.errors import ConfigError, DamageError, InputError, ModelError, NotFoundError
from mtl.fingerprint import sha256_file
from mtl.model.base import base_sha256, resolve_base
from mtl.model.precision import device_kind
from mtl.pipeline.prepare import prepare
from mtl.pipeline.reproduction import Difference, FirstStep, Reproduction, first_difference
from mtl.pipeline.train import tell as tell_event
from mtl.registry.code_version import code_version
from mtl.release.layout import ReleaseManifest
from mtl.release.provenance import Provenance, public, read_provenance
from mtl.release.pull import find_release, pull
from mtl.serving.folder import BASE
from mtl.settings import load_settings, trainer_processes
from mtl.store.scratch import scratch
from mtl.training.launch import launch_training
from mtl.training.packages import installed_versions
from mtl.training.parent import Parent, fetch_parent
from mtl.training.plan import identity_fields
from mtl.training.record import hardware, read_record
from mtl.workspace import Workspace, open_workspace

_log = logging.getLogger(__name__)
_NO_FIELDS = ("model.base", "model.tokenizer", "model.revision", "source", "dataset", "base")
"""Fields of an identity that are compared otherwise: places by what they hold, and hashes with what they are of."""
_SECTIONS = ("name", "seed", "data", "model", "lora", "train")
"""Of a configuration what training depends on; how a version is measured may have other fields by now."""
_INSTALL = "install the recorded versions: pip install --constraint provenance/constraints.txt (mtl pull fetches it)"
_HINTS = {
    "threads": "leave --threads out to train with the recorded number",
    "device": "train on the recorded device; CUDA_VISIBLE_DEVICES= hides a GPU",
    "world_size": "set MTL_TRAINER_PROCESSES to the recorded number",
    "python": "use the recorded version of Python",
}


def reproduce(
    workspace: Workspace,
    ref: str,
    *,
    model: str,
    threads: int | None = None,
    from_sources: bool = False,
    check_only: bool = False,
    tell: Callable[[Difference], None] = lambda difference: None,
) -> Reproduction:
    """Train release `ref` of `model` again and compare. tell: gets each difference as soon as it is known.

    threads: other than the recorded number. from_sources: prepare the data set again although the store has it.
    check_only: train nothing.
    Errors: NotFoundError for a release that does not say how it was made, and for data or a base that are gone, and
    for the version that it started from, if that is;
    ConfigError for a configuration that this version of mtl does not take; those of the training.
    """
    began, manifest = time.monotonic(), find_release(workspace.store, ref, model=model)
    run, values = read_provenance(workspace.store, manifest)
    config = _pinned(_config(workspace, manifest, run, values), run, threads)
    differences: list[Difference] = []

    def note(found: Iterator[Difference]) -> None:
        for difference in found:
            tell(difference)
            differences.append(difference)

    with scratch(layout.home_reproduce(workspace.settings.home)) as work:
        own = open_workspace(load_settings({"MTL_HOME": str(work)}))
        note(_of_environment(config, run))
        config, base = _with_base(workspace, own, config, manifest, run)
        note(_of_base(run, base))
        dataset = _dataset(workspace, own, config, run, from_sources=from_sources)
        note(_of_dataset(run, dataset))
        _bring_parent(workspace, own, run.parent)
        found, first = (None, None) if check_only else _train(own, config, dataset.fingerprint, run)
    return Reproduction(
        model=manifest.model,
        version=manifest.version,
        identity=run.identity,
        recorded=manifest.adapter_sha256,
        found=found,
        first=first,
        steps=run.steps,
        differences=tuple(differences),
        seconds=round(time.monotonic() - began, 1),
    )


def _config(
    workspace: Workspace, manifest: ReleaseManifest, run: Provenance, released: dict[str, Any]
) -> RetrainConfig:
    """As the run recorded it, with the paths of its machine; else, where the run is gone, as the release has it.

    The release may be signed and the run is not: a record that says anything else than the release does is not taken.
    """
    values = released
    try:
        recorded = read_record(workspace.store, run.identity).config
    except (NotFoundError, DamageError):
        recorded = None
    if recorded is not None and public(recorded) == released:
        values = recorded
    elif recorded is not None:
        _log.warning("the record of run %s is not of this release; the release's own is taken", run.identity[:12])
    values = {name: values[name] for name in _SECTIONS if name in values}
    try:
        return parse_config(values, source=f"the recorded configuration of {manifest.model} v{manifest.version}")
    except ConfigError as error:
        error.hint = f"this version of mtl reads it otherwise: use the one that trained it, {run.code_version}"
        raise


def _pinned(config: RetrainConfig, run: Provenance, threads: int | None) -> RetrainConfig:
    """With the number of threads said, where the configuration leaves it to the machine; one checkpoint is enough."""
    train = {"threads": threads or run.fields.get("threads"), "save_steps": config.train.max_steps}
    return config.model_copy(update={"train": config.train.model_copy(update=train)})


def _of_environment(config: RetrainConfig, run: Provenance) -> Iterator[Difference]:
    """Code, libraries, processor, threads and processes; then the packages that no identity counts."""
    now = _fields_now(config, run.parent)
    if now["source"] != run.fields.get("source"):
        hint = "check the recorded commit out, or install that version of mtl"
        yield Difference(
            "code", _code(run.code_version, run.fields.get("source")), _code(code_version(), now["source"]), hint=hint
        )
    for name in sorted(run.fields.keys() | now.keys()):
        if name not in _NO_FIELDS and run.fields.get(name) != now.get(name):
            advice = _INSTALL if name.startswith("library.") else _HINTS.get(name)
            yield Difference(name, _text(run.fields, name), _text(now, name), hint=advice)
    processor = hardware(device_kind())
    if processor != run.hardware:
        yield Difference("hardware", run.hardware, processor, hint="another processor may add up in another order")
    if run.continued_from is not None:
        source = f"run {run.continued_from.source[:12]} at step {run.continued_from.step}"
        hint = f"that run differs in {', '.join(run.continued_from.differing)}: no training from the start repeats it"
        yield Difference("continued_from", source, "the start", hint=hint)
    yield from _of_packages(run)


def _fields_now(config: RetrainConfig, parent: Parent | None) -> dict[str, Any]:
    """What the identity of a run here would have, but for data set and base; flat and public, as the recorded ones."""
    fields = identity_fields(
        config, dataset="", base_sha256="", device=device_kind(), world_size=trainer_processes(), parent=parent
    )
    found: dict[str, Any] = public(RunIdentity.of(config.name, fields).values())
    return found


def _of_packages(run: Provenance) -> Iterator[Difference]:
    now = installed_versions()
    for name in sorted(run.packages.keys() | now.keys(), key=str.lower):
        if f"library.{name}" not in run.fields and run.packages.get(name) != now.get(name):
            missing = "not installed"
            recorded, found = run.packages.get(name, missing), now.get(name, missing)
            yield Difference(f"package.{name}", recorded, found, decides=False, hint=_INSTALL)


def _code(version: str, source: Any) -> str:
    return f"{version}, source {str(source)[:12]}"


def _text(fields: dict[str, Any], name: str) -> str:
    value = fields.get(name, "not there")
    return value if isinstance(value, str) else json.dumps(value)


def _with_base(
    workspace: Workspace, own: Workspace, config: RetrainConfig, manifest: ReleaseManifest, run: Provenance
) -> tuple[RetrainConfig, str]:
    """The configuration with a base of the recorded hash if there is one, and the hash of what it has.

    A base that is not where it was, or is another one by now, may have been published with the version.
    """
    try:
        found = base_sha256(resolve_base(config.model.base, config.model.revision))
    except (NotFoundError, ModelError):
        found = ""
    bundled = any(file.path.startswith(f"{BASE}/") for file in manifest.files)
    if found == run.fields["base"] or not (found or bundled):
        return config, found or base_sha256(resolve_base(config.model.base, config.model.revision))
    if not bundled:
        return config, found
    folder = own.settings.home / "release"
    pull(workspace.store, f"v{manifest.version}", folder, model=manifest.model)
    place = {"base": str(folder / BASE), "revision": None, "tokenizer": config.model.tokenizer or str(folder)}
    config = config.model_copy(update={"model": config.model.model_copy(update=place)})
    return config, base_sha256(resolve_base(str(folder / BASE)))


def _of_base(run: Provenance, sha256: str) -> Iterator[Difference]:
    if sha256 != run.fields["base"]:
        yield Difference("base", run.fields["base"], sha256, hint="model.base holds other weights than it did")


def _dataset(
    workspace: Workspace, own: Workspace, config: RetrainConfig, run: Provenance, *, from_sources: bool
) -> DatasetManifest:
    """The data set in the store of `own`: the recorded one, or else what the sources give now."""
    if not from_sources:
        try:
            return _copied(workspace, own, run.dataset.fingerprint, run.dataset.sha256)
        except (NotFoundError, DamageError) as error:
            _log.warning("%s: the data set is prepared again from its sources", error.message)
    try:
        return prepare(own, config).manifest
    except (InputError, NotFoundError) as error:
        error.hint = "; ".join(
            filter(None, [error.hint, "the recorded data set can be made again from its sources only"])
        )
        raise


def _bring_parent(workspace: Workspace, own: Workspace, parent: Parent | None) -> None:
    """The adapter that the version started from, and the data that it had been trained on, in the store of `own`.

    Errors: NotFoundError or DamageError: nothing else can take the parent's place.
    """
    if parent is None:
        return
    try:
        own.store.put_file(parent.key, fetch_parent(workspace.store, parent, own.cache))
        if own.store.head(layout.dataset_manifest_key(parent.dataset)) is None:
            _copied(workspace, own, parent.dataset)
    except (NotFoundError, DamageError) as error:
        error.hint = (
            f"the version started from v{parent.version} of {parent.model}, whose adapter and data set are needed to "
            "train it again: restore them in the store"
        )
        raise


def _copied(
    workspace: Workspace, own: Workspace, fingerprint: str, recorded: Mapping[str, str] | None = None
) -> DatasetManifest:
    """Every file, compared with the hash in the manifest, which comes last, and in the release (`recorded`).

    Errors: NotFoundError, DamageError.
    """
    manifest = open_dataset(workspace.store, fingerprint, workspace.cache).manifest
    if recorded and {file.path: file.sha256 for file in manifest.files} != recorded:
        raise DamageError(f"{layout.dataset_manifest_key(fingerprint)} lists other files than the release does")
    prefix, aside = layout.dataset_prefix(fingerprint), own.settings.home / "file"
    for file in manifest.files:
        key = f"{prefix}/{file.path}"
        workspace.store.get_file(key, aside)
        if sha256_file(aside) != file.sha256:
            raise DamageError(f"{key} is damaged: its sha256 is not the manifest's {file.sha256[:12]}", field=file.path)
        own.store.put_file(key, aside)
        aside.unlink()
    own.store.put(layout.dataset_manifest_key(fingerprint), manifest.to_json())
    return manifest


def _of_dataset(run: Provenance, now: DatasetManifest) -> Iterator[Difference]:
    """Of another fingerprint also the sources that changed."""
    if now.fingerprint == run.dataset.fingerprint:
        return
    hint = "the sources do not hold the rows that they held"
    yield Difference("dataset", run.dataset.fingerprint, now.fingerprint, hint=hint)
    for before, source in zip(run.dataset.sources, now.sources, strict=False):
        if before.get("sha256") != source["sha256"]:
            name = f"dataset.{source['task']} {before.get('uri')}"
            yield Difference(name, _rows(before), _rows(source), hint=hint)


def _rows(source: Any) -> str:
    rows = ", ".join(f"{split} {count} rows" for split, count in source.get("rows", {}).items())
    return f"{rows} (sha256 {str(source.get('sha256'))[:12]})"


def _train(own: Workspace, config: RetrainConfig, dataset: str, run: Provenance) -> tuple[str, FirstStep | None]:
    """sha256 of the adapter of a second training, and where its losses leave those of the first."""
    trained = launch_training(config, dataset, own.settings, tell_event, parent=run.parent)
    losses = read_record(own.store, trained.identity).losses
    return str(trained.adapter_sha256), first_difference(run.losses, losses)
