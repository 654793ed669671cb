"""A preparation takes what was read and rendered before, and its data set has the bytes of one that is made from
nothing: whatever changed in the sources, and whatever became of what was kept."""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mtl.config.data import DataConfig
from mtl.data import pieces as kept
from mtl.data.manifest import DatasetManifest
from mtl.data.prepare import prepare
from mtl.sources import cutting, file_chunks
from mtl.store.memory import MemoryStore
from tests.data.test_near import changed, text
from tests.support.apart import Apart
from tests.support.rows import Row, article, question
from tests.support.words import word_tokenizer

Told = dict[str, int]


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that files of some kilobytes have several."""
    for name, size in {"TARGET": 2048, "LEAST": 256, "MOST": 8192}.items():
        monkeypatch.setattr(cutting, name, size)
    monkeypatch.setattr(file_chunks, "SMALL", 512)


class Preparing:
    """Preparations of two sources in one home, each compared with one in a home of its own."""

    def __init__(self, folder: Path, kind: str = "jsonl") -> None:
        self.folder, self.kind = folder, kind
        self.store = MemoryStore()
        self.rows: dict[str, list[Any]] = {}
        self._fresh = 0
        self.fields: dict[str, Any] = {}
        self.name("race/train", [_question(n) for n in range(160)])
        self.name("race/validation", [_question(n) for n in range(200, 212)])
        self.name("news/train", [article(n, article=text(n, 40)) for n in range(150)])

    def name(self, name: str, rows: list[Any]) -> None:
        self.rows[name] = rows

    def config(self) -> DataConfig:
        sources = [
            {"task": task, "uri": str(self.folder / its)} for task, its in (("mcq", "race"), ("summarize", "news"))
        ]
        fields = {"max_bad_share": 0.9, "max_shrink": 1.0, "shard_rows": 50, "holdout": {"validation": 0.1}}
        return DataConfig.model_validate({"sources": sources, "max_target_tokens": 1024, **fields, **self.fields})

    def again(self, **its: Any) -> Told:
        """Prepares, compares with a preparation from nothing, and says what was taken from the cache."""
        for name in {path.relative_to(self.folder).as_posix() for path in self.folder.glob("*/*.*")}:
            (self.folder / name).unlink()
        for name, rows in self.rows.items():
            _write(self.folder / f"{name}.{self.kind}", rows)
        told: Told = {}
        manifest = self._prepare(self.store, "home", told, **its)
        self._fresh += 1
        alone = MemoryStore()
        assert self._prepare(alone, f"fresh-{self._fresh}", {}) == manifest
        for info in alone.list("datasets/"):
            assert self.store.get(info.key) == alone.get(info.key), info.key
        return told

    def _prepare(self, store: MemoryStore, home: str, told: Told, **its: Any) -> DatasetManifest:
        def tell(stage: str, number: int) -> None:
            told[stage] = told.get(stage, 0) + number

        cache = self.folder.parent / home
        data = self.config()
        return prepare(data, seed=5, tokenizer=word_tokenizer(), store=store, cache=cache, progress=tell, **its)


def _question(number: int, **fields: Any) -> Row:
    return question(number, passage=f"Number {number // 3} of the stories tells of Ann and her cat.", **fields)


def _write(path: Path, rows: Sequence[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".jsonl":
        path.write_bytes(
            b"".join((row if isinstance(row, bytes) else json.dumps(row).encode()) + b"\n" for row in rows)
        )
    elif path.suffix == ".csv":
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows({**row, "options": str(row["options"])} if "options" in row else row for row in rows)
    else:
        pq.write_table(pa.Table.from_pylist(list(rows)), path)


@pytest.fixture(params=["jsonl", "csv", "parquet"])
def preparing(tmp_path: Path, request: pytest.FixtureRequest) -> Preparing:
    (tmp_path / "in").mkdir()
    found = Preparing(tmp_path / "in", request.param)
    assert found.again()["known"] == 0
    return found


@pytest.fixture
def lines(tmp_path: Path) -> Preparing:
    (tmp_path / "in").mkdir()
    found = Preparing(tmp_path / "in")
    found.again()
    return found


def test_a_new_file_is_all_that_is_read(preparing: Preparing) -> None:
    before = sum(map(len, preparing.rows.values()))
    preparing.name("news/train-new", [article(n, article=text(n, 40)) for n in range(1000, 1030)])
    told = preparing.again()
    assert told["known"] == before
    assert told["taken"] >= 53 + 150, "passages of mcq and articles"


def test_rows_that_are_appended_leave_those_before_them(preparing: Preparing) -> None:
    preparing.rows["race/train"] += [_question(n) for n in range(1000, 1010)]
    preparing.rows["news/train"] += [article(n, article=text(n, 40)) for n in range(1000, 1010)]
    told = preparing.again()
    assert told["taken"] >= 53 + 150
    if preparing.kind != "parquet":
        assert told["known"] > 200, "all but the last chunk of each file"


def test_rows_that_go_or_change_in_the_middle(preparing: Preparing) -> None:
    del preparing.rows["news/train"][110:113]  # the first chunk of a file has a hundred rows
    preparing.rows["race/train"][108] = _question(108, question="What is _ now ?")
    preparing.rows["race/train"].insert(112, _question(3))
    told = preparing.again()
    assert told["taken"] >= 50 + 145
    if preparing.kind != "parquet":
        assert told["known"] > 210, "the chunks behind the change are those of before"


@pytest.mark.parametrize("seed", range(6))
def test_any_edits_one_after_the_other(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    (tmp_path / "in").mkdir()
    its = Preparing(tmp_path / "in", rng.choice(["jsonl", "csv", "parquet"]))
    its.again()
    for step in range(4):
        for _ in range(rng.randint(1, 3)):
            rng.choice(_EDITS)(its, rng, 1000 * (step + 1))
        its.again(**({"runner": nullcontext(Apart(rng.randint(2, 4)))} if rng.random() < 0.5 else {}))


def _append(its: Preparing, rng: random.Random, number: int) -> None:
    its.rows["race/train"] += [_question(number + n) for n in range(rng.randint(1, 9))]
    its.rows["news/train"] += [article(number + n, article=text(number + n, 40)) for n in range(rng.randint(1, 9))]


def _new_file(its: Preparing, rng: random.Random, number: int) -> None:
    its.name(f"race/{rng.choice(['train', 'validation'])}-{number}", [_question(number + n) for n in range(9)])


def _remove(its: Preparing, rng: random.Random, number: int) -> None:
    rows = its.rows["news/train"]
    start = rng.randrange(len(rows) - 5)
    del rows[start : start + rng.randint(1, 4)]


def _change(its: Preparing, rng: random.Random, number: int) -> None:
    rows = its.rows["race/train"]
    place = rng.randrange(len(rows))
    rows[place] = {**rows[place], "answer": rng.choice("BCE")}


def _repeat(its: Preparing, rng: random.Random, number: int) -> None:
    rows = its.rows["race/train"]
    rows.insert(rng.randrange(len(rows)), rng.choice(rows))


def _near(its: Preparing, rng: random.Random, number: int) -> None:
    its.rows.setdefault("news/validation", []).append(article(number, article=changed(text(rng.randrange(150), 40), 1)))


def _moves(its: Preparing, rng: random.Random, number: int) -> None:
    its.rows["race/validation"].append(rng.choice(its.rows["race/train"]))


def _rules(its: Preparing, rng: random.Random, number: int) -> None:
    its.fields["near_duplicates"] = rng.choice([None, 0.8, 0.9])
    its.fields["instruction_dropout"] = rng.choice([0.0, 0.5])


_EDITS: list[Callable[[Preparing, random.Random, int], None]] = [
    *(_append, _append, _new_file, _remove, _change, _repeat, _near, _moves, _rules)
]


def test_a_near_duplicate_that_comes_to_validation_takes_the_known_one_out(lines: Preparing) -> None:
    lines.name("news/validation", [article(900, article=changed(text(7, 200), 2)), article(901)])
    lines.rows["news/train"][7] = article(7, article=text(7, 200))
    lines.fields["holdout"] = {}
    lines.again()
    del lines.rows["news/validation"][0]
    lines.again()
    lines.rows["news/validation"].append(article(902, article=changed(text(7, 200), 2)))
    assert lines.again()["taken"] > 190


def test_a_known_passage_that_goes_to_another_split(lines: Preparing) -> None:
    lines.rows["race/validation"].append(_question(0))
    told = lines.again()
    assert told["known"] > 250 and told["taken"] > 190
    lines.rows["race/validation"].pop()
    lines.again()


@pytest.mark.parametrize(
    "fields", [{"instruction_dropout": 0.5}, {"near_duplicates": None}, {"max_input_tokens": 24}, {"shard_rows": 30}]
)
def test_what_was_made_by_other_rules_is_not_taken(lines: Preparing, fields: dict[str, Any]) -> None:
    lines.fields |= fields
    assert lines.again()["taken"] == 0


def test_other_rules_under_the_name_of_these_are_refused(lines: Preparing) -> None:
    """A name is no proof: what is in a piece says it too."""
    folder = lines.folder.parent / "home" / "pieces"
    lines.fields["instruction_dropout"] = 0.5
    lines.again()
    paths = sorted(folder.glob("*/*"))
    data = [path.read_bytes() for path in paths]
    for path, own in zip(paths, data, strict=True):
        path.write_bytes(next(other for other in data if other != own))
    lines.rows["news/train"].append(article(5000))
    told = lines.again()
    assert (told["known"], told["taken"]) == (0, 0)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("damage", [_cut, _flip, Path.unlink, lambda path: path.write_bytes(b"")])
@pytest.mark.parametrize("where", ["pieces/*/*", "datasets/*/*.parquet"])
def test_what_is_damaged_or_gone_costs_time_alone(lines: Preparing, where: str, damage: Callable[[Path], None]) -> None:
    for path in (lines.folder.parent / "home").glob(where):
        damage(path)
    lines.rows["news/train"].append(article(5000))
    told = lines.again()
    assert bool(told["known"]) == where.startswith("datasets")
    lines.rows["news/train"].append(article(5001))
    assert lines.again()["known"] > 250, "what was damaged has been made again"


def test_a_data_set_that_left_the_cache_comes_from_the_store(lines: Preparing) -> None:
    for path in (lines.folder.parent / "home" / "datasets").glob("*/*"):
        path.unlink()
    lines.rows["news/train"].append(article(5000))
    assert lines.again()["taken"] > 190


def test_the_cache_stays_within_its_bound(lines: Preparing, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = lines.folder.parent / "home" / "pieces"

    def size() -> int:
        return sum(path.stat().st_size for path in folder.glob("*/*"))

    bound = size() + 10_000
    monkeypatch.setattr(kept, "MOST", bound)
    for number in range(6):
        lines.rows["news/train"] += [
            article(n, article=text(n, 40)) for n in range(1000 + 9 * number, 1009 + 9 * number)
        ]
        assert lines.again()["known"] > 100, "what is used stays"
        assert size() <= bound
    monkeypatch.setattr(kept, "MOST", 0)
    lines.rows["news/train"].append(article(5000))
    lines.again()
    assert size() == 0


def test_tables_with_texts_over_several_lines_are_cut_between_rows(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    its = Preparing(tmp_path / "in", "csv")
    its.rows["news/train"] = [article(n, article=f'{text(n, 30)}\n"quoted", and {text(n + 1, 9)}') for n in range(200)]
    its.again()
    its.rows["news/train"].insert(100, article(5000, article='One\nmore, on\ntwo "lines".'))
    assert its.again()["known"] > 250


def test_a_table_with_a_damaged_place_is_read_as_a_whole(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    its = Preparing(tmp_path / "in", "csv")
    its.again()
    path = its.folder / "news" / "train.csv"
    text_of = path.read_text().splitlines(keepends=True)
    for place in (30, 120):
        text_of[place] = text_of[place].replace("Town", 'To"wn', 1).replace(",", ',"', 1)
    its.rows.pop("news/train")
    damaged = "".join(text_of)
    original = _write
    for extra in ("", "Town 9 opened a school.,Town opens,x\n"):

        def write(target: Path, rows: Sequence[Any], extra: str = extra) -> None:
            original(target, rows)
            (its.folder / "news").mkdir(exist_ok=True)
            (its.folder / "news" / "train.csv").write_text(damaged + extra)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(f"{__name__}._write", write)
            its.again()
