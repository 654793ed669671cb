"""The configuration's data, as far as files on this machine tell: are they there, is there something to judge by?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from mtl.config.retrain import RetrainConfig
from mtl.doctor.finding import Finding, fault, ok
from mtl.settings import Settings
from mtl.sources.open import open_source


def data(settings: Settings, config: RetrainConfig | None) -> Iterator[Finding]:
    """Every source on disk can be opened, and each task has examples of the split that versions are judged on.

    What is far away (hub:, s3://) is not fetched, so a task that has such a source is taken to have the split.
    """
    if config is None:
        return
    wanted, have = config.evaluate.split, defaultdict[str, set[str]](set)
    for source in config.data.sources:
        if ":" in source.uri:
            have[source.task].add(wanted)
        else:
            have[source.task].update(open_source(source, config.seed, cache=settings.cache).splits())
    lacking = [task for task, splits in have.items() if wanted not in splits]
    if lacking and wanted not in config.data.holdout:
        what = f"{config.name}: no {wanted} examples of {' and '.join(lacking)}, on which a retrain is judged"
        yield fault("data", what, f"data: {{holdout: {{{wanted}: 0.1}}}} makes them out of a tenth of train")
    else:
        yield ok("data", f"{config.name}: {len(config.data.sources)} sources, tasks {', '.join(have)}")
