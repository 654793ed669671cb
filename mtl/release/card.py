"""The model card: README.md of a release, with the lines that load it with peft and transformers alone."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from mtl.evaluation.markdown import code, escape
from mtl.release.layout import ReleaseFacts
from mtl.tasks.table import TASKS

_CARD = """\
---
library_name: peft
base_model: {base_yaml}
pipeline_tag: text2text-generation
---
# {model} v{version}

A LoRA adapter for {base_words} that serves these tasks, each by its token: {tokens}.

## Load it
With `pip install peft transformers torch sentencepiece`, inside this folder:

```python
from peft import PeftModel
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(".")
base = AutoModelForSeq2SeqLM.from_pretrained({load})
model = PeftModel.from_pretrained(base, ".").merge_and_unload().eval()
ids = tokenizer({prompt}, return_tensors="pt").input_ids
print(tokenizer.decode(model.generate(ids, max_new_tokens={limit})[0], skip_special_tokens=True))
```

{merged}\
Do not resize the embeddings to the tokenizer's length, and do not use AutoPeftModel, which does: the base has more rows
than the tokenizer has tokens, and shrinking them loses the pretrained output head.

## Metrics
{metrics}

report.md and report.json hold the whole evaluation.

## Where it came from
| | |
| --- | --- |
| base | {base} at revision {revision} |
| base sha256 | {base_sha256} |
| adapter sha256 | `{adapter_sha256}` |
| run identity | {identity} |
| data fingerprint | {fingerprint} |
{parent}| code version | {code_version} |
| task versions | {task_versions} |
{provenance}
## Limits
Inputs are cut or refused beyond {max_input_tokens} tokens. Answers are generated greedily; they can be wrong.{caveats}

## Licences
{licences}
"""

_MERGED = """\
`merged/` is the same model as one: `AutoModelForSeq2SeqLM.from_pretrained("merged")` with
`AutoTokenizer.from_pretrained("merged")` needs no peft.

"""

_PROVENANCE = """
`provenance/` holds the configuration, the installed packages, a software bill of materials (CycloneDX) and the loss of
each step. `mtl reproduce v{version}` trains this version again and compares the two adapters.
"""

_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]*")


def render_card(
    *,
    model: str,
    version: int,
    spec: Mapping[str, Any],
    facts: ReleaseFacts,
    adapter_sha256: str,
    bundled: bool,
    differences: Mapping[str, Mapping[str, str]] | None = None,
    licences: Mapping[str, str] | None = None,
    merged: bool = False,
    provenance: bool = False,
) -> str:
    """Markdown of the card. `spec` is the document of mtl_model.json; the same arguments give the same text.

    differences: task -> metric -> difference and interval in words. licences: base or source -> licence. provenance:
    whether the release says how to train it again.
    """
    tokens: Mapping[str, str] = spec.get("tokens", {})
    limits: Mapping[str, int] = spec.get("max_new_tokens", {})
    known = [task for name, task in TASKS.items() if name in tokens]
    task = known[0].name if known else next(iter(tokens), "")
    example = known[0].prompt("...", known[0].complete({})) if known else f"{tokens.get(task, '')} ..."
    return _CARD.format(
        model=model,
        version=version,
        base=code(spec["base"]),
        base_yaml=_yaml(spec["base"]),
        base_words="the base in `base/`" if bundled else code(spec["base"]),
        load='"base"' if bundled else _hub_arguments(spec),
        tokens=", ".join(f"{escape(name)} ({code(token)})" for name, token in sorted(tokens.items())) or "none",
        prompt=json.dumps(example),
        caveats="".join(f" {task.caveat}" for task in known if task.caveat),
        limit=limits.get(task, 128),
        merged=_MERGED if merged else "",
        provenance=_PROVENANCE.format(version=version) if provenance else "",
        metrics=_metrics_table(facts.metrics, differences or {}),
        licences=_licences(licences or {}),
        revision=code(str(spec.get("revision"))),
        base_sha256=code(str(spec.get("base_sha256", "unknown"))),
        adapter_sha256=adapter_sha256,
        identity=code(facts.identity),
        fingerprint=code(facts.fingerprint),
        parent=f"| started from the adapter of | {facts.parent} |\n" if facts.parent else "",
        code_version=code(facts.code_version),
        task_versions=", ".join(
            f"{escape(name)} {number}" for name, number in sorted(spec.get("task_versions", {}).items())
        ),
        max_input_tokens=spec.get("max_input_tokens", "the trained number of"),
    )


def _hub_arguments(spec: Mapping[str, Any]) -> str:
    revision = f", revision={json.dumps(spec['revision'])}" if spec.get("revision") else ""
    return f"{json.dumps(spec['base'])}{revision}"


def _yaml(text: str) -> str:
    """Text as a YAML scalar, and no HTML for readers that know no front matter."""
    return text if _PLAIN.fullmatch(text) else json.dumps(text).replace("<", "\\u003c").replace("&", "\\u0026")


def _licences(licences: Mapping[str, str]) -> str:
    if not licences:
        return "Those of the base and of the data it was trained on."
    rows = [f"| {escape(name)} | {escape(text)} |" for name, text in licences.items()]
    return "\n".join(["| base or data | licence |", "| --- | --- |", *rows])


def _metrics_table(metrics: Mapping[str, Any], differences: Mapping[str, Mapping[str, str]]) -> str:
    """One row per task and metric; what is no number is left out."""
    rows = [
        f"| {escape(task)} | {escape(name)} | {value:.4f} | {differences.get(task, {}).get(name, '')} |"
        for task, values in sorted(metrics.items())
        if isinstance(values, Mapping)
        for name, value in sorted(values.items())
        if isinstance(value, int | float) and math.isfinite(value)
    ]
    head = ["| task | metric | value | difference |", "| --- | --- | --- | --- |"]
    return "\n".join([*head, *rows]) if rows else "None recorded."
