"""summarize: an article in, its highlights out (CNN/DailyMail; Hermann et al. 2015, See et al. 2017)."""

from __future__ import annotations

import random
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mtl.example import Example
from mtl.fingerprint import sha256_bytes
from mtl.metrics.rouge import rouge_scores
from mtl.metrics.supported import Span, supported
from mtl.metrics.supported import unsupported as unsupported_spans
from mtl.metrics.text import copy_rate
from mtl.parameter import Parameter
from mtl.task import (
    CONSISTENT,
    BadRequest,
    BadRow,
    Dropped,
    GateDefaults,
    Metric,
    Rendered,
    RenderOptions,
    Row,
    Scores,
    Task,
    shown,
)
from mtl.tasks.text import clean, has_word, mapped_controls, passage_key, read_lines, read_passage, words
from mtl.tasks.windows import windows

TAG = "<summarize>"
INSTRUCTION = "Summarize the following article:"
HEAD = "Summary:"

_LOOSE_STOP = re.compile(r" ([.!?])$")


@dataclass(frozen=True, slots=True)
class Article:
    """One row: an article and its highlights as running text."""

    article: str
    highlights: str


def read(row: Row) -> Article:
    """An article from {article, highlights}; each line of the highlights ends as a sentence does."""
    lines = (clean(line) for line in mapped_controls(read_lines(row, "highlights")).splitlines())
    highlights = clean(" ".join(_sentence(line) for line in lines if line))
    if not has_word(highlights):
        raise BadRow("empty highlights", "highlights", detail=f"got {shown(highlights)}, expected words")
    return Article(read_passage(row, "article"), highlights)


def _sentence(line: str) -> str:
    """The line with its full stop: the line break that ended it does not survive T5's vocabulary."""
    line = _LOOSE_STOP.sub(r"\1", line)
    end = line.rstrip("'\")]")[-1:]
    return f"{line}." if end == "_" or (end and unicodedata.category(end)[0] in "LMN") else line


def join(records: Sequence[Article]) -> tuple[Article, Dropped]:
    """The first of several rows with one article."""
    dropped = [
        (index, BadRow("duplicate" if record.highlights == records[0].highlights else "second summary", "article"))
        for index, record in enumerate(records)
        if index
    ]
    return records[0], dropped


def render(record: Article, options: RenderOptions) -> Rendered:
    """One example, or none if the highlights are longer than a target may be; in training also one for each later
    window of an article that is too long, if `long_inputs` says so."""
    targets = f"{HEAD} {record.highlights}"
    if options.count(targets) > options.max_target_tokens:
        return Rendered([], [(0, BadRow("highlights over max_target_tokens", "highlights"))])
    meta = {"passage": (options.key or passage_key(record.article))[:16]}
    later = _later(record.article, options)
    examples = [_example(record.article, targets, meta, options)]
    examples += [_example(text, targets, {**meta, "window": number}, options) for number, text in later]
    return Rendered(examples, [])


def _example(article: str, targets: str, meta: Mapping[str, Any], options: RenderOptions) -> Example:
    uid = sha256_bytes(f"{TAG}\0{article}\0{targets}".encode())[:20]
    inputs = _inputs(article)
    if options.training and random.Random(f"dropout:{options.seed}:{uid}").random() < options.instruction_dropout:
        inputs = bare(inputs)
    return Example(inputs, targets, "summarize", uid, meta)


def _later(article: str, options: RenderOptions) -> Iterable[tuple[int, str]]:
    wanted = options.options
    if not options.training or wanted.get("long_inputs") != "windows":
        return ()
    room = wanted["max_input_tokens"] - options.count(_inputs(""))
    share, most = wanted["lead_share"], wanted["windows"]
    return windows(article, room=room, lead_share=share, most=most, count=options.count)


def prompt(text: str, request: Mapping[str, Any]) -> str:
    """The inputs for an article; a summary takes no request."""
    article = clean(text)
    if not article:
        raise BadRequest("the article is empty", field="text", hint="give a text that has words")
    return _inputs(article)


def _inputs(article: str) -> str:
    """The inputs for a cleaned article."""
    return f"{TAG} {INSTRUCTION} {article}"


def bare(inputs: str) -> str:
    """`<summarize> ARTICLE`: the task token alone."""
    return inputs.replace(f"{TAG} {INSTRUCTION} ", f"{TAG} ", 1)


