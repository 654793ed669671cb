"""Traffic in the object store: written by servers, read by flows.

Every object is written once and never changed, so that several servers need not know of each other.
"""

from __future__ import annotations

import io
import json
import logging
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from mtl.document import check_record, parse_json
from mtl.errors import DamageError, NotFoundError, TransientError
from mtl.layout import feedback_prefix, requests_prefix, served_prefix
from mtl.seal import seal, unseal
from mtl.store.base import ObjectStore
from mtl.traffic.records import Feedback, ServedAnswer, ServedCounts, feedback_name

_log = logging.getLogger(__name__)
_NESTED = ("request", "decoding")
_WRITE_ID = "write_id"
_TRIES = 5


def part_of(answers: Sequence[ServedAnswer]) -> bytes:
    """A part of the request log, as Parquet; what stands under `request` and `decoding` is JSON."""
    import pyarrow as pa  # who reads counts alone, such as the receiver of webhooks, need not have it
    import pyarrow.parquet as pq

    rows = [
        answer.to_dict() | {name: json.dumps(getattr(answer, name), sort_keys=True) for name in _NESTED}
        for answer in answers
    ]
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=_schema()), sink, compression="zstd")
    return sink.getvalue()


def read_answers(
    store: ObjectStore,
    model: str,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    on_damage: Callable[[str], None] = lambda key: None,
) -> Iterator[ServedAnswer]:
    """The logged answers of [since, until), by day and part. A part that is damaged is named in a warning and left out.

    since, until: in UTC; None is unbounded. on_damage: called with the key of each such part.
    """
    for info in store.list(f"{requests_prefix(model)}/"):
        day = info.key.rpartition("/")[0].rpartition("/")[2]
        if (since and day < f"{since:%Y-%m-%d}") or (until and day > f"{until:%Y-%m-%d}"):
            continue
        try:
            yield from [answer for answer in _part(store, info.key) if _within(answer.at, since, until)]
        except NotFoundError:
            continue  # its retention ended meanwhile
        except DamageError as error:
            _log.warning("%s; its answers are left out", error.message)
            on_damage(info.key)


def write_feedback(store: ObjectStore, model: str, feedback: Feedback) -> Feedback:
    """Keep what somebody said of an answer; what is kept of it now. That is another one if there was one before.

    A put that was made twice, because the first answer was lost, says that something is there: by its `write_id` it is
    known to be this one.
    """
    key = f"{feedback_prefix(model)}/{feedback.name}.json"
    own = {**feedback.to_dict(), _WRITE_ID: uuid4().hex}
    for _ in range(_TRIES):
        if store.put_if_absent(key, seal(own)):
            return feedback
        try:
            document = unseal(store.get(key), key)
        except NotFoundError:
            continue  # S3 reports a conflict (409) also if nobody won it
        return feedback if document.get(_WRITE_ID) == own[_WRITE_ID] else check_record(Feedback, document, key)
    raise TransientError(f"{key}: the store says taken, but holds no such object ({_TRIES} tries)")


def find_feedback(store: ObjectStore, model: str, answer_id: str, question: int | None) -> Feedback | None:
    """What is kept of an answer, or of one of its questions."""
    try:
        return _feedback(store, f"{feedback_prefix(model)}/{feedback_name(answer_id, question)}.json")
    except NotFoundError:
        return None


def read_feedback(
    store: ObjectStore, model: str, *, on_damage: Callable[[str], None] = lambda key: None
) -> Iterator[Feedback]:
    """All feedback, by name of its object. What is damaged is named in a warning and left out.

    on_damage: called with the key of each such object.
    """
    for info in store.list(f"{feedback_prefix(model)}/"):
        try:
            yield _feedback(store, info.key)
        except NotFoundError:
            continue  # somebody removed it meanwhile
        except DamageError as error:
            _log.warning("%s; it is left out", error.message)
            on_damage(info.key)


def write_counts(store: ObjectStore, model: str, name: str, hour: datetime, counts: Sequence[ServedCounts]) -> None:
    """What a server counted in an hour that is over, or up to now. name: of the document, which nobody else writes."""
    document = {"counts": [count.to_dict() for count in counts]}
    store.put(f"{served_prefix(model)}/{hour:%Y-%m-%dT%H}/{name}.json", seal(document))


def read_counts(
    store: ObjectStore, model: str, *, since: datetime, until: datetime | None = None
) -> Mapping[int, ServedCounts]:
    """version -> the sum of what all servers counted in the hours from that of `since` to that of `until`, both in.

    A document that is damaged is named in a warning and left out as a whole.
    """
    sums: dict[int, dict[str, Any]] = defaultdict(lambda: defaultdict(int))
    for info in store.list(f"{served_prefix(model)}/"):
        hour = info.key.rpartition("/")[0].rpartition("/")[2]
        if hour < f"{since:%Y-%m-%dT%H}" or (until and hour > f"{until:%Y-%m-%dT%H}"):
            continue
        try:
            served = check_record(_Served, unseal(store.get(info.key), info.key), info.key)
        except DamageError as error:
            _log.warning("%s; its counts are left out", error.message)
            continue
        for counts in served.counts:
            for field in fields(counts):
                if field.name != "version":
                    sums[counts.version][field.name] += getattr(counts, field.name)
    return {version: ServedCounts(version, **found) for version, found in sums.items()}


@dataclass(frozen=True, slots=True)
class _Served:
    """The document of one server and hour."""

    counts: tuple[ServedCounts, ...]


def _schema() -> Any:
    import pyarrow as pa

    return pa.schema(
        [
            *((name, pa.string()) for name in ("id", "at", "task", "text", "request", "decoding")),
            ("truncated", pa.bool_()),
            ("answer", pa.string()),
            ("version", pa.int64()),
            ("milliseconds", pa.float64()),
            ("usable", pa.bool_()),
            ("marks", pa.list_(pa.float64())),
        ]
    )


def _part(store: ObjectStore, key: str) -> list[ServedAnswer]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        rows = pq.read_table(io.BytesIO(store.get(key))).to_pylist()
    except (pa.ArrowInvalid, OSError) as error:
        raise DamageError(f"{key} is damaged: it is no part of a request log ({type(error).__name__})") from None
    records = [row | {name: parse_json(row.get(name) or "", key) for name in _NESTED} for row in rows]
    return [check_record(ServedAnswer, record, key) for record in records]


def _feedback(store: ObjectStore, key: str) -> Feedback:
    return check_record(Feedback, unseal(store.get(key), key), key)


def _within(at: str, since: datetime | None, until: datetime | None) -> bool:
    try:
        moment = datetime.fromisoformat(at)
    except ValueError:
        raise DamageError(f"a part of the request log is damaged: {at[:40]!r} is no moment") from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (since is None or moment >= since) and (until is None or moment < until)
