"""`mtl feedback`: what people said of answers, and Label Studio in both directions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from mtl.cli import terminal
from mtl.errors import InputError

Document = dict[str, Any]
Json = Annotated[bool, typer.Option("--json", help="print one JSON document, last on standard output")]
Model = Annotated[str, typer.Option("--name", help="registered model")]
Project = Annotated[int | None, typer.Option(help="Number of a project at LABEL_STUDIO_URL, instead of a file.")]
DEFAULT_MODEL = "mtl-flan-t5"

commands = typer.Typer(help="Show what people said of answers, and exchange it with Label Studio.")


@commands.command("list")
def list_feedback(name: Model = DEFAULT_MODEL, as_json: Json = False) -> None:
    """Show how often each verdict was given, by task and version."""
    from mtl.traffic.label_studio import summary_of
    from mtl.traffic.store import read_feedback
    from mtl.workspace import open_workspace

    counts = summary_of(read_feedback(open_workspace().store, name))
    result = {"model": name, "feedback": sum(row["count"] for row in counts), "counts": counts}
    terminal.show(result, as_json, _list_text)


@commands.command("export")
def export_answers(
    file: Annotated[Path | None, typer.Argument(help="JSON file for the tasks.")] = None,
    project: Project = None,
    days: Annotated[int, typer.Option(min=1, help="Number of days whose answers are exported, up to now.")] = 7,
    most: Annotated[
        int, typer.Option("--limit", min=1, help="Largest number of answers to export. The newest are taken.")
    ] = 200,
    name: Model = DEFAULT_MODEL,
    as_json: Json = False,
) -> None:
    """Give logged answers to Label Studio: a file to import, with its labelling configuration beside it, or a project.

    Answers that have feedback already are left out.
    """
    _one_of(file, project)
    terminal.show(_export(file, project, days=days, most=most, name=name), as_json, _export_text)


@commands.command("import")
def import_annotations(
    file: Annotated[Path | None, typer.Argument(help="Export of a project in the format JSON.")] = None,
    project: Project = None,
    name: Model = DEFAULT_MODEL,
    as_json: Json = False,
) -> None:
    """Keep the annotations of a Label Studio export, or of a project, as feedback. Repeating it changes nothing."""
    _one_of(file, project)
    terminal.show(_import(file, project, name=name), as_json, _import_text)


def _one_of(file: Path | None, project: int | None) -> None:
    if (file is None) == (project is None):
        raise InputError("give a file or --project", field="file", hint="see mtl feedback --help")


def _export(file: Path | None, project: int | None, *, days: int, most: int, name: str) -> Document:
    import json
    from datetime import UTC, datetime, timedelta

    from mtl.store.files import written_aside
    from mtl.traffic.label_studio import CONFIGURATION, item_of, newest, tasks_of
    from mtl.traffic.store import read_answers, read_feedback
    from mtl.workspace import open_workspace

    store = open_workspace().store
    known = {feedback.name for feedback in read_feedback(store, name)}
    answers = newest(read_answers(store, name, since=datetime.now(UTC) - timedelta(days=days)), most)
    tasks = [task for answer in answers for task in tasks_of(answer) if item_of(task["data"]) not in known]
    result: Document = {"model": name, "answers": len(answers), "tasks": len(tasks)}
    if file is None:
        return result | {"project": project, "added": _project(project).add(tasks)}
    configuration = file.with_suffix(".xml")
    for path, text in ((configuration, CONFIGURATION), (file, json.dumps(tasks, ensure_ascii=False, indent=1))):
        with written_aside(path) as aside:
            aside.write(text.encode())
    return result | {"file": str(file), "configuration": str(configuration)}


def _import(file: Path | None, project: int | None, *, name: str) -> Document:
    from mtl.document import parse_json
    from mtl.settings import secrets
    from mtl.settings.traffic import traffic_settings
    from mtl.traffic.label_studio import import_feedback
    from mtl.traffic.redaction import Redaction
    from mtl.workspace import open_workspace

    redaction = Redaction(traffic_settings().redact, hidden=secrets())
    exported = _project(project).export() if file is None else parse_json(_content(file), str(file))
    if not isinstance(exported, list):
        raise InputError(f"{file} is no list of tasks", field="file", hint="export the project in the format JSON")
    if exported and not any(isinstance(one, dict) and "annotations" in one for one in exported):
        raise InputError(
            f"{file or 'the project'} has no task with annotations",
            field="file",
            hint="export the project of Label Studio in the format JSON; `mtl feedback export` writes what it imports",
        )
    done = import_feedback(open_workspace().store, name, exported, redaction)
    return {"model": name, **done.to_dict()}


def _project(project: int | None) -> Any:
    from mtl.service.label_studio import Project as LabelStudioProject
    from mtl.settings.traffic import LabelStudioSettings

    assert project is not None
    return LabelStudioProject(LabelStudioSettings.read(), project)


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {file}: {error.strerror}", field="file") from None


def _list_text(result: Document) -> str:
    if not result["counts"]:
        return f"no feedback of {result['model']} yet"
    rows = [("task", "version", "verdict", "from", "number")]
    rows += [
        (row["task"], f"v{row['version']}" if row["version"] else "-", row["verdict"], row["origin"], str(row["count"]))
        for row in result["counts"]
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _export_text(result: Document) -> str:
    if "file" in result:
        return (
            f"{result['tasks']} tasks of {result['answers']} logged answers in {result['file']}\n"
            f"  labelling configuration of the project: {result['configuration']}"
        )
    return f"{result['added']} tasks added to project {result['project']}, of {result['tasks']}"


def _import_text(result: Document) -> str:
    lines = [
        f"{result['new']} new, {result['same']} kept before, {result['unlabelled']} not annotated"
        + (f", {result['other']} left as something else was said before" if result["other"] else "")
    ]
    lines += [f"  {name} is left out: {reason}" for name, reason in result["refused"].items()]
    return "\n".join(lines)
