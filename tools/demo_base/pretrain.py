"""Pre-trains the demo base on the mix of `tasks.py`, from scratch or from its own last state.

    python -m tools.demo_base.pretrain --minutes 70 --out mtl/model/demo_base

Warm-up, constant rate, and a linear cool-down in the last part of the time given; a moving average of the weights is
published every few minutes, so that a usable base is there long before the end. Stop it at any time; the next call
goes on from the state folder.
"""

import argparse
import json
import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, T5ForConditionalGeneration, T5Tokenizer

from mtl.sources.demo import corpus
from tools.demo_base import network, tasks, vocabulary

SEED = 20_000
CHUNK = 2048
WARMUP = 150
EMBEDDING_RATE = 3e-3
Batch = dict[str, torch.Tensor]


def make_tokenizer(size: int) -> T5Tokenizer:
    """The tokenizer, from a sample of the mix and of the corpus."""
    texts = [text for index in range(12_000) for text in tasks.example(SEED - 1, index)]
    for row in corpus.articles(SEED - 1, 1500):
        texts += [row["article"], row["highlights"]]
    for asked in corpus.passages(SEED - 1, 1000):
        texts += [str(asked["article"]), str(asked["question"]), " ".join(asked["options"])]  # type: ignore[arg-type]
    return vocabulary.build(texts, size=size)


def pad(rows: list[list[int]], value: int) -> torch.Tensor:
    """Rows of ids as one (rows, longest) tensor, padded on the right with `value`."""
    longest = max(map(len, rows))
    return torch.tensor([row + [value] * (longest - len(row)) for row in rows])


def batches(tokenizer: T5Tokenizer, *, start: int, tokens: int) -> Iterator[tuple[int, Batch]]:
    """Endless (chunk number, batch): examples of similar length, at most `tokens` padded tokens a batch."""
    chunk = start
    while True:
        pairs = [tasks.example(SEED, chunk * CHUNK + index) for index in range(CHUNK)]
        inputs = tokenizer([pair[0] for pair in pairs])["input_ids"]
        targets = tokenizer([pair[1] for pair in pairs])["input_ids"]
        groups = group(list(zip(inputs, targets, strict=True)), tokens)
        random.Random(chunk).shuffle(groups)
        for rows in groups:
            ids = pad([row[0] for row in rows], 0)
            yield (
                chunk,
                {"input_ids": ids, "attention_mask": (ids != 0).long(), "labels": pad([r[1] for r in rows], -100)},
            )
        chunk += 1


