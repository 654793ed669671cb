"""A folder in a cache is what was put there, to the byte, or it is damage."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mtl.errors import DamageError, NotFoundError
from mtl.model.folder import HASHES, check_folder, seal_folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "base").mkdir()
    (tmp_path / "adapter_config.json").write_text('{"lora_alpha": 32}')
    (tmp_path / "base" / "config.json").write_text("{}")
    seal_folder(tmp_path, {"adapter": "a"})
    return tmp_path


def test_it_says_what_it_was_made_of(folder: Path) -> None:
    assert check_folder(folder) == {"adapter": "a"}
    (folder / HASHES).unlink()
    with pytest.raises(NotFoundError, match=HASHES):
        check_folder(folder)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (
            lambda at: (at / "adapter_config.json").write_text('{"lora_alpha": 33}'),
            r"adapter_config.json is damaged: its",
        ),
        (lambda at: (at / "base" / "config.json").write_text("{ }"), r"base/config.json is damaged"),
        (lambda at: (at / "adapter_config.json").unlink(), r"adapter_config.json is missing"),
        (lambda at: (at / "added_tokens.json").write_text("{}"), r"added_tokens.json does not belong there"),
        (lambda at: (at / HASHES).write_bytes((at / HASHES).read_bytes()[:-3]), rf"{HASHES} is damaged"),
        (lambda at: (at / HASHES).write_bytes(b""), rf"{HASHES} is damaged"),
    ],
)
def test_any_change_is_named(folder: Path, damage: Callable[[Path], object], words: str) -> None:
    damage(folder)
    with pytest.raises(DamageError, match=words + r"[\s\S]*delete the folder: what is kept in a cache is made again"):
        check_folder(folder)
