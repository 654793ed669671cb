"""Does the training compute the right thing on this device? Parts of gpu.py: losses, compiled, resume, processes.

The tolerances are those of docs/training.md: the loss within 1e-5 in fp32 and 1e-3 in bf16. A gradient differs in fp32
by at most 1e-4 of its largest value (longer sums than in the tests, added in another order), and in bf16 its cosine to
transformers' is above 0.99.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psutil
import torch
from torch.nn.functional import cosine_similarity, cross_entropy
from training_sides import SHAPES, configuration, prepared, save_shape
from transformers import T5Config, T5ForConditionalGeneration

from mtl.config.retrain import RetrainConfig
from mtl.errors import TransientError
from mtl.model.adapter import attach_lora
from mtl.model.padded import IGNORED
from mtl.model.step import install
from mtl.settings import load_settings
from mtl.store.folder import FolderStore
from mtl.training.launch import launch_training
from mtl.training.record import read_record

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
LAYOUTS = ("packed", "padded", "fused")
LOSS = {"fp32": 1e-5, "bf16": 1e-3}
GRADIENT, COSINE = 1e-4, 0.99
TOKENS = [150, 151]


def losses(shape: str, *, compiled: bool) -> dict[str, Any]:
    """For each precision and layout, how far loss and gradients are from transformers'."""
    found: dict[str, Any] = {}
    checks: dict[str, bool] = {}
    for precision in LOSS:
        wanted, expected = step(shape, precision, None)
        for layout in ("fused",) if compiled else LAYOUTS:
            got, gradients = step(shape, precision, layout, compiled=compiled)
            name = f"{precision} {layout}"
            found[name] = compared(got, wanted, gradients, expected)
            near = found[name]["gradient"] <= GRADIENT if precision == "fp32" else found[name]["cosine"] >= COSINE
            checks[name] = found[name]["loss"] <= LOSS[precision] and near
    return {"device": name_of_device(), "shape": shape, "differences": found, "checks": checks}


def step(
    shape: str, precision: str, layout: str | None, *, compiled: bool = False
) -> tuple[float, dict[str, torch.Tensor]]:
    """(loss, gradients) of one batch. layout None: transformers' own forward pass."""
    model = adapted(shape).to(DEVICE)
    if layout is not None:
        install(
            model.get_base_model(),
            layout=layout,
            bf16=precision == "bf16",
            chunk=1000,
            backend="inductor" if compiled else None,
        )
    inputs = batch(4, 70, 40) if shape == "tiny" else batch(16, 512, 256)
    with torch.autocast(DEVICE, dtype=torch.bfloat16, enabled=precision == "bf16"):
        if layout is not None:
            loss = model(**inputs).sum()
        else:
            logits = model(**inputs).logits.float().flatten(0, 1)
            loss = cross_entropy(logits, inputs["labels"].flatten(), ignore_index=IGNORED, reduction="sum")
    loss.backward()
    return float(loss), {name: p.grad.float().cpu() for name, p in model.named_parameters() if p.requires_grad}


def adapted(shape: str) -> Any:
    """FLAN-T5's structure with random weights, and an adapter that does something."""
    torch.manual_seed(0)
    config = T5Config(
        vocab_size=32128, feed_forward_proj="gated-gelu", decoder_start_token_id=0, tie_word_embeddings=False,
        **SHAPES[shape],
    )  # fmt: skip
    lora: dict[str, Any] = {"target_modules": ["q", "v"], "rslora": False, "dropout": 0.0}
    model = attach_lora(T5ForConditionalGeneration(config), TOKENS, r=8, alpha=16, base_name="x", revision=None, **lora)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.02)
    return model.eval()


def batch(rows: int, longest: int, target: int) -> dict[str, torch.Tensor]:
    """Rows of 10 to `longest` source and `target` to 5 target tokens, each with a task token in front."""
    random = torch.Generator().manual_seed(1)
    sources, targets = torch.linspace(10, longest, rows).int().tolist(), torch.linspace(target, 5, rows).int().tolist()
    ids = torch.zeros(rows, max(sources), dtype=torch.long)
    labels = torch.full((rows, max(targets)), IGNORED)
    for row, (read, written) in enumerate(zip(sources, targets, strict=True)):
        ids[row, :read] = torch.randint(200, 32000, (read,), generator=random)
        ids[row, 0] = TOKENS[row % 2]
        labels[row, :written] = torch.randint(200, 32000, (written,), generator=random)
    return {"input_ids": ids.to(DEVICE), "attention_mask": (ids != 0).long().to(DEVICE), "labels": labels.to(DEVICE)}


