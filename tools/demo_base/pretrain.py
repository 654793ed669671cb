"""Pre-trains the demo base on the mix of `tasks.py`, from scratch or from its own last state.

    python -m tools.demo_base.pretrain --minutes 70 --out mtl/model/demo_base

Warm-up, constant rate, and a linear cool-down in the last part of the time given; a moving average of the weights is
published every few minutes, so that a usable base is there long before the end, with how often the letter of the right
option is the likeliest (`keys`). Stop it at any time; the next call goes on from the state folder. On a machine with
other work, two processes of one thread do more than one process of two, which waits for its slower thread all the time:

    OMP_NUM_THREADS=1 torchrun --standalone --nproc-per-node 2 -m tools.demo_base.pretrain --threads 1 --tokens 2048 …

`--tokens` are for each process. To cool down a copy of a long run, copy its state folder and give `--cooldown 1`.
"""

import argparse
import copy
import itertools
import json
import random
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from transformers import AutoTokenizer, T5ForConditionalGeneration, T5Tokenizer

from mtl.sources.demo import corpus
from tools.demo_base import marking, network, tasks, vocabulary
from tools.demo_base.material import Material, Pair

SEED = 20_000
CHUNK = 2048
KEY_WEIGHT = 8.0
"""Weight in the loss of the letter behind `Correct:`, one token among fifty that decides more than all others."""
WARMUP = 150
EMBEDDING_RATE = 3e-3
LONGEST_STEP = 20.0
"""Seconds that a step counts for at most: where it took longer, the process was stopped for a while."""
Batch = dict[str, torch.Tensor]
Encoded = tuple[list[int], list[int], list[float]]


def make_tokenizer(size: int) -> T5Tokenizer:
    """The tokenizer, from a sample of the mix and of the corpus."""
    texts = [text for index in range(12_000) for text in tasks.example(SEED - 1, index)]
    for row in corpus.articles(SEED - 1, 1500):
        texts += [row["article"], row["highlights"]]
    for asked in corpus.passages(SEED - 1, 1000):
        texts += [str(asked["article"]), str(asked["question"]), " ".join(asked["options"])]  # type: ignore[arg-type]
    return vocabulary.build(texts, size=size)


def pad(rows: Sequence[Sequence[float]], value: float) -> torch.Tensor:
    """Rows of numbers as one (rows, longest) tensor, padded on the right with `value`."""
    longest = max(map(len, rows))
    return torch.tensor([[*row, *[value] * (longest - len(row))] for row in rows])


def batches(tokenizer: T5Tokenizer, *, start: int, tokens: int) -> Iterator[tuple[int, Batch]]:
    """Endless (chunk number, batch): examples of similar length, at most `tokens` padded tokens a batch."""
    chunk = start
    while True:
        pairs = [tasks.example(SEED, chunk * CHUNK + index) for index in range(CHUNK)]
        groups = group(encode(tokenizer, pairs), tokens)
        random.Random(chunk).shuffle(groups)
        for rows in groups:
            yield chunk, collate(rows)
        chunk += 1


def encode(tokenizer: T5Tokenizer, pairs: list[Pair]) -> list[Encoded]:
    """(input ids, target ids, weight of each target token in the loss) of each pair."""
    inputs, targets = (tokenizer([pair[side] for pair in pairs])["input_ids"] for side in (0, 1))
    correct = tokenizer.convert_tokens_to_ids("▁Correct:")
    weights = []
    for (asked, _), ids in zip(pairs, targets, strict=True):
        others = 0.0 if marking.only_keys(asked) else 1.0
        weights.append([KEY_WEIGHT if before == correct else others for before in [0, *ids[:-1]]])
    return list(zip(inputs, targets, weights, strict=True))


def collate(rows: list[Encoded]) -> Batch:
    """Padded inputs and labels, and the weight of each label in the loss."""
    ids, labels = pad([row[0] for row in rows], 0), pad([row[1] for row in rows], -100)
    weights = pad([row[2] for row in rows], 0.0)
    return {"input_ids": ids, "attention_mask": (ids != 0).long(), "labels": labels, "weights": weights}


