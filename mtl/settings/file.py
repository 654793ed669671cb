"""Settings from files: `$MTL_HOME/settings.env` holds what every command of this machine needs, secrets included.

In a container, secrets are mounted as files instead, each named as its setting. What stands in the environment goes
before what stands in a file, so that one command can differ.
"""

from __future__ import annotations

import io
import os
import shlex
from collections.abc import Collection, Mapping, MutableMapping
from pathlib import Path

from dotenv import dotenv_values

from mtl.errors import InputError, did_you_mean
from mtl.settings.environment import secrets_folder, state_folder
from mtl.shortages import reported

NAME = "settings.env"
CERTIFICATES = ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")
"""What the libraries read, and may stand in the file beside the settings: docs/how-to/proxies-and-certificates.md."""
_OTHERS_MAY = 0o077


def apply_settings_file(environ: MutableMapping[str, str] | None = None) -> None:
    """Set what mounted secrets and the file of `MTL_HOME` name and the environment does not.

    Errors: InputError, see `read_secrets` and `read_settings`.
    """
    env = os.environ if environ is None else environ
    for name, value in read_secrets(secrets_folder(env)).items():
        env[name] = env.get(name) or value
    for name, value in read_settings(state_folder(env) / NAME).items():
        env.setdefault(name, value)


def read_secrets(folder: Path) -> Mapping[str, str]:
    """Setting -> what is in the file of its name, if that is not empty; as docker/with-secrets.sh has it.

    Other files may be there for other programs. Errors: InputError for a file that cannot be read.
    """
    if not folder.is_dir():
        return {}
    from mtl.settings.table import KNOWN  # takes as long as `mtl --help`

    found = {}
    for name in KNOWN:
        file = folder / name
        try:
            found[name] = file.read_text(encoding="utf-8").rstrip("\n")
        except (FileNotFoundError, NotADirectoryError):
            continue
        except (OSError, UnicodeDecodeError) as error:
            hint = f"it is a text file in UTF-8 that user {os.getuid()} may read: docker/setup.sh sets its mode"
            raise InputError(f"{file} cannot be read: {error}", field=name, hint=hint) from None
    return {name: value for name, value in found.items() if value}


def read_settings(file: Path) -> Mapping[str, str]:
    """Name -> value of a settings file; empty where there is none.

    Errors: InputError for a file that others can read, for a line that is no NAME=VALUE, and for an unknown name;
    PermanentError for a folder that this user may not enter.
    """
    try:
        with reported():
            mode, text = file.stat().st_mode, file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file} cannot be read: {error}", field=NAME, hint="it is a text file in UTF-8") from None
    if mode & _OTHERS_MAY:
        raise InputError(
            f"{file} can hold secrets, and other users may read it (mode {mode & 0o777:03o})",
            field=NAME,
            hint=f"chmod 600 {shlex.quote(str(file))}",
        )
    from mtl.settings.table import KNOWN
    from mtl.settings.variables import all_of

    found, known = dotenv_values(stream=io.StringIO(text), interpolate=False), (*KNOWN, *CERTIFICATES)
    faults = [fault for name, value in found.items() if (fault := _fault(file, name, value, known)) is not None]
    if faults:
        raise faults[0] if len(faults) == 1 else all_of(str(file), faults)
    return {name: value for name, value in found.items() if value is not None}


def _fault(file: Path, name: str, value: str | None, known: Collection[str]) -> InputError | None:
    """What is wrong with a line, if anything is."""
    if value is None:
        return InputError(f"{file}: {name!r} has no value", field=NAME, hint="each line is NAME=VALUE")
    hint = "mtl doctor and docs/reference-configuration.md list the settings"
    if name == "MTL_HOME":
        return InputError(f"{file}: MTL_HOME decides where this file is", field=name, hint=hint)
    if name not in known:
        return InputError(f"{file}: Unknown setting {name}; {did_you_mean(name, known)}", field=name, hint=hint)
    return None
