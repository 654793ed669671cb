"""The note about texts that a demo model has not learned to read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mtl.cli.main import run
from mtl.serving.demo import demo_note, world_note
from mtl.sources.demo.corpus import articles, passages, vocabulary
from tests.support.trained import trained_model

NATURAL = "Photosynthesis converts light into chemical energy, which chloroplasts store as carbohydrates."


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained_model(tmp_path_factory.mktemp("demo") / "model", base="demo")


def test_a_natural_text_is_told_from_one_of_the_demo(demo: Path) -> None:
    assert demo_note(demo, [str(row["article"]) for row in articles(77, 3)]) in {
        f"The demo base has seen {n} of the {n} different words in its pre-training." for n in range(300)
    }
    note = demo_note(demo, [NATURAL])
    assert note is not None
    assert note.startswith("The demo base has seen 1 of the 11 different words in its pre-training.")
    assert "conf/flan-t5-small.yaml" in note
    assert (world_note(demo) or "").startswith("This model is made from the demo base")


def test_other_bases_need_no_note(tmp_path: Path) -> None:
    assert demo_note(trained_model(tmp_path / "model"), [NATURAL]) is None
    assert world_note(tmp_path / "model") is None
    assert world_note(tmp_path) is None


def test_no_document_of_the_demo_has_a_word_that_is_not_known() -> None:
    texts = [row["article"] for row in articles(78, 150)] + [str(row["article"]) for row in passages(78, 150)]
    assert {
        word for text in texts for word in text.split() if word.isalpha() and word.lower() not in vocabulary()
    } == set()


def test_generate_says_so_in_the_terminal_and_in_json(
    demo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = tmp_path / "text.txt"
    text.write_text(NATURAL)
    assert run(["generate", str(text), "--model", str(demo), "--max-new-tokens", "3", "--json"]) == 0
    shown = capsys.readouterr()
    assert "The demo base has seen 1 of the 11 different words" in shown.err
    assert json.loads(shown.out.splitlines()[-1])["note"] == shown.err.strip()
    table = tmp_path / "texts.jsonl"
    table.write_text(json.dumps({"text": NATURAL}) + "\n")
    assert run(["generate", str(table), "--model", str(demo), "--max-new-tokens", "3", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["note"].startswith("The demo base has seen 1 of the 11")
