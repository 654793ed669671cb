"""The sides that bench_train.py compares: this project's trainer, and transformers' own as people use it.

seed  Seq2SeqTrainer, fp32, batches of 4 in random order, accumulated over 4, dynamic padding, T5's dropout of 0.1, LoRA
      on q and v, new token rows frozen
best  Seq2SeqTrainer with the flags that its documentation recommends: bf16, group_by_length, sdpa, larger batches
ours  LoraTrainer as `mtl train` builds it, on the same examples, steps of about as many of them
"""

from __future__ import annotations

import json
import logging
import resource
import sys
import time
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peft import LoraConfig, get_peft_model
from training_flops import lengths
from transformers import (
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    Seq2SeqTrainer,
    Seq2SeqTrainingArguments,
    T5Config,
    T5ForConditionalGeneration,
    TrainerCallback,
)

from mtl.config.retrain import RetrainConfig, parse_config
from mtl.data.dataset import Dataset, open_dataset
from mtl.data.prepare import prepare
from mtl.model.base import DEMO, resolve_base
from mtl.model.tokenizer import load_tokenizer
from mtl.store.folder import FolderStore
from mtl.tasks.table import get_task
from mtl.training.build import build_model, build_trainer
from mtl.training.dataset import TokenisedSplit, collate
from mtl.training.machine import keep_freed_memory

