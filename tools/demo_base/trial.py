"""Tries a base: trains LoRA on the two tasks for some steps and measures what the demo promises on fresh data.

    python -m tools.demo_base.trial --base mtl/model/demo_base --steps 300

A stand-in for the service's own data preparation, trainer and metrics, so that a base can be judged alone.
"""

import argparse
import json
import random
import re
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from transformers import AddedToken, AutoModelForSeq2SeqLM, AutoTokenizer

from mtl.sources.demo import corpus, passages
from tools.demo_base.pretrain import group, pad

TOKENS = ("<summarize>", "<mcq>")
LEVELS = ("Easy", "Medium", "Hard")
ITEM = re.compile(
    r"(\d+)\. Question: (.+?) Options: A\. (.+?) B\. (.+?) C\. (.+?) D\. (.+?) "
    r"Correct: ([ABCD]) Difficulty: (Easy|Medium|Hard)"
)
WHOLE = re.compile(rf"MCQs:(?: {ITEM.pattern})+")
Row = dict[str, Any]
Truth = dict[str, dict[str, frozenset[str]]]


def summaries(seed: int, count: int, *, drop: float) -> Iterator[Row]:
    rng = random.Random(f"sum:{seed}")
    for row in corpus.articles(seed, count):
        words = "" if rng.random() < drop else "Summarize the following article: "
        target = f"Summary: {row['highlights']}".replace("\n", " ")
        yield {"task": "summarize", "inputs": f"<summarize> {words}{row['article']}", "targets": target}


def grouped(seed: int, count: int) -> dict[str, list[Row]]:
    """Questions by passage text, each with its difficulty."""
    found: dict[str, list[Row]] = defaultdict(list)
    for row in corpus.passages(seed, count):
        question = str(row["question"])
        high = "Medium" if "_" in question else "Hard"
        level = "Easy" if str(row["example_id"]).startswith("middle") else high
        found[str(row["article"])].append({**row, "level": level, "place": len(found[str(row["article"])])})
    return found


def mcqs(seed: int, count: int, *, drop: float) -> Iterator[Row]:
    rng = random.Random(f"mcq:{seed}")
    for text, rows in grouped(seed, count).items():
        rng.shuffle(rows)
        while rows:
            size = rng.randint(1, 4)
            chosen, rows = rows[:size], rows[size:]
            chosen.sort(key=lambda row: (LEVELS.index(row["level"]), row["place"]))
            yield mcq(text, chosen, dropped=rng.random() < drop)


def mcq(text: str, chosen: Sequence[Row], *, dropped: bool) -> Row:
    counts = [sum(row["level"] == level for row in chosen) for level in LEVELS]
    spec = ", ".join(f"{level}: {count}" for level, count in zip(LEVELS, counts, strict=True))
    parts = []
    for number, row in enumerate(chosen, 1):
        options = " ".join(f"{x}. {o}" for x, o in zip("ABCD", row["options"], strict=True))
        asked = f"{number}. Question: {row['question']} Options: {options}"
        parts.append(f"{asked} Correct: {row['answer']} Difficulty: {row['level']}")
    words = "" if dropped else "Generate MCQs "
    return {
        "task": "mcq",
        "inputs": f"<mcq> {words}({spec}): {text}",
        "targets": "MCQs: " + " ".join(parts),
        "counts": counts,
    }


def lcs(a: Sequence[str], b: Sequence[str]) -> int:
    row = [0] * (len(b) + 1)
    for x in a:
        last = row
        row = [0]
        for place, y in enumerate(b):
            row.append(last[place] + 1 if x == y else max(last[place + 1], row[place]))
    return row[-1]


def rouge_l(one: str, two: str) -> float:
    a, b = (re.findall(r"[a-z0-9]+", text.lower()) for text in (one, two))
    return 2 * lcs(a, b) / (len(a) + len(b)) if a and b else 0.0


def keys(seed: int, count: int) -> Truth:
    """Every question that a passage supports, with its right answers, by passage text and question."""
    return {passage.text: passages.answers(passage) for passage in corpus.readings(seed, count)}


