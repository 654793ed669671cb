"""Every: a function that is called now and then by a thread of its own, which nobody waits for."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from mtl.errors import MtlError

_log = logging.getLogger(__name__)
_CLOSING_SECONDS = 10.0


class Every:
    """what: in the warning about a call that fails; the next one tries again. at_end: call it once more when closed."""

    def __init__(self, seconds: float, function: Callable[[], object], *, what: str, at_end: bool = False) -> None:
        self._seconds, self._function, self._what, self._at_end = seconds, function, what, at_end
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"mtl-{what}", daemon=True)
        self._thread.start()

    def close(self, seconds: float = _CLOSING_SECONDS) -> None:
        """Wait for the call that is being made and for the last one, for so long at most."""
        self._closing.set()
        self._thread.join(seconds)

    def _run(self) -> None:
        failed, tell_at = 0, 1
        closed = False
        while not closed or self._at_end:
            try:
                self._function()
                failed, tell_at = 0, 1
            except Exception as error:  # the thread goes on, whatever it is
                failed += 1
                if failed >= tell_at:
                    tell_at *= 2
                    foreseen = isinstance(error, MtlError)
                    said = error.message if isinstance(error, MtlError) else type(error).__name__
                    _log.warning("%s failed %d times: %s", self._what, failed, said, exc_info=not foreseen)
            if closed:
                return
            closed = self._closing.wait(self._seconds)
