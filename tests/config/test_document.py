"""YAML as people write it: read by the rules of YAML 1.2, or refused at once with the line and what to do."""

from __future__ import annotations

import pickle
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtl.config.retrain import load_config
from mtl.errors import ConfigError
from tests.support.words import SHARED

DATA = "data: {sources: [{task: mcq, uri: demo}]}\n"
BOMB = "a: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"b{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
)


def read(folder: Path, text: str | bytes) -> Any:
    path = folder / "c.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return load_config(path)


@pytest.mark.parametrize(
    ("text", "field", "problem"),
    [
        (
            DATA + "train: {max_steps: 10}\ntrain: {learning_rate: 0.01}\n",
            "train",
            "written twice, in line 2 and line 3; keep one of them",
        ),
        ('"data": 1\n' + DATA, "data", "written twice, in line 1 and line 2"),
        (
            "data:\n  sources:\n    - task: mcq\n      uri: demo\n      task: summarize\n",
            "data.sources.0.task",
            "written twice, in line 3 and line 5",
        ),
        (DATA + "seed: 1\nseed: 1\nseed: 1\n", "seed", "written 3 times, in line 2 and line 3 and line 4"),
        (
            "data: {sources: [&a {task: mcq, uri: demo}, {<<: *a, <<: *a}]}\n",
            "data.sources.1.<<",
            "written twice, in line 1 and line 1",
        ),
        (BOMB, "(file)", "more than 50000 values, aliases counted each time"),
        ("a: " + "[" * 100_000, "(file)", "line 1: nested more than 20 deep"),
        ("a: " + "{a: " * 50_000, "(file)", "line 1: nested more than 20 deep"),
        ("".join(f"{' ' * n}a:\n" for n in range(1300)), "(file)", "line 21: nested more than 20 deep"),
        ("a: &a [*a]\n", "(file)", "line 1: *a stands within itself"),
        ("a: *b\n", "(file)", "not YAML: line 1, column 4: found undefined alias 'b'"),
        ("data:\n\tsources: []\n", "(file)", "indent with spaces instead of tabs"),
        ("", "(file)", "is empty; expected a mapping of sections"),
        ("# nothing\n", "(file)", "is empty; expected a mapping of sections"),
        ("hello\n", "(file)", "expected a mapping of sections, got str"),
        (DATA + "---\n" + DATA, "(file)", "line 2: a second document begins; expected one"),
        (b"# caf\xe9\n" + DATA.encode(), "(file)", "not UTF-8: byte 0xe9 in line 1; save it as UTF-8"),
        (DATA.encode("utf-16"), "(file)", "UTF-16 text, expected UTF-8"),
        (DATA + "name: a\x07b\n", "(file)", "not YAML: unacceptable character #x0007"),
        (DATA + "x: !!python/object/apply:os.system ['true']\n", "(file)", "could not determine a constructor"),
        (DATA + "name: !!timestamp x\n", "(file)", "not YAML"),
        (DATA + f"seed: {'9' * 5000}\n", "(file)", "not YAML: Exceeds the limit"),
        (DATA + f"seed: 0x{'9' * 5000}\n", "seed", "got a int that is too large to print"),
        (DATA + "[a]: 2\n", "(file)", "found unhashable key"),
        (DATA + "1: 2\n", "1", "keys should be strings, got 1"),
        (DATA + "name: 123\n", "name", "input should be a valid string, got 123; put it in quotes"),
        (DATA + "seed: 1:30\n", "seed", "unable to parse string as an integer, got '1:30'"),
        ("#" * (2**20 + 1), "(file)", "over 1048576 bytes"),
        (DATA + "train: [" + "1, " * 5000 + "1]\n", "train", "..."),
    ],
)
def test_what_cannot_be_meant_is_refused_at_once(tmp_path: Path, text: str | bytes, field: str, problem: str) -> None:
    began = time.monotonic()
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)
    assert time.monotonic() - began < 5
    (fault,) = caught.value.faults
    assert fault[0] == field and problem in fault[1], fault
    assert len(str(caught.value)) < 400


def test_all_repeated_keys_are_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, "seed: 1\nseed: 2\n" + DATA + "train: {max_steps: 1, max_steps: 2}\n")
    assert [field for field, _ in caught.value.faults] == ["train.max_steps", "seed"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("name: no\n", {"name": "no"}),
        ("name: 2026-01-01\n", {"name": "2026-01-01"}),
        ("seed: 010\n", {"seed": 10}),
        ("seed: 0x11\n", {"seed": 17}),
        ("seed: 1_000\n", {"seed": 1000}),
        ("train: {learning_rate: 1e-4}\n", {"train.learning_rate": 0.0001}),
        ("train: {learning_rate: 1.5E-3}\n", {"train.learning_rate": 0.0015}),
        ("register: {merged: yes}\n", {"register_.merged": True}),
        ("train: {eval_steps: ~}\n", {"train.eval_steps": None}),
        ("gate: {floors: &f {mcq: {parsed: .5}}}\n", {"gate.floors": {"mcq": {"parsed": 0.5}}}),
    ],
)
def test_values_mean_what_is_written(tmp_path: Path, text: str, found: dict[str, Any]) -> None:
    config = read(tmp_path, DATA + text)
    for name, value in found.items():
        its: Any = config
        for part in name.split("."):
            its = getattr(its, part)
        assert its == value


def test_anchors_and_merge_keys_work_and_own_keys_go_before_merged_ones(tmp_path: Path) -> None:
    text = "data: {sources: [&a {task: mcq, uri: demo, rows: {train: 5}}, {<<: *a, task: summarize}]}\n"
    first, second = read(tmp_path, text).data.sources
    assert (first.task, second.task, second.rows) == ("mcq", "summarize", {"train": 5})


@pytest.mark.parametrize("text", ["\ufeff" + DATA, DATA.replace("\n", "\r\n"), "---\n" + DATA + "...\n"])
def test_a_mark_other_line_ends_and_document_marks_are_no_matter(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, text).data.sources[0].task == "mcq"


SYNTAX = st.sampled_from([*"[]{}:,-*&!|>#'\"%@\n\t ?a1", "data", "<<", "&a ", "*a ", "---\n", "!!int ", "- ", ": "])


@given(st.one_of(st.text(max_size=60), st.lists(SYNTAX, max_size=40).map("".join)).map(str.encode) | st.binary())
def test_any_file_is_a_configuration_or_a_configuration_error(tmp_path_factory: Any, data: bytes) -> None:
    folder = tmp_path_factory.getbasetemp()
    try:
        read(folder, data)
    except ConfigError as error:
        assert error.faults


def test_the_case_from_outside(tmp_path: Path) -> None:
    case = SHARED.parent / "cases" / "10b-yaml-dup-key" / "conf.yaml"
    if not case.exists():
        pytest.skip("the shared cases are not here")
    with pytest.raises(ConfigError, match=r"train: written twice, in line 8 and line 10"):
        load_config(case)


def test_the_faults_survive_pickle(tmp_path: Path) -> None:
    """As when a worker of a Ray cluster raises them."""
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, DATA + "train: {max_stepz: 10}\nseed: x\n")
    found = pickle.loads(pickle.dumps(caught.value))
    assert type(found) is ConfigError
    assert (found.to_dict(), str(found)) == (caught.value.to_dict(), str(caught.value))
    assert found.faults == caught.value.faults and len(found.faults) == 2