def compared(
    got: float, wanted: float, gradients: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor]
) -> dict[str, float]:
    """Relative difference of the loss; the worst of the gradients, by largest difference and by direction."""
    pairs = [(gradients[name], grad) for name, grad in expected.items()]
    return {
        "loss": abs(got - wanted) / abs(wanted),
        "gradient": max(float((ours - theirs).abs().max() / theirs.abs().max()) for ours, theirs in pairs),
        "cosine": min(float(cosine_similarity(ours.flatten(), theirs.flatten(), dim=0)) for ours, theirs in pairs),
    }


def resumed(home: Path, shape: str) -> dict[str, Any]:
    """Whether a training that is killed after its second step ends as one that is not."""
    config, dataset = small(home, shape)
    whole, killed = train(home, "whole", config, dataset), train(home, "killed", config, dataset, kill_at=2)
    checks = {
        "adapter": whole["adapter"] == killed["adapter"],
        "losses of all steps": whole["losses"] == killed["losses"],
        "it was resumed": killed["resumed_from"] is not None,
    }
    return {"device": name_of_device(), "layout": config.train.layout, "checks": checks, "whole": whole}


def processes(home: Path, shape: str) -> dict[str, Any]:
    """The same with two processes; and their losses beside those of one that accumulates two batches."""
    if DEVICE == "cuda" and torch.cuda.device_count() < 2:
        return {"measured": "no: one card"}
    config, dataset = small(home, shape, dropout=0.0)
    twice = config.train.model_copy(update={"gradient_accumulation_steps": 2})
    alone = train(home, "alone", config.model_copy(update={"train": twice}), dataset)
    os.environ["MTL_TRAINER_PROCESSES"] = "2"
    both, killed = train(home, "both", config, dataset), train(home, "both-killed", config, dataset, kill_at=2)
    apart = max(abs(a - b) / a for a, b in zip(alone["losses"], both["losses"], strict=True))
    checks = {
        "adapter": both["adapter"] == killed["adapter"],
        "losses of all steps": both["losses"] == killed["losses"],
        "losses of one process": apart <= 1e-2 if DEVICE == "cuda" else apart <= 1e-4,  # bf16 on a GPU
    }
    return {"device": name_of_device(), "losses_apart": apart, "checks": checks}


def small(home: Path, shape: str, *, dropout: float = 0.05) -> tuple[RetrainConfig, str]:
    """A training of six steps in the fused layout, and the fingerprint of its data set."""
    base = save_shape(home / shape, shape)
    tokens = 1500 if DEVICE == "cpu" else 8192
    config = few(configuration(base, max_steps=6, save_steps=2, layout="fused", max_tokens_per_batch=tokens))
    config = config.model_copy(update={"lora": config.lora.model_copy(update={"dropout": dropout})})
    return config, prepared(config, home).manifest.fingerprint


def few(config: RetrainConfig) -> RetrainConfig:
    """The same with a few rows of the demo's texts."""
    update = {"uri": "demo", "rows": {"train": 60, "validation": 8}}
    sources = [source.model_copy(update=update) for source in config.data.sources]
    return config.model_copy(update={"data": config.data.model_copy(update={"sources": sources})})


def train(home: Path, name: str, config: RetrainConfig, dataset: str, *, kill_at: int | None = None) -> dict[str, Any]:
    """A training on a store of its own; with kill_at, killed at that commit and started again."""
    place = home / name
    shutil.copytree(home / "store", place / "store")
    settings = load_settings({"MTL_HOME": str(place)})
    if kill_at is not None:
        try:
            launch_training(config, dataset, settings, killer(kill_at))
            raise RuntimeError("the trainer was to be killed, and ended by itself")
        except TransientError:
            pass
    result = launch_training(config, dataset, settings, lambda event: None)
    record = read_record(FolderStore(place / "store"), result.identity)
    return {
        "adapter": result.adapter_sha256,
        "resumed_from": result.resumed_from,
        "losses": list(record.losses),
        "tokens_per_second": result.tokens_per_second,
    }


def killer(step: int) -> Callable[[Mapping[str, Any]], None]:
    """Kills the trainer's group, as a machine that goes away does, once it has committed `step`."""

    def on_event(event: Mapping[str, Any]) -> None:
        if event["event"] == "commit" and event["step"] == step:
            (trainer,) = [p for p in psutil.Process().children() if "mtl.training" in " ".join(p.cmdline())]
            os.killpg(trainer.pid, signal.SIGKILL)

    return on_event


def name_of_device() -> str:
    return torch.cuda.get_device_name() if DEVICE == "cuda" else "cpu"


def main() -> None:
    """Run the part that argument 1 names."""
    name, shape = sys.argv[1], "tiny" if "--tiny" in sys.argv else "small"
    with tempfile.TemporaryDirectory() as folder:
        if name in ("losses", "compiled"):
            found = losses(shape, compiled=name == "compiled")
        else:
            found = (resumed if name == "resume" else processes)(Path(folder), shape)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