def parse(text: str) -> str | None:
    """The summary behind 'Summary:', or None."""
    line = " ".join(text.split())
    summary = line.removeprefix(HEAD).strip()
    return summary if summary and line.startswith(HEAD) else None


def rows(text: str, output: Any) -> list[Row]:
    """The row of an article whose summary is `output`."""
    return [{"article": text, "highlights": output}] if isinstance(output, str) else []


def score(example: Example, prediction: str) -> Scores:
    """How near the summary (or an answer of another kind, as it stands) is to the highlights, and to the article."""
    reference = parse(example.targets) or ""
    parsed = parse(prediction)
    summary = " ".join(prediction.split()) if parsed is None else parsed
    scores = rouge_scores(summary, reference)
    article = _article(example.inputs)
    return {
        **{name: scores[name] for name in ("rouge1", "rouge2", "rougeL", "rougeLsum")},
        "kind_obeyed": float(parsed is not None),
        "length": float(len(words(summary))),
        "length_ratio": len(words(summary)) / max(1, len(words(reference))),
        "supported": supported(summary, article),
        CONSISTENT.name: None,
        "copied": copy_rate(summary, article),
    }


def claim(example: Example, text: str) -> tuple[str, str] | None:
    """(article, summary), or None where the text has none."""
    summary = parse(text)
    return None if summary is None else (_article(example.inputs), summary)


def unsupported(inputs: str, text: str) -> list[Span]:
    """Where `text`, with 'Summary:' before it or without, has a name, number or date that the inputs do not have."""
    summary = text.removeprefix(HEAD)
    before = len(text) - len(summary)
    return [(before + start, before + end) for start, end in unsupported_spans(summary, inputs)]


def _article(inputs: str) -> str:
    """The article of inputs that `prompt` or `bare` wrote."""
    return bare(inputs).removeprefix(f"{TAG} ")


_OPTIONS = (
    Parameter(
        "long_inputs",
        "What becomes of articles over max_input_tokens. truncate cuts their end, windows also trains on their lead "
        "together with later parts.",
        "truncate",
        choices=("truncate", "windows"),
    ),
    Parameter("windows", "With long_inputs windows: largest number of later parts of an article.", 2, low=1, high=8),
    Parameter(
        "lead_share",
        "With long_inputs windows: share of the input that is the lead of the article.",
        0.25,
        low=0,
        high=1,
        open=True,
    ),
)
_ROUGE = "rouge_score with stemming (Lin 2004)"
TASK = Task(
    name="summarize",
    version=2,
    token=TAG,
    columns=("article", "highlights"),
    metrics=(
        Metric("rouge1", source=_ROUGE, margin=0.01, deviation=0.1),
        Metric("rouge2", source=_ROUGE, margin=0.01, deviation=0.1),
        Metric("rougeL", source=_ROUGE, margin=0.01, deviation=0.1),
        Metric("rougeLsum", source=f"{_ROUGE}; what the T5 paper calls ROUGE-L", margin=0.01, deviation=0.1),
        Metric("kind_obeyed", source=f"the answer starts with {HEAD!r}", needs_reference=False),
        Metric(
            "supported",
            source="share of the summary's names, numbers and dates that the article has (mtl/metrics/supported.py)",
            margin=0.02,
            needs_reference=False,
        ),
        CONSISTENT,
        Metric("length", higher_is_better=None, high=None, source="words of the summary", needs_reference=False),
        Metric(
            "length_ratio",
            higher_is_better=None,
            high=None,
            source="words of the summary over words of the highlights",
        ),
        Metric(
            "copied",
            higher_is_better=None,
            source="share of the summary's 4-grams that the article holds (See et al. 2017, figure 6)",
            needs_reference=False,
        ),
    ),
    read=read,
    dump=lambda record: {"article": record.article, "highlights": record.highlights},
    load=lambda value: Article(**value),
    passage=lambda record: record.article,
    join=join,
    render=render,
    prompt=prompt,
    bare=bare,
    parse=parse,
    rows=rows,
    score=score,
    claim=claim,
    unsupported=unsupported,
    optional=(),
    options=_OPTIONS,
    gate=GateDefaults("rougeLsum", guards=("rouge1", "rouge2", "kind_obeyed", "supported", CONSISTENT.name)),
)
