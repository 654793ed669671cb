"""Commands that run as a user without rights and without a name, as some containers have it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

NOBODY = 54321


def as_nobody(code: str, *, imports: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Python code with nothing but `environment`.

    imports: what it needs beside the commands' modules; root does it, because nobody may be unable to read the package.
    """
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    modules = "os, mtl.cli.main, mtl.cli.health, mtl.service.status, mtl.service.prefect_api, mtl.service.mlflow_api"
    built = "from mtl.settings import load_settings, prefect_settings; load_settings({}); prefect_settings({})"
    imports = f"import {modules}\n{built}\n{imports}"
    change = f"{imports}\nos.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})\n"
    return subprocess.run(
        [sys.executable, "-c", change + code],
        env={"PATH": os.defpath, **environment},
        cwd="/",
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
