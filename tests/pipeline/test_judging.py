"""What judges a version chose no checkpoint: on prepared data sets, as training and evaluation draw from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from mtl.config.retrain import RetrainConfig, parse_config
from mtl.data.dataset import Dataset, open_dataset
from mtl.data.selection import chooses
from mtl.errors import InputError, NotFoundError
from mtl.pipeline.judging import judging_counts, judging_examples, set_aside
from mtl.pipeline.prepare import prepare
from mtl.pipeline.promotable import refuse_unpromotable
from mtl.training.validation import held_out_batches
from mtl.workspace import Workspace, open_workspace
from tests.support.rows import Row, article, question, write_jsonl

SHARE = 0.25
TASKS = ("summarize", "mcq")


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv("MTL_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("MTL_STORE", raising=False)
    return open_workspace()


def passage(number: int) -> str:
    """Two tasks read the same texts."""
    return " ".join(f"town{number} has {n} houses in street {number * n}." for n in range(1, 12))


def texts(numbers: Sequence[int]) -> dict[str, list[Row]]:
    return {
        "summarize": [article(n, article=passage(n)) for n in numbers],
        "mcq": [question(q, passage=passage(n), example_id=f"high{n}.txt") for n in numbers for q in range(5)],
    }


def config(
    folder: Path,
    *,
    validation: int = 60,
    test: Sequence[Row] = (),
    data: Mapping[str, Any] | None = None,
    **values: Any,
) -> RetrainConfig:
    """Articles and questions about the same passages, in files below `folder`."""
    splits = {"train": texts(range(1000, 1010)), "validation": texts(range(validation))}
    for split, rows in splits.items():
        for task in TASKS:
            write_jsonl(folder / task / f"{split}.jsonl", rows[task])
    if test:
        write_jsonl(folder / "summarize" / "test.jsonl", test)
    sources = [{"task": task, "uri": str(folder / task)} for task in TASKS]
    own = {"data": {"sources": sources, **(data or {})}, "model": {"base": "demo"}, "train": {"eval_steps": 10}}
    return parse_config(own | values)


def opened(workspace: Workspace, chosen: RetrainConfig) -> Dataset:
    return open_dataset(workspace.store, prepare(workspace, chosen).fingerprint, workspace.cache)


def judging(data: Dataset, chosen: RetrainConfig) -> set[str]:
    return {str(example.meta["passage"]) for example in judging_examples(data, chosen)}


def choosing(data: Dataset, share: float = SHARE) -> set[str]:
    return {key for task in TASKS for key in data.passages(task, "validation") if chooses(key, share)}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"seed": 4},
        {"validation": 90},
        {"data": {"evaluation_requests": "mixed"}},
        {"data": {"difficulty": "levels"}},
    ],
    ids=["as it is", "another seed", "more rows", "other requests", "other groups"],
)
def test_no_passage_is_on_both_sides_whatever_changes(
    workspace: Workspace, tmp_path: Path, changes: dict[str, Any]
) -> None:
    before = config(tmp_path / "rows")
    old = opened(workspace, before)
    chose, judged = choosing(old), judging(old, before)
    after = config(tmp_path / "rows", **changes)
    new = opened(workspace, after)
    assert chose and judged and not chose & judged
    assert chose <= choosing(new) and judged <= judging(new, after)
    assert not choosing(new) & judging(new, after)


def test_the_training_draws_from_one_side_and_the_evaluation_from_the_other(
    workspace: Workspace, tmp_path: Path
) -> None:
    chosen = config(tmp_path / "rows")
    data = opened(workspace, chosen)
    batches = held_out_batches(data, TASKS, per_task=10**6, seed=3, max_tokens=10**6, share=SHARE)
    seen = [tuple(row[row > 1].tolist()) for batch in batches for row in batch["input_ids"]]
    sides: dict[bool, set[tuple[int, ...]]] = {True: set(), False: set()}
    for task in TASKS:
        ids = data.table(task, "validation").column("input_ids").to_pylist()
        for key, row in zip(data.passages(task, "validation"), ids, strict=True):
            sides[chooses(key, SHARE)].add(tuple(token for token in row if token > 1))
    assert set(seen) == sides[True]
    assert not sides[True] & sides[False]
    examples = judging_examples(data, chosen)
    assert len(seen) + len(examples) == sum(len(data.passages(task, "validation")) for task in TASKS)


def test_where_nothing_is_chosen_everything_judges(workspace: Workspace, tmp_path: Path) -> None:
    chosen = config(tmp_path / "rows", train={})
    data = opened(workspace, chosen)
    assert set_aside(chosen) == 0
    assert len(judging_examples(data, chosen)) == sum(len(data.passages(task, "validation")) for task in TASKS)


def test_a_test_split_shares_nothing_with_what_chooses(workspace: Workspace, tmp_path: Path) -> None:
    """Not even nearly: a passage of validation that is one of test with other spaces, or nearly one, leaves it."""
    nearly = passage(1).replace("town1 has 7 houses", "town1 has seven houses")
    test = [article(0, article=passage(0).upper()), article(1, article=nearly), article(500, article=passage(500))]
    chosen = config(tmp_path / "rows", test=test, evaluate={"split": "test"})
    data = opened(workspace, chosen)
    kept = set(data.passages("summarize", "validation"))
    assert len(kept) == 58 and set_aside(chosen) == 0
    examples = [*data.examples("summarize", "test")]
    assert len(examples) == 3
    assert not kept & {str(example.meta["passage"]) for example in examples}


def test_too_few_that_judge_are_foreseen_with_what_to_do(workspace: Workspace, tmp_path: Path) -> None:
    chosen = config(tmp_path / "rows", validation=36)
    dataset = prepare(workspace, chosen)
    counts = judging_counts(workspace, chosen, dataset.manifest)
    data = Dataset(dataset.manifest, workspace.store, workspace.cache)
    found = {task: counts[task]["validation"].examples for task in TASKS}
    assert found["summarize"] == sum(example.task == "summarize" for example in judging_examples(data, chosen)) < 30
    with pytest.raises(InputError) as caught:
        refuse_unpromotable(chosen, dataset.unpromotable)
    assert (
        f"summarize: no version can be promoted, because {found['summarize']} validation examples are evaluated, "
        "beside the 25% of the passages that choose the checkpoint (train.eval_share), and the gate needs 30"
    ) in str(caught.value)


def test_a_task_without_a_passage_on_one_side_says_so(workspace: Workspace, tmp_path: Path) -> None:
    chosen = config(tmp_path / "rows", train={"eval_steps": 10, "eval_share": 1.0})
    data = opened(workspace, chosen)
    with pytest.raises(NotFoundError, match="every validation passage of summarize is among the 100%") as caught:
        judging_examples(data, chosen)
    assert "a smaller train.eval_share" in str(caught.value.hint)
    with pytest.raises(NotFoundError, match="no validation passage of summarize is among the 0% that choose") as caught:
        held_out_batches(data, TASKS, per_task=4, seed=1, max_tokens=1000, share=1e-9)
    assert "a larger train.eval_share" in str(caught.value.hint)