SHARED = Path(__file__).parents[2] / "shared" / "data"
SHAPES = {
    "tiny": {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_decoder_layers": 2, "num_heads": 4},
    "small": {"d_model": 512, "d_kv": 64, "d_ff": 1024, "num_layers": 8, "num_decoder_layers": 8, "num_heads": 6},
    "base": {"d_model": 768, "d_kv": 64, "d_ff": 2048, "num_layers": 12, "num_decoder_layers": 12, "num_heads": 12},
}
RANK = 8  # of LoRA, on q and v
TASKS = ["summarize", "mcq"]  # in the order of the table


def save_shape(folder: Path, shape: str) -> Path:
    """FLAN-T5's structure, random weights; the real tokenizer where ../shared/data is, else the demo's."""
    torch.manual_seed(0)
    config = T5Config(vocab_size=32128, feed_forward_proj="gated-gelu", decoder_start_token_id=0, **SHAPES[shape])
    model = T5ForConditionalGeneration(config)
    model.lm_head.weight = torch.nn.Parameter(torch.randn(32128, config.d_model) * config.d_model**-0.5)
    model.save_pretrained(folder)
    origin = SHARED / "t5_tokenizer" if SHARED.is_dir() else resolve_base(DEMO).location
    AutoTokenizer.from_pretrained(origin).save_pretrained(folder)
    return folder


def configuration(base: Path, **train: Any) -> RetrainConfig:
    """Both tasks at 512/256 tokens: real rows where ../shared/data is, else the demo's."""
    rows: dict[str, Any] = {"rows": {"train": 400, "validation": 40}}
    race, news = (SHARED / "race", SHARED / "cnn_dailymail") if SHARED.is_dir() else ("demo", "demo")
    suffix = "/*.jsonl.gz" if SHARED.is_dir() else ""
    more = {"rows": {"train": 2400, "validation": 40}} if SHARED.is_dir() else rows
    return parse_config(
        {
            "name": "bench",
            "data": {
                "sources": [
                    {"task": "mcq", "uri": f"{race}{suffix}", **more},
                    {"task": "summarize", "uri": f"{news}{suffix}", **rows},
                ],
                "max_input_tokens": 512,
                "max_target_tokens": 256,
                "near_duplicates": None,
                "processes": 1,
            },
            "model": {"base": str(base)},
            "lora": {"r": RANK, "alpha": 16, "dropout": 0.05, "target_modules": ["q", "v"]},
            "train": {"max_steps": 2, "warmup_steps": 0, "save_steps": 1, "logging_steps": 1, **train},
        }
    )


def prepared(config: RetrainConfig, home: Path) -> Dataset:
    """The data set of `config`, in a store below `home`."""
    store = FolderStore(home / "store")
    tokens = [get_task(name).token for name in TASKS]
    tokenizer = load_tokenizer(resolve_base(config.model.base).location, tokens)
    manifest = prepare(config.data, seed=config.seed, tokenizer=tokenizer, store=store, cache=home / "cache")
    return open_dataset(store, manifest.fingerprint, home / "cache")


def ours(config: RetrainConfig, data: Dataset, work: Path) -> Any:
    """This project's trainer."""
    split = TokenisedSplit(data, "train", TASKS)
    model = build_model(config, resolve_base(config.model.base), TASKS)
    return build_trainer(config, model, split, work)


class Examples(torch.utils.data.Dataset[dict[str, Any]]):
    """The same tokenised examples as transformers' trainer wants them."""

    def __init__(self, split: TokenisedSplit, chosen: Sequence[int] | None = None) -> None:
        self._split = split
        self._chosen = list(chosen) if chosen is not None else list(range(len(split)))

    def __len__(self) -> int:
        return len(self._chosen)

    def __getitem__(self, index: int) -> dict[str, Any]:
        inputs, labels, _ = self._split[self._chosen[index]]
        return {"input_ids": inputs.tolist(), "labels": labels.tolist()}


def pad(rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
    """To the longest of the batch, as DataCollatorForSeq2Seq does."""
    batch = collate([(np.array(row["input_ids"]), np.array(row["labels"]), 0) for row in rows])
    return {name: batch[name] for name in ("input_ids", "attention_mask", "labels")}


def transformers_side(
    name: str,
    base: Path,
    examples: torch.utils.data.Dataset[Any],
    work: Path,
    *,
    seed: int,
    steps: int,
    device: str = "cpu",
    batch: int | None = None,
    accumulation: int | None = None,
) -> Seq2SeqTrainer:
    """The `seed` or the `best` side."""
    flags: dict[str, Any] = {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 4}
    options: dict[str, Any] = {}
    if name == "best":
        flags = {"per_device_train_batch_size": 8, "gradient_accumulation_steps": 2, "bf16": True}
        flags |= {"train_sampling_strategy": "group_by_length"}
        options = {"attn_implementation": "sdpa"}
    if batch is not None:
        flags |= {"per_device_train_batch_size": batch, "gradient_accumulation_steps": accumulation or 1}
    torch.manual_seed(seed)
    model = AutoModelForSeq2SeqLM.from_pretrained(base, dtype=torch.float32, **options)
    lora = LoraConfig(task_type="SEQ_2_SEQ_LM", r=RANK, lora_alpha=16, lora_dropout=0.05, target_modules=["q", "v"])
    arguments = Seq2SeqTrainingArguments(
        output_dir=str(work / name),
        seed=seed,
        max_steps=steps,
        learning_rate=1e-3,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        use_cpu=device == "cpu",
        remove_unused_columns=False,
        logging_strategy="no",
        **flags,
    )
    return Seq2SeqTrainer(model=get_peft_model(model, lora), args=arguments, train_dataset=examples, data_collator=pad)


class Turns(TrainerCallback):  # type: ignore[misc]
    """Before each optimizer step waits for a line, and after it prints what the step did."""

    def __init__(self, trainer: Any) -> None:
        self._padded = 0
        self._began = self._used = 0.0
        self._lengths: Counter[str] = Counter()
        inner = trainer.training_step

        def training_step(model: Any, inputs: dict[str, torch.Tensor], *rest: Any, **options: Any) -> Any:
            self._lengths.update(lengths(inputs["attention_mask"], inputs["labels"]))
            self._padded += inputs["attention_mask"].numel() + inputs["labels"].numel()
            return inner(model, inputs, *rest, **options)

        trainer.training_step = training_step

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        sys.stdin.readline()
        self._padded = 0
        self._lengths.clear()
        self._began, self._used = time.perf_counter(), time.process_time()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        seconds, cpu = time.perf_counter() - self._began, time.process_time() - self._used
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        gpu = torch.cuda.max_memory_allocated() // 2**20 if torch.cuda.is_available() else None
        found = dict(self._lengths)
        said = {
            "tokens": found["source"] + found["target"],
            "padded": self._padded,
            "seconds": seconds,
            "cpu_seconds": cpu,
        }
        print(json.dumps(said | {"lengths": found, "peak_rss_mb": peak, "peak_gpu_mb": gpu}), flush=True)


def main() -> None:
    """Be one side: argument 1 says which (JSON)."""
    warnings.simplefilter("ignore")
    logging.getLogger("transformers").setLevel(logging.ERROR)
    job = json.loads(sys.argv[1])
    base, home = Path(job["base"]), Path(job["home"])
    name, _, longest = job["side"].partition("-")
    data = open_dataset(FolderStore(home / "store"), job["dataset"], home / "cache")
    split = TokenisedSplit(data, "train", TASKS)
    by_length = np.argsort(-(split.sources + split.targets), kind="stable")[:64].tolist()
    if name == "ours":
        keep_freed_memory()  # as the trainer process does
        train = {"max_steps": 1000, "max_tokens_per_batch": job["tokens"], "gradient_accumulation_steps": 3}
        config = configuration(base, **train, **job["train"])
        trainer = ours(config, data, home / "work")
        if longest:  # 5 x (512 + 256) padded tokens: the largest batch that there can be
            trainer.batches = [by_length[at : at + 5] for at in range(0, 60, 5)]
    else:
        examples = Examples(split, by_length if longest else None)
        batch = 4 if longest else None
        options: dict[str, Any] = {"seed": 0, "steps": 1000, "device": job["device"], "batch": batch}
        trainer = transformers_side(name, base, examples, home / "work", **options)
    trainer.args.save_strategy = "no"
    trainer.add_callback(Turns(trainer))
    trainer.train()


if __name__ == "__main__":
    main()