def group(rows: list[tuple[list[int], list[int]]], tokens: int) -> list[list[tuple[list[int], list[int]]]]:
    """Rows in batches whose padded size, inputs and targets together, is at most `tokens`."""
    rows.sort(key=lambda row: (len(row[1]) // 8, len(row[0])))
    groups: list[list[tuple[list[int], list[int]]]] = [[]]
    widest = [0, 0]
    for row in rows:
        wide = [max(widest[0], len(row[0])), max(widest[1], len(row[1]))]
        if groups[-1] and sum(wide) * (len(groups[-1]) + 1) > tokens:
            groups.append([])
            wide = [len(row[0]), len(row[1])]
        groups[-1].append(row)
        widest = wide
    return groups


def rate(step: int, progress: float, *, top: float, cooldown: float) -> float:
    """The learning rate: linear warm-up, constant, linear to 2% over the last `cooldown` of the time."""
    left = min(1.0, (1.0 - progress) / cooldown)
    return top * min(1.0, (step + 1) / WARMUP) * max(0.02, left)


def _optimizers(model: T5ForConditionalGeneration, top: float) -> list[torch.optim.Optimizer]:
    """Muon for the matrices between the embeddings, AdamW for everything else."""
    inner = {n: p for n, p in model.named_parameters() if min(p.shape) > 32 and p.ndim == 2}
    matrices = [p for n, p in inner.items() if "shared" not in n and "lm_head" not in n]
    chosen = {id(p) for p in matrices}
    others = [p for p in model.parameters() if id(p) not in chosen]
    muon = torch.optim.Muon(matrices, lr=top, momentum=0.95, weight_decay=0.05, adjust_lr_fn="match_rms_adamw")
    return [muon, torch.optim.AdamW(others, lr=EMBEDDING_RATE, betas=(0.9, 0.98), weight_decay=0.0)]


class Run:
    """The model, its optimizer and its moving average, with a state folder to stop and go on."""

    def __init__(self, state: Path, *, top: float, vocabulary_size: int) -> None:
        self.state, self.top = state, top
        self.step, self.chunk, self.seen = 0, 0, 0
        if not (state / "tokenizer").exists():
            make_tokenizer(vocabulary_size).save_pretrained(state / "tokenizer")
        self.tokenizer: T5Tokenizer = AutoTokenizer.from_pretrained(state / "tokenizer")
        self.model = network.create(len(self.tokenizer), seed=SEED)
        self.optimizers = _optimizers(self.model, top)
        self.average = {name: value.detach().clone() for name, value in self.model.state_dict().items()}
        if (state / "state.pt").exists():
            self._load(torch.load(state / "state.pt", weights_only=True))

    def _load(self, saved: dict[str, Any]) -> None:
        self.model.load_state_dict(saved["model"])
        for optimizer, values in zip(self.optimizers, saved["optimizers"], strict=True):
            optimizer.load_state_dict(values)
        self.average, self.step = saved["average"], saved["step"]
        self.chunk, self.seen = saved["chunk"] + 1, saved["seen"]

    def save(self) -> None:
        saved = {
            "model": self.model.state_dict(), "optimizers": [o.state_dict() for o in self.optimizers],
            "average": self.average, "step": self.step, "chunk": self.chunk, "seen": self.seen,
        }  # fmt: skip
        torch.save(saved, self.state / "state.tmp")
        (self.state / "state.tmp").replace(self.state / "state.pt")

    def train_on(self, batch: Batch, *, progress: float, cooldown: float) -> float:
        """One step; returns the loss a target token."""
        for optimizer, top in zip(self.optimizers, (self.top, EMBEDDING_RATE), strict=True):
            optimizer.param_groups[0]["lr"] = rate(self.step, progress, top=top, cooldown=cooldown)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = self.model(**batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
        self.model.zero_grad(set_to_none=True)
        self._follow(min(0.995, self.step / (self.step + 50)))
        self.step += 1
        self.seen += int(batch["attention_mask"].sum()) + int((batch["labels"] != -100).sum())
        return float(loss.detach())

    @torch.no_grad()
    def _follow(self, keep: float) -> None:
        """Moves the average of the weights towards the weights."""
        torch._foreach_lerp_(list(self.average.values()), list(self.model.state_dict().values()), 1.0 - keep)

    def publish(self, out: Path, *, averaged: bool) -> None:
        weights = self.average if averaged else self.model.state_dict()
        network.publish(self.model, self.tokenizer, weights, out)
        network.check(self.model, weights, out)


def train(run: Run, *, minutes: float, out: Path, tokens: int, cooldown: float) -> None:
    """Trains for `minutes`, publishing to `out` on the way and at the end."""
    begun = published = time.monotonic()
    mean = 0.0
    for chunk, batch in batches(run.tokenizer, start=run.chunk, tokens=tokens):
        progress = (time.monotonic() - begun) / (60 * minutes)
        if progress >= 1.0:
            break
        loss = run.train_on(batch, progress=progress, cooldown=cooldown)
        run.chunk = chunk
        mean = loss if mean == 0.0 else 0.98 * mean + 0.02 * loss
        if run.step % 50 == 0:
            record = {"step": run.step, "loss": round(mean, 4), "tokens": run.seen, "progress": round(progress, 3)}
            print(json.dumps({**record, "seconds": round(time.monotonic() - begun)}), flush=True)
        if time.monotonic() - published > 240:
            published = time.monotonic()
            run.save()
            run.publish(out, averaged=True)
    run.save()
    run.publish(out, averaged=cooldown < 0.01)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--state", type=Path, default=Path(tempfile.gettempdir()) / "demo_base_state")
    parser.add_argument("--rate", type=float, default=5e-3)
    parser.add_argument("--tokens", type=int, default=4096, help="padded tokens a batch")
    parser.add_argument("--cooldown", type=float, default=0.2, help="share of the time in which the rate falls")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--vocabulary", type=int, default=1500)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    args.state.mkdir(parents=True, exist_ok=True)
    run = Run(args.state, top=args.rate, vocabulary_size=args.vocabulary)
    size = sum(p.numel() for p in run.model.parameters())
    print(
        json.dumps({"parameters": size, "tokens": len(run.tokenizer), "rows": run.model.config.vocab_size}), flush=True
    )
    train(run, minutes=args.minutes, out=args.out, tokens=args.tokens, cooldown=args.cooldown)


if __name__ == "__main__":
    main()