def judge_mcqs(rows: list[Row], outputs: list[str], known: Truth) -> dict[str, float]:
    totals: dict[str, float] = defaultdict(float)
    for row, output in zip(rows, outputs, strict=True):
        items = ITEM.findall(output)
        parsed = bool(WHOLE.fullmatch(output)) and [i[0] for i in items] == [str(n + 1) for n in range(len(items))]
        totals["parse"] += parsed
        totals["counts"] += parsed and [sum(i[7] == level for i in items) for level in LEVELS] == row["counts"]
        totals["unique"] += len({i[1] for i in items}) == len(items)
        text = row["inputs"].split("): ", 1)[1]
        for item in items:
            options = item[2:6]
            totals["items"] += 1
            totals["distinct"] += len(set(options)) == 4
            answers = known[text].get(item[1])
            totals["known"] += answers is not None
            kind = "Medium" if "_" in item[1] else None
            totals["label"] += (kind == item[7]) if kind or item[7] == "Medium" else 1
            chosen = options["ABCD".index(item[6])]
            if answers is not None:
                totals["key"] += chosen in answers
                totals["present"] += not answers.isdisjoint(options)
                totals[f"key {item[7]}"] += chosen in answers
                totals[f"items {item[7]}"] += 1
    shares = {k: totals[k] / len(rows) for k in ("parse", "counts", "unique")}
    made = max(1.0, totals["items"])
    shares |= {k: totals[k] / made for k in ("distinct", "known", "label")}
    shares |= {k: totals[k] / max(1.0, totals["known"]) for k in ("key", "present")}
    return shares | {f"key {v}": totals[f"key {v}"] / max(1.0, totals[f"items {v}"]) for v in LEVELS}


@torch.no_grad()
def generate(model: Any, tokenizer: Any, texts: list[str], *, length: int) -> list[str]:
    """Greedy outputs, in the order of the texts, in batches sorted by length."""
    order = sorted(range(len(texts)), key=lambda n: len(texts[n]))
    outputs = [""] * len(texts)
    model.eval()
    for start in range(0, len(order), 32):
        part = order[start : start + 32]
        batch = tokenizer([texts[n] for n in part], return_tensors="pt", padding=True)
        ids = model.generate(**batch, max_new_tokens=length, do_sample=False, num_beams=1)
        for n, text in zip(part, tokenizer.batch_decode(ids, skip_special_tokens=True), strict=True):
            outputs[n] = text
    return outputs


def load(base: Path, *, rank: int, alpha: int) -> tuple[Any, Any]:
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.add_tokens([AddedToken(token, special=True) for token in TOKENS])
    model = AutoModelForSeq2SeqLM.from_pretrained(base)
    new = tokenizer.convert_tokens_to_ids(list(TOKENS))
    assert max(new) < model.config.vocab_size and model.lm_head.weight.data_ptr() != model.shared.weight.data_ptr()
    config = LoraConfig(
        r=rank, lora_alpha=alpha, lora_dropout=0.0, target_modules=["q", "k", "v", "o", "wi_0", "wi_1", "wo"],
        trainable_token_indices={"encoder.embed_tokens": new}, task_type="SEQ_2_SEQ_LM",
    )  # fmt: skip
    return get_peft_model(model, config), tokenizer


def encode(tokenizer: Any, rows: list[Row]) -> list[tuple[list[int], list[int]]]:
    inputs = tokenizer([row["inputs"] for row in rows])["input_ids"]
    return list(zip(inputs, tokenizer([row["targets"] for row in rows])["input_ids"], strict=True))


def batches(data: list[tuple[list[int], list[int]]], *, tokens: int, seed: int) -> Iterator[dict[str, torch.Tensor]]:
    epoch = 0
    while True:
        groups = group(list(data), tokens)  # type: ignore[arg-type]  # it looks at inputs and targets alone
        random.Random(f"{seed}:{epoch}").shuffle(groups)
        for rows in groups:
            ids = pad([row[0] for row in rows], 0)
            yield {"input_ids": ids, "attention_mask": (ids != 0).long(), "labels": pad([r[1] for r in rows], -100)}
        epoch += 1


