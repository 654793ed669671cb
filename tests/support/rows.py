"""Rows in the Hub's field names, for tests."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

Row = dict[str, Any]


def question(number: int = 1, *, passage: str = "Tom has a dog. He lives in Rome.", **fields: Any) -> Row:
    """One question of a passage, middle level; `number` makes its text its own."""
    return {
        "example_id": "middle1.txt",
        "article": passage,
        "question": f"Question number {number} is _ .",
        "options": ["a dog", "a cat", "a cow", "a hen"],
        "answer": "A",
        **fields,
    }


def article(number: int = 1, **fields: Any) -> Row:
    """One article with highlights."""
    return {
        "article": f"Town {number} opened a school on Monday. It cost {number} million.",
        "highlights": f"Town {number} opens school .\nIt costs {number} million",
        "id": f"id{number}",
        **fields,
    }


def write_jsonl(path: Path, rows: Iterable[Mapping[str, Any] | bytes]) -> Path:
    """One line a row; bytes are written as they are."""
    lines = [row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return path
