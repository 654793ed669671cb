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
from mtl.sources.arrow_rows import UNREADABLE
from mtl.sources.base import BLOCK, WHOLE, Chunk, Description, Known, Note, Part, RawRow, in_parts
from mtl.sources.race import level_in, spread
from mtl.sources.splits import SPLITS
from mtl.task import BadRow

_Row = tuple[int, Mapping[str, Any] | BadRow]
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
        columns: frozenset[str] | None = None,
        load: Callable[..., Mapping[str, Any]] | None = None,
    ) -> None:
        self._task, self._name, self._config, self._revision = task, name, config, revision
        self._limits, self._streaming, self._load = dict(limits), streaming, load or _load_dataset
        self._columns = columns

    @cached_property
    def _splits(self) -> dict[str, Any]:
        loaded = self._load(self._name, self._config, revision=self._revision, streaming=self._streaming)
        named = {split: _ALIASES.get(split, split) for split in loaded}
        return {split if its != split and its in loaded else its: loaded[split] for split, its in named.items()}

    def splits(self) -> tuple[str, ...]:
        return tuple(split for split in SPLITS if split in self._splits)

    def rows(self, split: str, part: Part = WHOLE) -> Iterator[RawRow]:
        place = f"{self._name}/{self._config or 'default'}/{split}"
        level = "college" if level_in(self._name) == "college" else None
        rows, unread = self._read_columns(self._splits[split])
        found = _own(rows, self._limits.get(split), part)
        while (its := self._next(found, place)) is not None:
            number, row = its
            empty = unread if number < BLOCK else {}
            value = row if isinstance(row, BadRow) else {**empty, **row, "hub_config": self._config}
            yield from spread(RawRow(value, place, number + 1), level=level)

    def _read_columns(self, rows: Any) -> tuple[Any, dict[str, None]]:
        """The rows with the columns that are read alone, and the others without values, for messages about columns."""
        names = getattr(rows, "column_names", None)
        if self._columns is None or not names:
            return rows, {}
        read = [name for name in names if name in self._columns]
        return rows.select_columns(read), dict.fromkeys(name for name in names if name not in read)

    def _next(self, rows: Iterator[_Row], place: str) -> _Row | None:
        """The next row of a stream, None after the last. Errors: TransientError if the connection breaks."""
        try:
            return next(rows, None)
        except _broken() as error:
            raise TransientError(f"cannot read hub:{place}: {type(error).__name__}", field="sources.uri") from None

    def describe(self) -> Description:
        return Description(self._task, f"hub:{self._name}", self._revision, self.stamp())

    def chunks(self, split: str, of: int, known: Known) -> list[Chunk]:
        return in_parts(split, of, self.size() // len(self.splits()))

    def read(self, chunk: Chunk) -> Iterator[RawRow]:
        return self.rows(chunk.split, chunk.part)

    def local(self, chunk: Chunk) -> None:
        return None

    def size(self) -> int:
        if self._streaming:
            return 0
        return sum(int(getattr(rows, "dataset_size", None) or 0) for rows in self._splits.values())

    def notes(self) -> list[Note] | None:
        if "_splits" not in vars(self):
            return None
        known = f"a split that is none of {', '.join(SPLITS)}"
        return [Note(split, known) for split in self._splits if split not in SPLITS]

    def stamp(self) -> str:
        """The revision names the content, so nothing has to be read."""
        return sha256_json([self._name, self._config, self._revision, self._limits])


def _own(rows: Any, limit: int | None, part: Part) -> Iterator[tuple[int, Mapping[str, Any] | BadRow]]:
    """(number, row) of a part's rows; what is in the cache is reached block by block, a stream is read past."""
    if not hasattr(rows, "select"):
        yield from ((n, row) for n, row in enumerate(islice(rows, limit)) if part.has(0, n))
        return
    total = len(rows) if limit is None else min(limit, len(rows))
    for start in range(0, total, BLOCK):
        if part.has(0, start):
            yield from enumerate(_block(rows.select(range(start, min(start + BLOCK, total)))), start=start)


def _block(rows: Any) -> list[Mapping[str, Any] | BadRow]:
    try:
        return list(rows)
    except UNREADABLE:
        return [_row(rows, number) for number in range(len(rows))]


def _row(rows: Any, number: int) -> Mapping[str, Any] | BadRow:
    try:
        found: Mapping[str, Any] = rows[number]
    except UnicodeDecodeError:
        return BadRow("not UTF-8", "row")
    except UNREADABLE:
        return BadRow("unreadable value", "row")
    return found


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
