"""The outcome of a retrain: kept last, found when the same retrain is asked for again."""

from __future__ import annotations

import logging

from mtl.chain.common import Document
from mtl.config.retrain import RetrainConfig
from mtl.decision import Decision
from mtl.errors import DamageError, NotFoundError
from mtl.fingerprint import sha256_json
from mtl.settings import load_settings, trainer_nodes, trainer_processes
from mtl.store.documents import copy_key, put_document, read_document
from mtl.store.open import open_store

_log = logging.getLogger(__name__)
_KEYS = {"evaluate", "decision", "version", "release", "champion"}


def find_done(config: RetrainConfig, dataset: str) -> Document | None:
    """The result of training a data set, if all of its retrain is done; None if there is anything to do.

    Found without the trainer, and so without the device.
    """
    from mtl.checkpoints.identity import RunIdentity
    from mtl.model.base import base_sha256, resolve_base
    from mtl.model.precision import device_kind
    from mtl.training.plan import identity_fields

    nodes = trainer_nodes()
    base = base_sha256(resolve_base(config.model.base, config.model.revision))
    processes = trainer_processes() * (nodes.count if nodes else 1)
    fields = identity_fields(config, dataset=dataset, base_sha256=base, device=device_kind(), world_size=processes)
    identity = RunIdentity.of(config.name, fields).sha256
    try:
        if find_judged(config, {"identity": identity}) is None:
            return None
        from mtl.training.run import read_result

        return read_result(open_store(load_settings().store), identity)
    except (DamageError, NotFoundError) as error:
        _log.info("what this retrain once made is not whole, so that it waits for the device: %s", error.message)
        return None


def find_judged(config: RetrainConfig, trained: Document) -> Document | None:
    """What `keep_judged` kept of this run under the same evaluation and gate; None if it was not judged yet."""
    store, key = open_store(load_settings().store), _judged_key(config, trained)
    hint = f"delete {key} and {copy_key(key)}: the version is then judged again"
    try:
        found = read_document(store, key, hint=hint)
    except NotFoundError:
        return None
    if missing := _KEYS - found.keys():
        raise DamageError(f"{key} is no outcome of a retrain: it has no {min(missing)}", field=key, hint=hint)
    return found


def keep_judged(
    config: RetrainConfig,
    trained: Document,
    report: Document,
    registered: Document,
    decision: Document,
    promoted: Document,
) -> Document:
    """Keep the outcome as the last write of a retrain, so that repeating it finds everything done.

    A promotion that was refused after the decision is not kept, nor one that nobody answered for: the next retrain
    judges the version again.
    """
    refused = promoted.get("refused")
    if refused:
        decision = decision | {"promoted": False, "state": Decision.OVERTAKEN.value, "reasons": [refused]}
    document = {
        "evaluate": {name: value for name, value in report.items() if name not in ("samples", "metrics")},
        "decision": decision,
        "version": registered["version"],
        "release": registered["release"],
        "report": registered.get("report"),
        "champion": promoted["champion"],
    }
    unanswered = "approval" in decision and decision["approval"]["by"] is None
    if not refused and not unanswered:
        put_document(open_store(load_settings().store), _judged_key(config, trained), document)
    return document


def _judged_key(config: RetrainConfig, trained: Document) -> str:
    rules = config.model_dump(mode="json", by_alias=True, include={"evaluate", "gate", "register_"})
    del rules["gate"]["too_few_examples"]  # whether to judge, not how
    return f"runs/{trained['identity']}/judged/{sha256_json(rules)}.json"


def summary(
    dataset: Document,
    trained: Document,
    judged: Document,
    *,
    flow_run: Document,
    unchanged: bool,
    steps: Document | None = None,
) -> Document:
    """The document of `mtl retrain --json`. steps: step -> seconds, tries, cost."""
    names = ("fingerprint", "counts", "quarantine", "truncated")
    return {
        "dataset": {name: dataset[name] for name in names},
        "train": trained,
        **judged,
        "unchanged": unchanged,
        "flow_run": flow_run,
        "steps": steps or {},
    }
