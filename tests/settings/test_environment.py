"""The variables of this process: what is made of them when nobody sets them, and who reads them."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mtl.settings import account, give_home, load_settings, local_path

ROOT = Path(__file__).parents[2]


def test_an_account_without_a_name_gets_a_home_folder_and_a_user_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prefect and torch fail without them."""
    environ = {"MTL_HOME": "/srv/state"}
    give_home(environ)
    assert environ == {"MTL_HOME": "/srv/state"}
    monkeypatch.setattr(os, "getuid", lambda: 54321)
    give_home(environ)
    assert environ == {"MTL_HOME": "/srv/state", "HOME": "/srv/state", "USER": "uid54321"}
    assert account(54321) == load_settings({}).actor == "uid54321"


def test_a_tilde_of_nobody_is_a_plain_name() -> None:
    assert local_path("~no-such-user/x") == Path("~no-such-user/x")


def test_no_other_package_reads_the_environment() -> None:
    """What stands in one place can be listed, documented and kept out of a log in one place."""
    found = []
    for file in sorted([*ROOT.glob("mtl/**/*.py"), *ROOT.glob("flows/**/*.py")]):
        if file.is_relative_to(ROOT / "mtl" / "settings"):
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Attribute) and node.attr in ("environ", "environb", "getenv", "putenv", "unsetenv"):
                found += [f"{file.relative_to(ROOT)}:{node.lineno}"] if ast.unparse(node.value) == "os" else []
    assert found == []


def test_help_waits_for_no_model_of_the_settings() -> None:
    """pydantic is most of what it would wait for. The settings file of the state folder is not read either."""
    code = (
        "import sys\n"
        "from mtl.cli.main import run\n"
        "assert run(['--help']) == 0\n"
        "print([name for name in sys.modules if name.partition('.')[0] in ('pydantic', 'pydantic_settings', 'httpx')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
