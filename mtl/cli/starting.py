"""What `mtl init` does: a folder with a configuration, a settings file and the next three commands."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Any

from mtl.config.shipped import shipped
from mtl.errors import InputError
from mtl.settings.file import NAME

Document = dict[str, Any]
_README = """# {name}

A project of mtl-retrain. Its configuration is `mine.yaml`; its state is kept in `.mtl`, where `.mtl/settings.env` holds
addresses and secrets. To keep both elsewhere, set `MTL_HOME` to a folder that lasts, and move `settings.env` there.

```sh
mtl retrain -c demo          # run every step on the shipped demo: a few minutes on two cores
mtl prepare -c mine.yaml     # prepare your own data, and give the reasons for refused rows
mtl retrain -c mine.yaml     # prepare, train, evaluate and register, and promote if the version passes the gate
```

As a service: `mtl stack up`, `eval "$(mtl stack env)"`, `mtl deploy -c mine.yaml --cron "0 3 * * *"`, `mtl status`.
"""
_SETTINGS = """# Settings of this machine, one NAME=VALUE a line; for your user alone (mode 600).
# MTL_STORE=s3://bucket/prefix
# MTL_NOTIFY_SLACK=https://hooks.slack.com/services/...
# MTL_NOTIFY_EMAIL=ops@example.org
# MTL_NOTIFY_SMTP=smtps://USER:PASSWORD@smtp.example.org
# MTL_COST_PER_HOUR=2.5
"""


def init(folder: Path) -> Document:
    """Write the project's files. Errors: InputError if one of them is there already; then nothing is written."""
    settings = folder / ".mtl" / NAME
    texts = {
        folder / "mine.yaml": shipped()["own-data"].read_text(encoding="utf-8"),
        folder / "README.md": _README.format(name=folder.resolve().name),
        settings: _SETTINGS,
    }
    there = [str(file) for file in texts if file.exists()]
    if there:
        raise InputError(
            f"{', '.join(there)} {'exists' if len(there) == 1 else 'exist'} already, and nothing was written",
            field="dir",
            hint="choose an empty or a new folder",
        )
    try:
        settings.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        for file, text in texts.items():
            mode = 0o600 if file == settings else 0o666
            with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="utf-8") as opened:
                opened.write(text)
    except OSError as error:
        raise InputError(f"cannot write {error.filename or folder}: {error.strerror}", field="dir") from None
    return {"folder": str(folder), "files": [str(file) for file in texts]}


def init_text(result: Document) -> str:
    """What was written, and what to do next."""
    lines = [f"wrote {file}" for file in result["files"]]
    folder = shlex.quote(result["folder"])
    return "\n".join([*lines, f"next: cd {folder} && mtl retrain -c demo, or name your data in mine.yaml"])
