"""Real models before the gate: trained here, made worse by what they learn or by training on one task alone."""

from __future__ import annotations

import random
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from mtl.config.gate import GateConfig
from mtl.evaluation.reader import BASE, Reader, load_reader
from mtl.evaluation.report import EvalReport
from mtl.evaluation.run import Reading, measure
from mtl.example import Example
from mtl.promotion import PromotionPolicy, decide, policy_from
from mtl.sources.demo.world import SURNAMES, TOWNS
from mtl.tasks.mcq_form import LETTERS, parse, render_target
from mtl.tasks.table import TASKS
from tests.support.learned import MAX_NEW_TOKENS, learned_model, short_examples
from tests.support.trained import MAX_INPUT_TOKENS

EXAMPLES = 40
POLICY = PromotionPolicy(
    metrics={"summarize": "rougeLsum", "mcq": "counts_obeyed"},
    margins={"summarize": {"rougeLsum": 0.1}, "mcq": {"counts_obeyed": 0.2, "usable": 0.2}},  # 3.5 standard errors
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def champion(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that is good at both tasks."""
    return learned_model(tmp_path_factory.mktemp("champion") / "model")


def shortened(example: Example) -> Example:
    """A summary of one sentence instead of two; a question as it is."""
    if example.task != "summarize":
        return example
    return replace(example, targets=example.targets.split(". ")[0] + ".")


@pytest.fixture(scope="module")
def weak(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that learned the questions as the champion did, and to say half of what a summary should."""
    return learned_model(tmp_path_factory.mktemp("weak") / "model", change=shortened)


def changed(model: Path, folder: Path, change: Callable[[str, torch.Tensor], torch.Tensor]) -> Path:
    """A copy of the model with other adapter weights."""
    shutil.copytree(model, folder)
    weights = load_file(folder / "adapter_model.safetensors")
    others = {name: change(name, value) for name, value in weights.items()}
    save_file(others, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    return folder


def measured(
    champion: Path, candidate: Path, *, reading: Reading | None = None, documents: int = EXAMPLES
) -> EvalReport:
    """Both, and the base, on fresh documents."""
    return measure(
        {"candidate": candidate, "champion": champion},
        short_examples(2, documents),
        tasks=TASKS,
        max_new_tokens=dict.fromkeys(TASKS, MAX_NEW_TOKENS),
        max_input_tokens=MAX_INPUT_TOKENS,
        batch_tokens=8192,
        precision="fp32",
        seed=1,
        confidence=POLICY.confidence,
        reading=reading,
    )


def difference(report: EvalReport, task: str) -> tuple[float, float]:
    """The interval of candidate - champion on the metric that decides the task."""
    found = report.comparison("champion", task, POLICY.metrics[task])
    assert found is not None and found.n == EXAMPLES
    return found.low, found.high


@pytest.fixture(scope="module")
def improvement(champion: Path, weak: Path) -> EvalReport:
    """The weak model is champion, and the whole one the candidate."""
    return measured(weak, champion)


def test_worse_on_one_task_it_is_refused_for_that_task(champion: Path, weak: Path) -> None:
    decision = decide(measured(champion, weak), POLICY)
    assert not decision.promoted
    assert all(reason.startswith("summarize: ") for reason in decision.reasons[:-1]), decision.reasons
    assert decision.reasons[-1].startswith("mcq: counts_obeyed is no worse than"), decision.reasons


def test_better_on_one_task_and_equal_on_the_other_is_promoted(improvement: EvalReport) -> None:
    assert difference(improvement, "summarize")[0] > 0
    decision = decide(improvement, POLICY)
    assert decision.promoted, decision.reasons


@pytest.mark.parametrize(
    ("policy", "reason"),
    [
        ({"min_examples": EXAMPLES + 1}, "40 examples were evaluated, and the policy asks for at least 41"),
        ({"guards": {"mcq": ("no_such",)}}, "mcq: the report has no metric no_such, which the policy asks for."),
        ({"floors": {"mcq": {"parsed": 1.01}}}, "under its floor of 1.0100"),
    ],
)
def test_the_same_improvement_is_refused_where_the_policy_asks_for_more(
    improvement: EvalReport, policy: dict[str, Any], reason: str
) -> None:
    decision = decide(improvement, replace(POLICY, **policy))
    assert not decision.promoted
    assert any(reason in given for given in decision.reasons), decision.reasons


def test_an_equal_one_is_not_promoted(champion: Path, tmp_path: Path) -> None:
    decision = decide(measured(champion, shutil.copytree(champion, tmp_path / "same")), POLICY)
    assert not decision.promoted
    assert decision.reasons[0] == "No task is better than the champion; a tie does not promote."


def test_trained_on_one_task_alone_it_is_refused_for_the_other(champion: Path, tmp_path: Path) -> None:
    report = measured(champion, learned_model(tmp_path / "alone", per_step={"summarize": 8}, steps=50))
    assert difference(report, "mcq")[1] < -0.5
    decision = decide(report, POLICY)
    assert not decision.promoted
    assert decision.reasons[0].startswith("mcq: "), decision.reasons


def test_weights_that_are_no_numbers_are_not_promoted(weak: Path, champion: Path, tmp_path: Path) -> None:
    """Not even against the weak one, on the task that the weak one is bad at."""

    def spoil(name: str, value: torch.Tensor) -> torch.Tensor:
        return torch.full_like(value, torch.nan) if "lora_B" in name else value

    decision = decide(measured(weak, changed(champion, tmp_path / "nan", spoil)), POLICY)
    assert not decision.promoted
    assert any("worse" in reason or "missing" in reason for reason in decision.reasons)


def shuffled(example: Example) -> Example:
    """The same questions, with any letter as their keys: perfect form and wrong content."""
    if example.task != "mcq":
        return example
    rng = random.Random(example.uid)
    questions = [question | {"correct": rng.choice(LETTERS)} for question in parse(example.targets) or []]
    return replace(example, targets=render_target(questions))


def test_trained_on_shuffled_keys_it_is_refused_for_them_though_its_form_is_the_same(
    champion: Path, tmp_path: Path
) -> None:
    candidate = learned_model(tmp_path / "shuffled", change=shuffled)

    def load() -> Reader:
        return load_reader(BASE, None, candidate=candidate, max_input_tokens=MAX_INPUT_TOKENS, batch_tokens=8192)

    report = measured(champion, candidate, reading=Reading(load))
    form = {"mcq": ("parsed", "counts_obeyed", "four_options", "valid_key", "kind_obeyed")}
    by_form = decide(report, replace(POLICY, guards=form))
    assert any(reason.startswith("mcq: counts_obeyed is no worse than") for reason in by_form.reasons), by_form.reasons
    by_use = decide(report, replace(POLICY, metrics={**POLICY.metrics, "mcq": "usable"}, guards=form))
    assert by_use.reasons[0].startswith("mcq: usable "), by_use.reasons
    by_default = decide(report, policy_from(GateConfig(margins=POLICY.margins)))
    assert not by_default.promoted
    assert by_default.reasons[0].startswith("mcq: "), by_default.reasons


NAMES = re.compile(rf"\b({'|'.join((*SURNAMES, *TOWNS))})\b")


def renamed(example: Example) -> Example:
    """A summary with another surname or town in the place of one that it has."""
    found = list(NAMES.finditer(example.targets)) if example.task == "summarize" else []
    if not found:
        return example
    rng = random.Random(example.uid)
    name = rng.choice(found)
    pool = SURNAMES if name[0] in SURNAMES else TOWNS
    other = rng.choice([word for word in pool if word != name[0]])
    return replace(example, targets=example.targets[: name.start()] + other + example.targets[name.end() :])


def test_trained_to_swap_names_in_summaries_it_is_refused_although_rouge_hardly_falls(
    champion: Path, tmp_path: Path
) -> None:
    report = measured(champion, learned_model(tmp_path / "renamed", change=renamed), documents=80)
    rouge = report.comparison("champion", "summarize", "rougeLsum")
    assert rouge is not None and rouge.low <= 0 <= rouge.high
    by_rouge = decide(report, POLICY)
    assert any(reason.startswith("summarize: rougeLsum is no worse than") for reason in by_rouge.reasons)
    by_default = decide(report, policy_from(GateConfig(margins=POLICY.margins)))
    assert not by_default.promoted
    reasons = [reason for reason in by_default.reasons if reason.startswith("summarize: ")]
    assert any(reason.startswith("summarize: supported is clearly worse: ") for reason in reasons), by_default.reasons
