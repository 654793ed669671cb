"""Text files in other encodings: read as UTF-8 where the source names one, refused in words where it should have."""

from __future__ import annotations

import codecs
import io
from typing import Any, BinaryIO, cast

from mtl.errors import DataError

_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",  # begins with the mark of UTF-16
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_HEAD = 1024


def in_utf8(file: BinaryIO, name: str, encoding: str | None) -> BinaryIO:
    """The file, or the same text in UTF-8 if it has another encoding. What cannot be decoded comes as bytes that are
    not UTF-8 either.

    Errors: DataError for a file that is plainly UTF-16 or UTF-32 while the source does not say so.
    """
    head = file.peek(_HEAD)[:_HEAD] if isinstance(file, io.BufferedReader) else b""
    if encoding is None or _is_utf8(encoding):
        _refuse_wide(head, name)
        return file
    if head.startswith(codecs.BOM_UTF8):
        raise DataError(
            f"{name}: begins with the byte order mark of UTF-8, the source says `encoding: {encoding}`",
            field="data.sources.encoding",
            hint="leave `encoding` out, or read this file as a source of its own",
        )
    return cast("BinaryIO", io.BufferedReader(_Recoded(file, name, encoding), 2**18))


def _is_utf8(encoding: str) -> bool:
    return codecs.lookup(encoding).name in ("utf-8", "utf-8-sig")


def wide_encoding(head: bytes) -> str | None:
    """UTF-16 or UTF-32, if text that begins so is plainly that."""
    return next((encoding for mark, encoding in _MARKS.items() if head.startswith(mark)), None) or _by_nul(head)


def _refuse_wide(head: bytes, name: str) -> None:
    found = wide_encoding(head)
    if found:
        raise DataError(
            f"{name}: {found.upper()} text, expected UTF-8",
            field="data.sources.encoding",
            hint=f"say `encoding: {found}` beside the source's uri",
        )


def _by_nul(head: bytes) -> str | None:
    """UTF-16 without a byte order mark: every other byte of plain text is 0."""
    pairs = len(head) // 2
    for start, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
        if pairs > 4 and head[start::2].count(0) > 0.7 * pairs and head[1 - start :: 2].count(0) < 0.1 * pairs:
            return encoding
    return None


class _Recoded(io.RawIOBase):
    """Text of another encoding as UTF-8."""

    def __init__(self, file: BinaryIO, name: str, encoding: str) -> None:
        errors = "strict" if codecs.lookup(encoding).name.startswith("utf-") else "surrogateescape"
        self._text = io.TextIOWrapper(file, encoding=encoding, errors=errors, newline="")
        self._name, self._encoding, self._rest = name, encoding, b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._rest:
            try:
                self._rest = self._text.read(2**16).encode("utf-8", "surrogateescape")
            except UnicodeError as error:
                raise DataError(
                    f"{self._name}: not {self._encoding}: {error}",
                    field="data.sources.encoding",
                    hint="is it cut off, or in another encoding?",
                ) from None
        data, self._rest = self._rest[: len(buffer)], self._rest[len(buffer) :]
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._text.detach()  # the file is its owner's to close
        super().close()
