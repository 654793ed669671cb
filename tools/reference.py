"""The reference pages, made from the code: docs/reference-cli.md and docs/reference-configuration.md.

python tools/reference.py            write them
python tools/reference.py --check    exit 1 if they are not what the code says
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mtl.cli.main import app
from mtl.config.retrain import RetrainConfig
from mtl.settings.table import KNOWN

DOCS = Path(__file__).parents[1] / "docs"
_NOTE = "<!-- made by tools/reference.py; do not edit -->"


def cli_page() -> str:
    """Every command with its arguments and options, as `--help` has them."""
    import typer

    root: Any = typer.main.get_command(app)
    lines = [
        _NOTE,
        "",
        "# Commands",
        "",
        root.help,
        "",
        "Every command takes `--help`; those with `--json` print one JSON",
    ]
    codes = "0 done, 1 failed, 2 bad input, 3 not bit-equal, 75 taken over, 143 asked to stop"
    lines += [f"document last. Exit codes: {codes}.", ""]
    for name, command in _commands(root):
        lines += [f"## mtl {name}", "", " ".join(command.help.split()), ""]
        rows = [row for parameter in command.params if (row := _parameter(parameter))]
        if rows:
            lines += ["| | | default |", "| --- | --- | --- |", *rows, ""]
    return "\n".join(lines).rstrip() + "\n"


def _commands(group: Any, before: str = "") -> Iterator[tuple[str, Any]]:
    for name, command in sorted(group.commands.items()):
        if hasattr(command, "commands"):
            yield from _commands(command, f"{before}{name} ")
        else:
            yield f"{before}{name}", command


def _parameter(parameter: Any) -> str | None:
    if parameter.name == "help":
        return None
    names = ", ".join(f"`{name}`" for name in [*parameter.opts, *parameter.secondary_opts])
    if parameter.param_type_name == "argument":
        names = f"`{parameter.name}`"
    default = parameter.default
    shown = "required" if parameter.required else "" if default in (None, False) else f"`{default}`"
    return f"| {names} | {_cell(getattr(parameter, 'help', '') or '')} | {shown} |"


def configuration_page() -> str:
    """Every field of RetrainConfig, and every setting of the environment."""
    schema = RetrainConfig.model_json_schema(by_alias=True)
    lines = [_NOTE, "", "# Configuration", "", "A YAML file, e.g. `conf/demo.yaml`; also the form of the deployments."]
    lines += ["Unknown keys are refused, and every fault is named at once.", ""]
    lines += _section(schema, schema["$defs"], "")
    lines += [
        "",
        "# Settings",
        "",
        "From the environment only. `mtl doctor` checks them.",
        "",
        "| variable | meaning |",
    ]
    lines += ["| --- | --- |", *(f"| `{name}` | {_cell(meaning)} |" for name, meaning in KNOWN.items())]
    return "\n".join(lines) + "\n"


def _section(schema: dict[str, Any], definitions: dict[str, Any], path: str) -> list[str]:
    """A table of the fields at `path`, then the sections below it."""
    below: list[str] = []
    rows = []
    for name, field in schema["properties"].items():
        target = _target(field, definitions)
        if target is not None:
            place = f"{path}{name}{'[]' if field.get('type') == 'array' else ''}."
            below += ["", *_section(target, definitions, place)]
        rows.append(
            f"| `{name}` | {_type(field)} | {_default(field, name, schema)} | {_cell(field.get('description', ''))} |"
        )
    title = f"## {path.rstrip('.')}" if path else "## The file"
    text = [schema["description"].split("\n\n")[0].replace("\n", " "), ""] if path and schema.get("description") else []
    return [title, "", *text, "| field | type | default | |", "| --- | --- | --- | --- |", *rows, *below]


def _target(field: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any] | None:
    """The section that a field holds (one, or a list of them)."""
    inner = field.get("items", field)
    references = [option["$ref"] for option in (inner, *inner.get("anyOf", ())) if "$ref" in option]
    found = [definitions[reference.rpartition("/")[2]] for reference in references]
    return next((section for section in found if "properties" in section), None)


def _type(field: dict[str, Any]) -> str:
    if "anyOf" in field:
        return " or ".join(_type(option) for option in field["anyOf"])
    if "$ref" in field:
        return "section"
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    if "const" in field:
        return f"`{field['const']}`"
    kind = str(field.get("type", "any"))
    if kind == "array":
        return f"list of {_type(field.get('items', {}))}"
    low, high = field.get("minimum", field.get("exclusiveMinimum")), field.get("maximum", field.get("exclusiveMaximum"))
    bounds = [f"{'>' if 'exclusiveMinimum' in field else '≥'} {low}"] if low is not None else []
    bounds += [f"{'<' if 'exclusiveMaximum' in field else '≤'} {high}"] if high is not None else []
    return f"{kind} {', '.join(bounds)}".rstrip()


def _default(field: dict[str, Any], name: str, schema: dict[str, Any]) -> str:
    if name in schema.get("required", []):
        return "required"
    if "default" not in field or (isinstance(field["default"], dict) and _type(field) == "section"):
        return ""
    return f"`{_cell(json.dumps(field['default'], ensure_ascii=False))}`"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


PAGES = {"reference-cli.md": cli_page, "reference-configuration.md": configuration_page}


def main(arguments: list[str]) -> int:
    """Write the pages, or check them."""
    parser = argparse.ArgumentParser(description="Make the reference pages from the code")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a page is old")
    check = parser.parse_args(arguments).check
    old = [name for name, make in PAGES.items() if not (DOCS / name).exists() or (DOCS / name).read_text() != make()]
    for name in old:
        if check:
            print(f"docs/{name} is old: python tools/reference.py writes it", file=sys.stderr)
        else:
            (DOCS / name).write_text(PAGES[name]())
            print(f"wrote docs/{name}")
    return 1 if old and check else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
