"""The base and its tokenizer: there, of the right family, and loadable."""

from __future__ import annotations

from collections.abc import Iterator

from mtl.doctor.result import CheckResult, ok
from mtl.model.base import DEMO, base_sha256, resolve_base
from mtl.model.tokenizer import load_tokenizer
from mtl.tasks.table import TASKS


def base(name: str = DEMO, revision: str | None = None, tokenizer: str | None = None) -> Iterator[CheckResult]:
    """A base by its name in a configuration. Errors: NotFoundError and ModelError, as loading it would raise."""
    ref = resolve_base(name, revision)
    loaded = load_tokenizer(tokenizer or ref.location, [task.token for task in TASKS.values()], revision=revision)
    yield ok("tokenizer", f"{len(loaded)} tokens, tasks {', '.join(TASKS)} among them")
    yield ok("base", f"{name}: {ref.config['model_type']}, weights sha256 {base_sha256(ref)[:12]}")