def train(model: Any, data: list[tuple[list[int], list[int]]], args: argparse.Namespace) -> dict[str, float]:
    """LoRA steps with a short warm-up and a linear fall; returns seconds and tokens."""
    weights = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=args.rate, weight_decay=0.0, betas=(0.9, 0.98))
    begun, worked, seen, mean = time.monotonic(), time.process_time(), 0, 0.0
    model.train()
    for step, batch in zip(range(args.steps), batches(data, tokens=args.tokens, seed=1), strict=False):
        scale = min(1.0, (step + 1) / 20) * max(0.02, 1 - step / args.steps)
        optimizer.param_groups[0]["lr"] = args.rate * scale
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = model(**batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        seen += batch["input_ids"].numel() + batch["labels"].numel()
        mean = float(loss.detach()) if step == 0 else 0.95 * mean + 0.05 * float(loss.detach())
        if (step + 1) % 50 == 0:
            took = round(time.monotonic() - begun, 1)
            print(json.dumps({"step": step + 1, "loss": round(mean, 4), "seconds": took}), flush=True)
    return {"seconds": time.monotonic() - begun, "tokens": seen, "cpu": time.process_time() - worked, "loss": mean}


def measure(model: Any, tokenizer: Any, count: int) -> Row:
    """All metrics on fresh data, and a few samples."""
    news = list(summaries(99, count, drop=0.25))
    asked = list(mcqs(99, max(1, count // 2), drop=0.25))[:count]
    bare = [f"<summarize> {r['article']}" for r in corpus.articles(98, count // 2)]
    exams = [r["inputs"] for r in list(mcqs(98, max(1, count // 4), drop=1.0))[: count // 2]]
    out = generate(model, tokenizer, [row["inputs"] for row in news + asked] + bare + exams, length=224)
    n = len(news) + len(asked)
    told, made, kinds = out[: len(news)], out[len(news) : n], out[n:]
    decided = [text.startswith("Summary:") for text in kinds[: len(bare)]]
    decided += [text.startswith("MCQs:") for text in kinds[len(bare) :]]
    scores = [rouge_l(text, row["targets"]) for text, row in zip(told, news, strict=True)]
    exact = [text == row["targets"] for text, row in zip(told, news, strict=True)]
    report: Row = {
        "rougeL": sum(scores) / len(scores),
        "exact": sum(exact) / len(exact),
        "token": sum(decided) / len(decided),
    }
    report |= judge_mcqs(asked, made, keys(99, max(1, count // 2)))
    report["samples"] = [
        (row["inputs"], text) for row, text in zip(news[:2] + asked[:4], told[:2] + made[:4], strict=True)
    ]
    return report


def describe(rows: list[Row], data: list[tuple[list[int], list[int]]]) -> Row:
    """How many examples and tokens the training data have, and the longest input and target."""
    counts = {task: sum(row["task"] == task for row in rows) for task in ("summarize", "mcq")}
    longest = {"inputs": max(len(d[0]) for d in data), "targets": max(len(d[1]) for d in data)}
    return {"examples": counts, "tokens": sum(len(d[0]) + len(d[1]) for d in data), "longest": longest}


def show(name: str, report: Row) -> None:
    for given, made in report.pop("samples"):
        print("IN ", given, "\nOUT", made)
    print(json.dumps({name: {key: round(float(value), 4) for key, value in report.items()}}), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--articles", type=int, default=1500)
    parser.add_argument("--passages", type=int, default=1500)
    parser.add_argument("--tokens", type=int, default=4096)
    parser.add_argument("--rate", type=float, default=5e-3)
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--alpha", type=int, default=32)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--base-too", action="store_true", help="measure the base before training as well")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    model, tokenizer = load(args.base, rank=args.rank, alpha=args.alpha)
    rows = [*summaries(1, args.articles, drop=0.25), *mcqs(1, args.passages, drop=0.25)]
    data = encode(tokenizer, rows)
    print(json.dumps(describe(rows, data)), flush=True)
    if args.base_too:
        report = measure(model, tokenizer, args.count)
        show("base", report)
    spent = train(model, data, args)
    report = measure(model, tokenizer, args.count)
    show("trained", report | spent)


if __name__ == "__main__":
    main()
