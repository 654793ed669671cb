"""Has the data changed enough to train again?"""

from __future__ import annotations

from mtl.chain.common import Document, task_names
from mtl.config.retrain import RetrainConfig
from mtl.settings import load_settings
from mtl.store.open import open_store


def compare_data(config: RetrainConfig, dataset: str) -> Document:
    """`changed`: the share of training examples, old and new together, that are not in both data sets.

    dataset: fingerprint of today's data. `since` is that of the champion's; None where there is no champion or its
    data are gone, and everything counts as changed.
    """
    from mtl.data.dataset import look_for_manifest, open_dataset
    from mtl.release import layout
    from mtl.release.journal import read_journal

    settings = load_settings()
    store = open_store(settings.store)
    model = config.register_.model
    champion = read_journal(store, model).champion
    release = layout.find_manifest(store, model, champion) if champion is not None else None
    since = release.facts.fingerprint if release else None
    if since is None or look_for_manifest(store, since) is None:
        return {"dataset": dataset, "since": None, "changed": 1.0}
    names = task_names(config)
    now, then = (
        {uid for name in names for uid in _uids(open_dataset(store, which, settings.cache), name)}
        for which in (dataset, since)
    )
    changed = len(now ^ then) / max(1, len(now | then))
    return {"dataset": dataset, "since": since, "changed": round(changed, 6)}


def _uids(data: object, task: str) -> list[str]:
    """Of one task's training examples; none for a task that the data set does not have."""
    from mtl.data.dataset import Dataset
    from mtl.errors import NotFoundError

    assert isinstance(data, Dataset)
    try:
        return [f"{task} {uid}" for uid in data.table(task, "train").column("uid").to_pylist()]
    except NotFoundError:
        return []
