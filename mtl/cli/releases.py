"""What `models`, `promote`, `rollback`, `generate` and `pull` do, and how their results read."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from string import ascii_uppercase
from typing import TYPE_CHECKING, Any

from mtl.decision import DecisionState, label, predicate
from mtl.decoding import Decoding
from mtl.errors import InputError, NotFoundError
from mtl.progress import report as report_progress
from mtl.redact import clean
from mtl.settings import load_settings, tracking_is_named
from mtl.store.searched import searched
from mtl.task import Item
from mtl.tasks.table import get_task
from mtl.workspace import open_workspace

if TYPE_CHECKING:
    from mtl.release.refs import LocalModel

Document = dict[str, Any]
_SHARD = 256  # texts that are answered together


def models(name: str) -> Document:
    """The versions of a registered model."""
    registry = open_workspace().registry(name)
    return {"model": name, "versions": [asdict(version) for version in registry.versions()]}


def history(name: str) -> Document:
    """The journal of a model: every change of champion, oldest first."""
    from mtl.release.journal import read_journal

    journal = read_journal(open_workspace().store, name)
    changes = [{"seq": seq, **change.to_dict()} for seq, change in enumerate(journal.changes, start=1)]
    return {"model": name, "champion": journal.champion, "previous": journal.previous, "history": changes}


def is_table(file: Path) -> bool:
    """Whether a file holds many texts, by its name."""
    from mtl.serving.batch import is_table as has_rows

    return has_rows(file)


def generate(
    file: Path | None,
    task: str,
    request: Mapping[str, Any] | None,
    *,
    name: str,
    ref: str,
    max_new_tokens: int | None,
    truncate: bool,
    decoding: Decoding,
) -> Document:
    """The answer of the model to the text in `file`, or on standard input."""
    from mtl.serving.batch import read_one

    text = read_one(*_content(file))
    from mtl.serving.generate import load_generator

    model = _resolved(name, ref)
    (answer,) = load_generator(model.folder).generate(
        [text], task, request=request, max_new_tokens=max_new_tokens, truncate=truncate, decoding=decoding
    )
    document = {"task": task, "model": ref, "version": model.version, **answer.to_dict()}
    return document | _noted(model.folder, [text])


def generate_many(
    file: Path | None,
    task: str,
    request: Mapping[str, Any] | None,
    *,
    name: str,
    ref: str,
    max_new_tokens: int | None,
    truncate: bool,
    decoding: Decoding,
    out: Any,
) -> Document:
    """One JSON line to `out` for each row of the table `file`, or line of standard input, as they are answered.

    Errors: InputError if there was none, or none could be answered.
    """
    from mtl.serving.batch import ACCEPTED, answer_rows, read_lines, read_rows, shards
    from mtl.serving.generate import load_generator

    rows = read_lines(getattr(sys.stdin, "buffer", sys.stdin)) if file is None else read_rows(file)
    model = _resolved(name, ref)
    generator = load_generator(model.folder, engine="auto")
    done = refused = 0
    first = ""
    texts: list[str] = []  # some of those that were answered, for the note about the demo
    for shard in shards(rows, _SHARD):
        answers = answer_rows(
            generator,
            shard,
            task,
            request=request,
            max_new_tokens=max_new_tokens,
            truncate=truncate,
            decoding=decoding,
        )
        out.writelines(json.dumps(answer, ensure_ascii=False) + "\n" for answer in answers)
        out.flush()
        done += len(answers)
        texts = texts or [row.text for row, answer in zip(shard, answers, strict=True) if "error" not in answer]
        errors = [answer["error"]["message"] for answer in answers if "error" in answer]
        refused += len(errors)
        first = first or next(iter(errors), "")
    if refused == done:
        where = "standard input" if file is None else str(file)
        found = f"all {done} texts of {where} were refused, the first one: {first}" if done else f"no texts in {where}"
        raise InputError(found, field="file", hint=ACCEPTED)
    if refused:
        print(f"{refused} of {done} texts were refused; their lines say why", file=sys.stderr)
    document = {"task": task, "model": ref, "version": model.version, "texts": done, "refused": refused}
    return document | _noted(model.folder, texts)


def _noted(folder: Path, texts: Iterable[str]) -> Document:
    """The note about texts that a demo model has answered, for the JSON document; people read it on standard error."""
    from mtl.serving.demo import demo_note

    note = demo_note(folder, texts)
    if note is None:
        return {}
    print(note, file=sys.stderr)
    return {"note": note}


def _resolved(name: str, ref: str) -> LocalModel:
    """The model that a ref stands for. The registry, which takes seconds to open, is asked only about a run id."""
    from mtl.release.refs import resolve_ref

    workspace = open_workspace()
    is_run = len(ref) == 32 and not Path(ref).exists()
    versions = workspace.registry(name) if is_run else None
    return resolve_ref(ref, store=workspace.store, model=name, cache=workspace.cache, versions=versions)


def _content(file: Path | None) -> tuple[bytes, str]:
    """What is in the file or on standard input, and what to call it."""
    if file is None:
        stream = getattr(sys.stdin, "buffer", None)
        data = stream.read() if stream else sys.stdin.read().encode("utf-8", "surrogateescape")
        return data, "standard input"
    try:
        return file.read_bytes(), str(file)
    except OSError as error:
        raise NotFoundError(f"cannot read {file}: {error.strerror}", field="file") from None


def pull(name: str, ref: str, dest: Path) -> Document:
    """Fetch a release into a folder: a ref from the store, or a file of links."""
    from mtl.cli.private import usual_modes
    from mtl.cli.terminal import progress_bars
    from mtl.release.links import read_links
    from mtl.release.pull import fetch_release
    from mtl.release.pull import pull as pull_release
    from mtl.release.signature import check_folder_signature

    def tell(path: str, done: int, total: int) -> None:
        report_progress("pull", done, total, path)

    with progress_bars(), usual_modes():
        if ref.endswith(".json"):
            manifest, source = read_links(Path(ref))
            fetch_release(source, manifest, dest, progress=tell)
        else:
            manifest = pull_release(open_workspace().store, ref, dest, model=name, progress=tell)
    key = check_folder_signature(manifest, dest)
    return {
        "model": manifest.model,
        "version": manifest.version,
        "folder": str(dest),
        "signed_by": key.name if key else None,
        "files": [asdict(file) for file in manifest.files],
        "adapter_sha256": manifest.adapter_sha256,
    }


def links(name: str, ref: str, hours: float) -> Document:
    """Links to a release for those without credentials."""
    from mtl.release.links import make_links
    from mtl.release.pull import find_release

    store = open_workspace().store
    return make_links(store, find_release(store, ref, model=name), hours=hours)


def models_text(result: Document) -> str:
    """A line a version, newest first; why, if the newest was not simply promoted."""
    if not result["versions"]:
        return f"{result['model']} has no versions yet; {_tracking_searched()}\nnext: mtl retrain -c conf/demo.yaml"
    decisions = [label(v["decision"], v["decision_by"]) for v in result["versions"]]
    wide = max(map(len, decisions)) + 2
    lines = [f"{'version':<9}{'aliases':<22}{'decision':<{wide}}{'created':<27}{'run':<14}data"]
    lines += [
        f"v{v['version']:<8}{', '.join(v['aliases']):<22}{decision:<{wide}}{v['created']:<27}"
        f"{v['identity'][:12]:<14}{v['fingerprint'][:12]}"
        for v, decision in zip(result["versions"], decisions, strict=True)
    ]
    newest = result["versions"][0]
    if newest["decision"] not in ("", DecisionState.PROMOTE, DecisionState.APPROVED):
        words = predicate(newest["decision"], newest["decision_by"])
        lines += ["", f"v{newest['version']} {words}:", *(f"  - {reason}" for reason in newest["reasons"])]
    if newest["decision"] == DecisionState.WAITING:
        lines.append("next: answer the form of its run in Prefect, where the run is Suspended (or Paused)")
    return "\n".join(lines)


def _tracking_searched() -> str:
    """Which MLflow was looked in; where nobody named it, also how to name another."""
    where = f"looked in the MLflow of {clean(load_settings().tracking_uri)}"
    if tracking_is_named():
        return where
    hint = 'set it to the server that is meant (for the stack here: eval "$(mtl stack env)")'
    return f"{where} (the default, as MLFLOW_TRACKING_URI is not set); {hint}"


def history_text(result: Document) -> str:
    """Two lines a change, newest first: what, when and by whom; and why."""
    if not result["history"]:
        return f"{result['model']} has had no champion yet; {searched(open_workspace().store)}"
    lines = []
    for change in reversed(result["history"]):
        replaced = f"v{change['replaced']}" if change["replaced"] else "none"
        forced = ", overruling the gate" if change["forced"] else ""
        lines.append(
            f"{change['at']}  {change['kind']:<9}{replaced} -> v{change['version']}  by {change['actor']}{forced}"
        )
        lines.append(f"    {change['reason']}")
    return "\n".join(lines)


def reconcile_text(result: Document) -> str:
    """What was found, and who is champion."""
    lines = []
    if result["adopted"]:
        change = result["adopted"]
        lines.append(f"{change['kind']} to v{change['version']}: {change['reason']}")
    if result["refused"]:
        lines.append(f"the moved alias was put back: {result['refused']}")
    lines += [f"alias {name} set to {version or 'nothing'}" for name, version in result["mended"].items()]
    champion = f"champion v{result['champion']}" if result["champion"] else "no champion yet"
    return "\n".join([*(lines or ["nothing to do"]), f"{result['model']}: {champion}"])


def repair_text(result: Document) -> str:
    """A line an entry that was filled in, and who is champion."""
    lines = [f"entry {entry['seq']}: {entry['kind']} to v{entry['version']}" for entry in result["filled_in"]]
    lines += [f"alias {name} set to {version or 'nothing'}" for name, version in result["mended"].items()]
    champion = f"champion v{result['champion']}" if result["champion"] else "no champion yet"
    return "\n".join([*(lines or ["nothing to repair"]), f"{result['model']}: {champion}"])


def promote_text(result: Document) -> str:
    """Who is champion now."""
    done = "is champion now" if result["changed"] else "was champion already"
    previous = f"previous: v{result['previous']}" if result["previous"] else "no previous champion"
    return f"{result['model']} v{result['champion']} {done} ({previous})\n  {result['reason']}"


def generate_text(result: Document) -> str:
    """The answer as its task draws it, one item under the other; or as text."""
    output = result["output"]
    if output is None:
        return f"the model's answer is not of the form of {result['task']}:\n{result['text']}"
    items = get_task(result["task"]).draw(output)
    missing = [_missing(result["missing"])] if result.get("missing") else []
    if items or missing:
        marks = map(_mark, output) if "missing" in result else [""] * len(items)
        pairs = enumerate(zip(items, marks, strict=True), start=1)
        drawn = [_item(number, item) + mark for number, (item, mark) in pairs]
        return "\n\n".join([*drawn, *missing])
    return output if isinstance(output, str) else json.dumps(output, ensure_ascii=False)


def _mark(question: Mapping[str, Any]) -> str:
    return f"\n   checked: the base picks this answer with probability {question['probability']:.2f}"


def _missing(counts: Mapping[str, int]) -> str:
    found = ", ".join(f"{count} {label}" for label, count in counts.items())
    return f"missing: {found}; no candidate had more questions whose answer the base confirms"


def _item(number: int, item: Item) -> str:
    marks = (f"   {letter}. {option}" for letter, option in zip(ascii_uppercase, item.options, strict=False))
    answer = [f"   answer: {item.answer}"] if item.answer else []
    return "\n".join([f"{number}. {item.text}" + (f"  [{item.tag}]" if item.tag else ""), *marks, *answer])


def pull_text(result: Document) -> str:
    """Where the files are."""
    size = sum(file["bytes"] for file in result["files"])
    signed = f", signed by key {result['signed_by']}" if result["signed_by"] else ""
    return (
        f"{result['model']} v{result['version']} in {result['folder']}: "
        f"{len(result['files'])} files, {size / 1e6:.1f} MB, every sha256 verified{signed}\n"
        f"next: see {result['folder']}/README.md for the lines that load it"
    )