def group(rows: list[Encoded], tokens: int) -> list[list[Encoded]]:
    """Rows in batches whose padded size, inputs and targets together, is at most `tokens`."""
    rows.sort(key=lambda row: (len(row[1]) // 8, len(row[0])))
    groups: list[list[Encoded]] = [[]]
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


def loss_of(model: T5ForConditionalGeneration, batch: Batch) -> torch.Tensor:
    """Cross-entropy a target token, weighted."""
    model_inputs = {name: batch[name] for name in ("input_ids", "attention_mask", "labels")}
    logits = model(**model_inputs).logits.flatten(0, 1)
    losses = torch.nn.functional.cross_entropy(logits.float(), batch["labels"].flatten(), reduction="none")
    weights = batch["weights"].flatten()
    return (losses * weights).sum() / weights.sum()


def share(tensors: list[torch.Tensor]) -> None:
    """Replaces each tensor by its mean over all processes."""
    if dist.is_initialized():
        flat = torch.cat([tensor.flatten() for tensor in tensors])
        dist.all_reduce(flat)
        flat /= dist.get_world_size()
        for tensor, mean in zip(tensors, flat.split([t.numel() for t in tensors]), strict=True):
            tensor.copy_(mean.view_as(tensor))


@torch.no_grad()
def key_accuracy(run: "Run", count: int = 60) -> dict[str, float]:
    """For each task that ends in letters: how often the likeliest letter is right, on examples never trained on."""
    model = copy.deepcopy(run.model).eval()
    model.load_state_dict(run.average)
    found: dict[str, float] = {}
    for task in (marking.mark, marking.spot, marking.exam, marking.propose):
        rngs = [random.Random(f"held out:{SEED}:{index}") for index in range(count)]
        batch = collate(encode(run.tokenizer, [task(rng, Material(rng)) for rng in rngs]))
        keys = batch.pop("weights") > 1.0
        written = model(**batch).logits.argmax(-1)
        found[task.__name__] = round(float((written == batch["labels"])[keys].float().mean()), 3)
    return found


class Run:
    """The model, its optimizer and its moving average, with a state folder to stop and go on."""

    def __init__(self, state: Path, *, top: float, vocabulary_size: int, start: Path | None) -> None:
        self.state, self.top = state, top
        self.step, self.chunk, self.seen = 0, 0, 0
        if not (state / "tokenizer").exists():
            tokenizer = AutoTokenizer.from_pretrained(start) if start else make_tokenizer(vocabulary_size)
            tokenizer.save_pretrained(state / "tokenizer")
        self.tokenizer: T5Tokenizer = AutoTokenizer.from_pretrained(state / "tokenizer")
        self.model = network.create(len(self.tokenizer), seed=SEED)
        if start:
            network.begin_from(self.model, start)
            self.chunk = tasks.STAGES[0][0] // CHUNK
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
            loss = loss_of(self.model, batch)
        loss.backward()
        share([p.grad for p in self.model.parameters() if p.grad is not None])
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
        self.model.zero_grad(set_to_none=True)
        self._follow(min(0.995, self.step / (self.step + 50)))
        self.step += 1
        seen = int(batch["attention_mask"].sum()) + int((batch["labels"] != -100).sum())
        self.seen += seen * (dist.get_world_size() if dist.is_initialized() else 1)
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
    """Trains for `minutes`, publishing to `out` on the way and at the end. Time spent stopped does not count."""
    rank, processes = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
    last = published = time.monotonic()
    spent, mean = 0.0, 0.0
    endless = batches(run.tokenizer, start=run.chunk, tokens=tokens)
    for chunk, batch in itertools.islice(endless, rank, None, processes):
        passed = torch.tensor(min(LONGEST_STEP, time.monotonic() - last))
        last = time.monotonic()
        share([passed])
        spent += float(passed)
        progress = spent / (60 * minutes)
        if progress >= 1.0:
            break
        loss = run.train_on(batch, progress=progress, cooldown=cooldown)
        run.chunk = chunk
        if rank > 0:
            continue
        mean = loss if mean == 0.0 else 0.98 * mean + 0.02 * loss
        if run.step % 20 == 0:
            record = {"step": run.step, "loss": round(mean, 4), "tokens": run.seen, "progress": round(progress, 3)}
            print(json.dumps({**record, "seconds": round(spent)}), flush=True)
        if time.monotonic() - published > 240:
            published = time.monotonic()
            run.save()
            run.publish(out, averaged=True)
            print(json.dumps({"step": run.step, "tokens": run.seen, "keys": key_accuracy(run)}), flush=True)
    if rank == 0:
        run.save()
        run.publish(out, averaged=cooldown < 0.01)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--state", type=Path, default=Path(tempfile.gettempdir()) / "demo_base_state")
    parser.add_argument("--begin-from", type=Path, help="a base whose weights a new run begins with")
    parser.add_argument("--rate", type=float, default=5e-3)
    parser.add_argument("--tokens", type=int, default=4096, help="padded tokens a batch")
    parser.add_argument("--cooldown", type=float, default=0.2, help="share of the time in which the rate falls")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--vocabulary", type=int, default=1500)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if dist.is_torchelastic_launched():
        dist.init_process_group("gloo")
    args.state.mkdir(parents=True, exist_ok=True)
    run = Run(args.state, top=args.rate, vocabulary_size=args.vocabulary, start=args.begin_from)
    size = sum(p.numel() for p in run.model.parameters())
    print(
        json.dumps({"parameters": size, "tokens": len(run.tokenizer), "rows": run.model.config.vocab_size}), flush=True
    )
    train(run, minutes=args.minutes, out=args.out, tokens=args.tokens, cooldown=args.cooldown)


if __name__ == "__main__":
    main()
