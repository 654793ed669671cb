"""Rows from the Hugging Face Hub at a pinned revision, through `datasets.load_dataset` and its cache.

No repository's code is run: `trust_remote_code` is never given. With HF_HUB_OFFLINE=1 or HF_DATASETS_OFFLINE=1 only the
cache is read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from itertools import islice
from typing import Any

from mtl.errors import NotFoundError, TransientError
from mtl.fingerprint import sha256_json
from mtl.sources.base import BLOCK, WHOLE, Description, Part, RawRow
from mtl.sources.files import SPLITS
from mtl.sources.race import level_in, spread

_ALIASES = {"dev": "validation", "val": "validation", "valid": "validation"}


class HubSource:
    """Repository `name` ("owner/name"), configuration `config`, at `revision`; each row gets `hub_config`."""

    def __init__(
        self,
        task: str,
        name: str,
        *,
        config: str | None,
        revision: str,
        limits: Mapping[str, int],
        streaming: bool = False,
        load: Callable[..., Mapping[str, Any]] | None = None,
    ) -> None:
        self._task, self._name, self._config, self._revision = task, name, config, revision
        self._limits, self._streaming, self._load = dict(limits), streaming, load or _load_dataset

    @cached_property
    def _splits(self) -> dict[str, Any]:
        loaded = self._load(self._name, self._config, revision=self._revision, streaming=self._streaming)
        return {_ALIASES.get(split, split): rows for split, rows in loaded.items()}

    def splits(self) -> tuple[str, ...]:
        return tuple(split for split in SPLITS if split in self._splits)

    def rows(self, split: str, part: Part = WHOLE) -> Iterator[RawRow]:
        place = f"{self._name}/{self._config or 'default'}/{split}"
        level = "college" if level_in(self._name) == "college" else None
        rows = _own(self._splits[split], self._limits.get(split), part)
        while (found := self._next(rows, place)) is not None:
            number, row = found
            raw = RawRow({**row, "hub_config": self._config}, place, number + 1)
            yield from spread(raw, level=level)

    def _next(self, rows: Iterator[tuple[int, Mapping[str, Any]]], place: str) -> tuple[int, Mapping[str, Any]] | None:
        """The next row of a stream, None after the last. Errors: TransientError if the connection breaks."""
        try:
            return next(rows, None)
        except _broken() as error:
            raise TransientError(f"cannot read hub:{place}: {type(error).__name__}", field="sources.uri") from None

    def describe(self) -> Description:
        return Description(self._task, f"hub:{self._name}", self._revision, self.stamp())

    def size(self) -> int:
        if self._streaming:
            return 0
        return sum(int(getattr(rows, "dataset_size", None) or 0) for rows in self._splits.values())

    def stamp(self) -> str:
        """The revision names the content, so nothing has to be read."""
        return sha256_json([self._name, self._config, self._revision, self._limits])


def _own(rows: Any, limit: int | None, part: Part) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """(number, row) of a part's rows; what is in the cache is reached block by block, a stream is read past."""
    if part.of == 1 or not hasattr(rows, "select"):
        yield from ((n, row) for n, row in enumerate(islice(rows, limit)) if part.has(0, n))
        return
    total = len(rows) if limit is None else min(limit, len(rows))
    for start in range(0, total, BLOCK):
        if part.has(0, start):
            yield from enumerate(rows.select(range(start, min(start + BLOCK, total))), start=start)


def _broken() -> tuple[type[Exception], ...]:
    """What a connection that breaks raises: the Hub's client tries again, gives up, and translates nothing."""
    import httpx
    from requests.exceptions import RequestException

    return (ConnectionError, TimeoutError, httpx.HTTPError, RequestException)


def _load_dataset(name: str, config: str | None, *, revision: str, streaming: bool) -> Mapping[str, Any]:
    import datasets
    from datasets.exceptions import DatasetNotFoundError

    where = f"hub:{name} ({config or 'default'}) at {revision}"
    try:
        loaded: Mapping[str, Any] = datasets.load_dataset(name, config, revision=revision, streaming=streaming)
    except DatasetNotFoundError as error:
        raise NotFoundError(f"no data set {where}: {error}", field="sources.uri") from None
    except _broken() as error:
        if datasets.config.HF_HUB_OFFLINE:  # trying again cannot help
            hint = "it is not in the cache (HF_HOME), and HF_HUB_OFFLINE forbids to fetch it"
            raise NotFoundError(f"offline, no {where}", field="sources.uri", hint=hint) from None
        hint = "needs the network, or a cache filled before (HF_HOME) with HF_HUB_OFFLINE=1"
        raise TransientError(f"cannot reach {where}: {error}", field="sources.uri", hint=hint) from None
    except (ValueError, RuntimeError) as error:  # unknown configuration, or a repository that needs its script
        raise NotFoundError(f"cannot load {where}: {error}", field="sources.name") from None
    return loaded
