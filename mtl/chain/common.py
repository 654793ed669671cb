"""What the steps share: names, places, and the models that are measured."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mtl.config.retrain import RetrainConfig
from mtl.decision import Decision
from mtl.errors import MtlError, TransientError
from mtl.settings import Settings, load_settings
from mtl.store.base import ObjectStore
from mtl.store.open import open_store
from mtl.tasks.table import in_order

if TYPE_CHECKING:
    from mtl.release.journal import Journal

Document = dict[str, Any]
_log = logging.getLogger(__name__)
DEFAULT_MODEL = "mtl-flan-t5"


def task_names(config: RetrainConfig) -> list[str]:
    """Names of the configuration's tasks in the order of data sets and tokens."""
    return in_order(source.task for source in config.data.sources)


def tracking(settings: Settings) -> Any:
    """MLflow at the configured address; embedded, its artifacts stand beside its database."""
    from mtl.tracking.client import Tracking

    return Tracking(settings.tracking_uri, artifact_root=(settings.home / "mlflow-artifacts").as_uri())


def lineage_tags(trained: Mapping[str, Any]) -> dict[str, str]:
    """What a run's page must say of a run that is no longer bit-exact; `trained` is its start event or its result."""
    if trained["bit_exact"]:
        return {}
    source = trained["continued_from"]
    return {"bit_exact": "false", "continued_from": source["source"], "differing": ", ".join(source["differing"])}


def model_folder(config: RetrainConfig, trained: Document) -> Path:
    """The model that a finished run made, as a folder on this machine."""
    from mtl.training.export import export_model

    settings = load_settings()
    return export_model(
        config,
        task_names(config),
        open_store(settings.store),
        identity=trained["identity"],
        adapter_sha256=trained["adapter_sha256"],
        cache=settings.cache,
    )


def champion_model(config: RetrainConfig, store: ObjectStore, settings: Settings) -> tuple[int | None, Path | None]:
    """(version, folder) of the champion, (None, None) where there is none yet. An alias moved by hand counts."""
    from mtl.release.journal import read_journal
    from mtl.release.refs import resolve_ref

    name = config.register_.model
    with contextlib.suppress(TransientError):  # MLflow is away: the journal alone says who is champion
        follow_aliases(name)
    version = read_journal(store, name).champion
    if version is None:
        return None, None
    return version, resolve_ref(f"v{version}", store=store, model=name, cache=settings.cache).folder


def follow_aliases(model: str) -> Document:
    """Take up a champion alias that a person moved in MLflow, and mend those that lag; what `mtl reconcile` prints."""
    from mtl.registry.registry import Registry
    from mtl.release.journal import read_journal
    from mtl.release.promote import follow

    settings = load_settings()
    store = open_store(settings.store)
    registry = Registry(tracking(settings), model)
    followed = follow(store, model=model, aliases=registry)
    adopted = followed.adopted
    if adopted and adopted.forced:
        record_force(registry, adopted.version, against=adopted.replaced, reason=adopted.reason, by=_IN_MLFLOW)
    return {
        "model": model,
        "champion": read_journal(store, model).champion,
        "adopted": adopted.to_dict() if adopted else None,
        "refused": followed.refused,
        "mended": dict(followed.mended),
    }


_IN_MLFLOW = "a person in MLflow"


def record_force(registry: Any, version: int, *, against: int | None, reason: str, by: str) -> None:
    """Say with the version that it was promoted by force; what the gate said stays below that."""
    from mtl.registry.registry import Verdict

    before = registry.verdict(version)
    gates = before.reasons if before else ()
    gates = gates[1:] if before and before.decision is Decision.FORCED else gates
    said = f"Promoted by force by {by}: {reason}"
    registry.record_verdict(version, Verdict(Decision.FORCED, (said, *gates), against, by))


def journal(model: str) -> Journal:
    """Who was champion when, and why."""
    from mtl.release.journal import read_journal

    return read_journal(open_store(load_settings().store), model)


_PATIENCE_FOR_NEWS = 5.0


def was_told(model: str, event: str, key: str) -> bool:
    """Whether an event was marked as told. Where the store does not answer, nobody knows: False."""
    with contextlib.suppress(MtlError):
        return _news_store().head(f"told/{model}/{event}/{key}") is not None
    return False


def first_to_tell(model: str, event: str, key: str) -> bool:
    """Mark an event as told; False if it was marked before. If the store is away: better twice than never."""
    with contextlib.suppress(MtlError):
        return _news_store().put_if_absent(f"told/{model}/{event}/{key}", b"told")
    return True


def _news_store() -> ObjectStore:
    return open_store(load_settings().store, patience=_PATIENCE_FOR_NEWS)


def evaluation_prefix(identity: str) -> str:
    """Where a run's evaluation is kept in the store."""
    return f"runs/{identity}/evaluation"


def prune_checkpoints(*, delete: bool) -> Document:
    """What no commit of any run has needed for a day; deleted if asked. What `mtl checkpoints prune` prints."""
    from mtl.checkpoints.prune import plan_prune, prune

    store = open_store(load_settings().store)
    plan = plan_prune(store)
    deleted = prune(store, plan) if delete else 0
    return {"store": store.uri, **plan.to_dict(), "run": None, "deleted": deleted, "dry_run": not delete}


def tidy() -> Document:
    """`prune_checkpoints` at the end of a retrain: its failure is a warning, for the retrain is done."""
    try:
        return prune_checkpoints(delete=True)
    except MtlError as error:
        _log.warning("old checkpoints were not pruned, the next retrain tries again: %s", error.message)
        return {"deleted": 0, "failed": error.message}
