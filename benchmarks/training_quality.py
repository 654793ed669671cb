"""Does the fast recipe learn as much from the same examples? The demo, by this trainer and by the seed recipe.

    python benchmarks/bench_train.py --quality

The seed recipe is mended where it is wrong, not where it is slow: its new token rows are trained and no target is cut;
fp32, batches of 4 in random order, accumulated over 4, and dropout of 0.1 in the frozen base stay. Both have the
adapter, the peak learning rate and the schedule of conf/demo.yaml, and see the same examples as often. A third side is
this trainer with the seed's dropout in the frozen base: what dropout does to the validation loss.
"""

from __future__ import annotations

import itertools
import math
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import cross_entropy
from training_sides import TASKS, Examples, pad, prepared
from transformers import Seq2SeqTrainer, Seq2SeqTrainingArguments

from mtl.config.retrain import RetrainConfig, load_config
from mtl.data.dataset import Dataset
from mtl.model.base import resolve_base
from mtl.training.build import build_model, build_trainer
from mtl.training.dataset import TokenisedSplit
from mtl.training.validation import held_out_batches

CONF = Path(__file__).parents[1] / "conf" / "demo.yaml"


def quality(steps: int | None = None) -> dict[str, Any]:
    """{side: {task: validation loss per target token}}, and how many examples all of them saw."""
    config = load_config(CONF)
    steps = steps or config.train.max_steps
    config = _with(config, max_steps=steps, save_steps=steps, eval_steps=None)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        data = prepared(config, home)
        batches = held_out_batches(data, TASKS, per_task=200, seed=config.seed, max_tokens=6000)
        seen, fast = _ours(config, data, home / "ours", batches)
        _, dropped = _ours(_with(config, base_dropout=0.1), data, home / "dropout", batches)
        slow = _seed(config, data, seen, home / "seed", batches)
    over = max(fast[task] / slow[task] for task in TASKS)
    found = {"ours": fast, "ours_base_dropout_0.1": dropped, "seed_mended": slow}
    return {"steps": steps, "examples": len(seen), **found, "ratio": round(over, 4)}


def _with(config: RetrainConfig, **train: Any) -> RetrainConfig:
    return config.model_copy(update={"train": config.train.model_copy(update=train)})


def _ours(
    config: RetrainConfig, data: Dataset, work: Path, batches: Sequence[Mapping[str, torch.Tensor]]
) -> tuple[list[int], dict[str, float]]:
    """Which examples were seen, and the validation loss of each task."""
    split = TokenisedSplit(data, "train", TASKS)
    trainer = build_trainer(config, build_model(config, resolve_base("demo"), TASKS), split, work)
    trainer.args.save_strategy = "no"
    seen = list(itertools.chain.from_iterable(trainer.batches))
    trainer.train()
    return seen, trainer.validate(batches)


def _seed(
    config: RetrainConfig, data: Dataset, seen: list[int], work: Path, batches: Iterable[Mapping[str, torch.Tensor]]
) -> dict[str, float]:
    lora = config.lora.model_copy(update={"dropout": 0.05})
    mended = _with(config.model_copy(update={"lora": lora}), base_dropout=0.1)
    torch.manual_seed(config.seed)
    model = build_model(mended, resolve_base("demo"), TASKS)
    steps = math.ceil(len(seen) / 16)
    arguments = Seq2SeqTrainingArguments(
        output_dir=str(work),
        seed=config.seed,
        max_steps=steps,
        per_device_train_batch_size=4,
        gradient_accumulation_steps=4,
        learning_rate=config.train.learning_rate,
        lr_scheduler_type=config.train.lr_scheduler_type,
        warmup_steps=round(config.train.warmup_steps * steps / config.train.max_steps),
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        use_cpu=True,
        remove_unused_columns=False,
        logging_strategy="no",
    )
    examples = Examples(TokenisedSplit(data, "train", TASKS), seen)
    Seq2SeqTrainer(model=model, args=arguments, train_dataset=examples, data_collator=pad).train()
    return _validation(model.eval(), batches)


def _validation(model: Any, batches: Iterable[Mapping[str, torch.Tensor]]) -> dict[str, float]:
    """As LoraTrainer.validate, by transformers' forward pass."""
    loss, tokens = torch.zeros(len(TASKS), dtype=torch.double), torch.zeros(len(TASKS), dtype=torch.double)
    with torch.no_grad():
        for batch in batches:
            labels = batch["labels"]
            logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], labels=labels).logits
            each = cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=-100, reduction="none")
            loss.index_add_(0, batch["task_ids"], each.view(labels.shape).sum(1).double())
            tokens.index_add_(0, batch["task_ids"], (labels != -100).sum(1).double())
    return dict(zip(TASKS, (loss / tokens).tolist(), strict=True))
