"""What a file is by its first bytes, where that is something else than its name says.

A pointer of Git LFS, an error page, a workbook or an array in a .jsonl are refused by what they are: read as what they
are called, every row of them would be bad for a reason that helps nobody.
"""

from __future__ import annotations

import re

from mtl.errors import DataError

HEAD = 4096
"""First bytes of a file that are enough to tell."""

_UNPACK = "unpack it, and name the unpacked file"
_CONVERT = "export it as CSV (UTF-8) or as JSON lines"
_FETCH = "fetch the file itself"
_MAGIC: tuple[tuple[bytes, str, str], ...] = (
    (b"\x1f\x8b", "a gzip file", "give it a name that ends in .gz, once for each time it was packed"),
    (b"\x28\xb5\x2f\xfd", "a zstd file", "give it a name that ends in .zst, or unpack it"),
    (b"BZh", "a bzip2 file", _UNPACK),
    (b"\xfd7zXZ\x00", "an xz file", _UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", _UNPACK),
    (b"Rar!\x1a\x07", "a RAR archive", _UNPACK),
    (b"PAR1", "a parquet file", "give it a name that ends in .parquet"),
    (b"PARE", "an encrypted parquet file", "decrypt it first"),
    (b"ARROW1\x00\x00", "an Arrow file", "give it a name that ends in .arrow"),
    (b"Obj\x01", "an Avro file", "save it as parquet or JSON lines"),
    (b"ORC", "an ORC file", "save it as parquet or JSON lines"),
    (b"\x89HDF\r\n", "an HDF5 file", "save it as parquet or JSON lines"),
    (b"SQLite format 3\x00", "an SQLite database", "export the table as CSV (UTF-8) or JSON lines"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an Office document of before 2007", _CONVERT),
    (b"%PDF-", "a PDF", "extract its text first"),
    (b"version https://git-lfs.github.com/spec/", "a Git LFS pointer, not the data", f"{_FETCH}: git lfs pull"),
    (b"/annex/objects/", "a git-annex pointer, not the data", f"{_FETCH}: git annex get"),
)
_LINES = ("jsonl", "ndjson", "jsonlines")
_OWN = {"parquet": b"PAR1", "arrow": b"ARROW1", "feather": b"ARROW1"}
_PAGE = re.compile(rb"\s*(?:<!doctype html|<html|<head|<body)", re.IGNORECASE)
_XML = re.compile(rb"\s*(?:<\?xml|<Error>)")
_ARRAY = re.compile(rb"\s*\[\s*(?:\{|\r?\n|$)")
_SPREAD = re.compile(rb'\s*\{[ \t\r]*\n\s*"')
_OBJECT = re.compile(rb'\s*\[?\s*\{\s*"')


def check_kind(head: bytes, kind: str, name: str) -> None:
    """DataError if a file that is read as `kind` begins with `head` and so is something else, which it names."""
    found = other_kind(head, kind)
    if found:
        what, remedy = found
        raise DataError(f"{name} is {what}, but its name says {kind}", field="data.sources", hint=remedy)


def other_kind(head: bytes, kind: str) -> tuple[str, str] | None:
    """(what a file with these first bytes is, what to do about it), None where it may be what `kind` says.

    Text in another encoding is `text_encoding`'s to tell, which knows what the source says.
    """
    if not head:
        return "an empty file", "fetch or write it again; remove it if it is meant to hold nothing"
    for magic, what, remedy in _MAGIC:
        if head.startswith(magic) and not magic.startswith(_OWN.get(kind, b"\x00")):
            return what, remedy
    if head.startswith(b"PK\x03\x04"):
        return ("an Excel workbook", _CONVERT) if _is_workbook(head) else ("a zip file", _UNPACK)
    if head[257:262] == b"ustar":
        return "a tar archive", "give it a name that ends in .tar"
    plain = head.removeprefix(b"\xef\xbb\xbf")
    if _PAGE.match(plain):
        return "an HTML page, not the data", f"{_FETCH}: a download gave an error or a login page"
    if _XML.match(plain):
        return "an XML document, not the data", f"{_FETCH}: stores answer with XML where a download is refused"
    return _other_text(plain, kind)


def _other_text(head: bytes, kind: str) -> tuple[str, str] | None:
    if kind in _LINES and _ARRAY.match(head):
        return "a JSON array, not an object a line", "give it a name that ends in .json"
    if kind in (*_LINES, "json") and _SPREAD.match(head):
        return "a JSON object spread over several lines", "write an object a line (jq -c), or an array of objects"
    if kind in ("csv", "tsv") and _OBJECT.match(head):
        return "JSON, not a table", "give it a name that ends in .jsonl, or in .json for an array"
    if kind in _OWN and _OBJECT.match(head):
        return f"JSON, not {kind}", "give it a name that ends in .jsonl, or in .json for an array"
    return None


def _is_workbook(head: bytes) -> bool:
    return b"[Content_Types].xml" in head or b"xl/" in head or b"_rels/" in head
