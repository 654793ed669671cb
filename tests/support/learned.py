"""A model that really learned both tasks, in half a minute: the shipped base on short documents of its own corpus."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from mtl.example import Example
from mtl.model.adapter import attach_lora
from mtl.model.base import DEMO, load_base, resolve_base
from mtl.model.tokenizer import load_tokenizer
from mtl.sources.demo.corpus import articles, passages
from mtl.task import RenderOptions
from mtl.tasks.table import TASKS, get_task
from tests.support.trained import save_model

PER_STEP = {"summarize": 4, "mcq": 12}
"""Examples of each task in one step: questions are the harder of the two."""
MAX_NEW_TOKENS = 96
_PEAK = 5e-3


def short_examples(seed: int, documents: int) -> list[Example]:
    """One example a document, task by task; a question request asks for one question."""
    count = _tokenizer()
    options = RenderOptions(
        seed=seed,
        training=False,
        instruction_dropout=0.0,
        max_target_tokens=MAX_NEW_TOKENS,
        count=lambda text: len(count(text)["input_ids"]),
        options={
            "scheme": "overlap-1",
            "evaluation_requests": "mixed",
            "requests": {"one": 1.0},
            "requests_per_passage": 1,
        },
    )
    found: list[Example] = []
    for name, rows in (("summarize", articles(seed, documents)), ("mcq", passages(seed, documents))):
        task = get_task(name)
        joined: dict[str, list[Any]] = {}
        for row in rows:
            record = task.read(row)
            joined.setdefault(task.passage(record), []).append(record)
        found += [task.render(task.join(records)[0], options).examples[0] for records in joined.values()]
    return found


def learned_model(
    folder: Path,
    *,
    per_step: dict[str, int] | None = None,
    steps: int = 80,
    seed: int = 0,
    change: Callable[[Example], Example] = lambda example: example,
) -> Path:
    """The folder of a model that was trained for `steps` on 400 documents of each task in `per_step`.

    change: what becomes of each training example.
    """
    tokenizer = _tokenizer()
    tokens = [task.token for task in TASKS.values()]
    torch.manual_seed(seed)
    model = attach_lora(
        load_base(resolve_base(DEMO), rows=len(tokenizer)),
        tokenizer.convert_tokens_to_ids(tokens),
        r=16,
        alpha=32,
        dropout=0.0,
        target_modules="all-linear",
        rslora=False,
        base_name=DEMO,
        revision=None,
    )
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=_PEAK)
    for step, batch in enumerate(_batches(per_step or PER_STEP, steps, seed)):
        batch = [change(example) for example in batch]
        for group in optimizer.param_groups:
            group["lr"] = _PEAK * min(1, (step + 1) / 10) * (1 - step / steps)
        _loss(model, tokenizer, batch).backward()
        optimizer.step()
        optimizer.zero_grad()
    return save_model(folder, model.eval(), tokenizer, base=DEMO, max_new_tokens=MAX_NEW_TOKENS)


def _batches(per_step: dict[str, int], steps: int, seed: int) -> list[list[Example]]:
    """Runs of examples of like length."""
    rng = random.Random(seed)
    documents = sorted(short_examples(1, 400), key=lambda example: len(example.inputs))
    batches: list[list[Example]] = [[] for _ in range(steps)]
    for name, count in per_step.items():
        own = [example for example in documents if example.task == name]
        for batch in batches:
            start = rng.randrange(len(own) - count)
            batch += own[start : start + count]
    return batches


def _loss(model: Any, tokenizer: Any, batch: Sequence[Example]) -> torch.Tensor:
    inputs = tokenizer([example.inputs for example in batch], padding=True, return_tensors="pt")
    targets = tokenizer([example.targets for example in batch], padding=True, return_tensors="pt")
    labels = targets["input_ids"].masked_fill(targets["attention_mask"] == 0, -100)
    loss: torch.Tensor = model(**inputs, labels=labels).loss
    return loss


def _tokenizer() -> Any:
    return load_tokenizer(resolve_base(DEMO).location, [task.token for task in TASKS.values()])
