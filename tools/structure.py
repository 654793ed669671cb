"""Counts what tells how a code base is built, to compare two states of it.

    python tools/structure.py               # this tree
    python tools/structure.py PATH          # another tree, e.g. a worktree of an older commit

Prints one JSON object. `any` counts the uses of typing.Any in annotations and elsewhere, not its imports; `opened` the
calls of functions that open settings, stores and trackers; `local_imports` the imports inside functions that run
(not those under TYPE_CHECKING); `private_in_tests` the names with a leading underscore that tests take from these.
"""

from __future__ import annotations

import ast
import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from statistics import median

OPENERS = ("load_settings", "open_store", "Tracking", "Registry", "tracking", "open_workspace")
CODE = ("mtl", "flows")


def structure(root: Path) -> dict[str, object]:
    """The counts of the tree at `root`."""
    trees = {path: ast.parse(path.read_text()) for folder in CODE for path in sorted((root / folder).rglob("*.py"))}
    tests = {path: ast.parse(path.read_text()) for path in sorted((root / "tests").rglob("*.py"))}
    lines = [len(path.read_text().splitlines()) for path in trees]
    functions = [node for tree in trees.values() for node in ast.walk(tree) if isinstance(node, _FUNCTION)]
    bodies = [(node.end_lineno or node.lineno) - node.body[0].lineno + 1 for node in functions]
    used = Counter(name for tree in trees.values() for name in _calls(tree) if name in OPENERS)
    return {
        "modules": len(trees),
        "lines": sum(lines),
        "modules_under_45_lines": sum(count < 45 for count in lines),
        "functions": len(functions),
        "median_body": median(bodies),
        "any": sum(_anys(tree) for tree in trees.values()),
        "dict_str_any": sum(path.read_text().count("dict[str, Any]") for path in trees),
        "documents": sum(_annotated(tree, "Document") for tree in trees.values()),
        "local_imports": sum(_local_imports(node) for node in functions),
        "opened": dict(sorted(used.items())),
        "modules_with_environ": sum(any(_environ(n) for n in ast.walk(tree)) for tree in trees.values()),
        "modules_with_mlflow": sum("mlflow" in _imported(tree) for tree in trees.values()),
        "private_in_tests": sum(len(list(_private(tree))) for tree in tests.values()),
    }


_FUNCTION = (ast.FunctionDef, ast.AsyncFunctionDef)


def _calls(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "id", None) or getattr(node.func, "attr", None)
            if isinstance(name, str):
                yield name


def _anys(tree: ast.AST) -> int:
    return _annotated(tree, "Any")


def _annotated(tree: ast.AST, name: str) -> int:
    return sum(isinstance(node, ast.Name) and node.id == name for node in ast.walk(tree))


def _local_imports(function: ast.AST) -> int:
    """Imports in this function's own body; those of functions inside it are counted with these."""
    found, queue = 0, list(ast.iter_child_nodes(function))
    while queue:
        node = queue.pop()
        if isinstance(node, _FUNCTION):
            continue
        found += isinstance(node, ast.Import | ast.ImportFrom)
        queue += ast.iter_child_nodes(node)
    return found


def _environ(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv")


def _imported(tree: ast.AST) -> set[str]:
    """Packages that a module imports anywhere in it."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found


def _private(tree: ast.Module) -> Iterator[str]:
    """Names with a leading underscore, imported from mtl or flows or read from a module of theirs."""
    modules = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in CODE:
            modules |= {alias.asname or alias.name for alias in node.names}
            yield from (alias.name for alias in node.names if _hidden(alias.name))
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and _hidden(node.attr) and getattr(node.value, "id", None) in modules:
            yield node.attr
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            parts = node.value.split(".")
            if parts[0] in CODE and len(parts) > 2 and all(p.isidentifier() for p in parts) and _hidden(parts[-1]):
                yield node.value


def _hidden(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


if __name__ == "__main__":
    print(json.dumps(structure(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[1]), indent=1))
