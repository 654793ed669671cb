"""RecentAnswers: what the server answered last, so that feedback needs no more than the id of an answer."""

from __future__ import annotations

import threading
from collections import OrderedDict
from sys import getsizeof

from mtl.traffic.records import ServedAnswer

MOST_ANSWERS, MOST_BYTES = 10_000, 64 << 20


class RecentAnswers:
    """Answers by id, in memory only; the oldest go first.

    most_bytes: of their texts. An answer that is larger than that alone is not kept.
    """

    def __init__(self, *, most: int = MOST_ANSWERS, most_bytes: int = MOST_BYTES) -> None:
        self.most, self.most_bytes = most, most_bytes
        self._kept: OrderedDict[str, ServedAnswer] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def add(self, answer: ServedAnswer) -> None:
        with self._lock:
            self._kept[answer.id] = answer
            self._bytes += _size(answer)
            while len(self._kept) > self.most or self._bytes > self.most_bytes:
                _, oldest = self._kept.popitem(last=False)
                self._bytes -= _size(oldest)

    def get(self, answer_id: str) -> ServedAnswer | None:
        with self._lock:
            return self._kept.get(answer_id)


def _size(answer: ServedAnswer) -> int:
    return getsizeof(answer.text) + getsizeof(answer.answer)
