"""The page on own tasks as a program: this package with the page's file and the page's two lines, and nothing else."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mtl

PAGE = Path(__file__).parents[2] / "docs" / "own-task.md"
_IN_TABLE = re.compile(r"^from mtl\.tasks import mcq, summarize$|^TASKS: .*?^\)$", re.MULTILINE | re.DOTALL)


def block(language: str, number: int = 0) -> str:
    """A piece of code of the page."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)[number]


@dataclass(frozen=True)
class Program:
    """`mtl` with one more task. folder: where commands run, with a state of their own."""

    package: Path
    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        own = {"PYTHONPATH": str(self.package), "MTL_HOME": str(self.folder / "home")}
        return {name: value for name, value in os.environ.items() if not name.startswith(("MTL_", "MLFLOW_"))} | own

    def python(self, *arguments: str, timeout: float = 240) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def mtl(self, *arguments: str) -> Any:
        """The document of a command, which may be an error's."""
        done = self.python("-m", "mtl.cli", *arguments, "--json")
        assert done.stdout, done.stderr[-3000:]
        return json.loads(done.stdout.splitlines()[-1])


def program(folder: Path) -> Program:
    """The program in `folder`, its package a copy of this one."""
    package = folder / "package"
    shutil.copytree(
        Path(mtl.__file__).parent, package / "mtl", ignore=shutil.ignore_patterns("__pycache__", "demo_base")
    )
    (package / "mtl" / "model" / "demo_base").symlink_to(Path(mtl.__file__).parent / "model" / "demo_base")
    (package / "mtl" / "tasks" / "title.py").write_text(block("python"), encoding="utf-8")
    table = package / "mtl" / "tasks" / "table.py"
    lines = iter(block("python", 1).strip().split("\n\n"))
    text, changed = _IN_TABLE.subn(lambda found: next(lines), table.read_text(encoding="utf-8"))
    assert changed == 2, "the page changes two lines of the table"
    table.write_text(text, encoding="utf-8")
    return Program(package, folder)
