"""The variables of this process and of those that it starts. Nothing here takes time to import.

No other package reads `os.environ`; `tests/settings/test_environment.py` looks.
"""

from __future__ import annotations

import os
import pwd
import re
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from mtl.errors import InputError

LOOPBACK = ("localhost", "127.0.0.1", "::1")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_SECRET = re.compile(r"SECRET|PASSWORD|PASSPHRASE|TOKEN(?!IZER)|_KEY(?:$|_ID$)|AUTH_STRING|SLACK|CREDENTIAL|SMTP", re.I)
_SHORTEST_SECRET = 5
_PIN = re.compile(r"pin-value=([^&]+)")


def current() -> Mapping[str, str]:
    """The variables as they are now."""
    return os.environ


def child_environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """The variables for a process that is started, with `more`."""
    return {**os.environ, **(more or {})}


def set_defaults(values: Mapping[str, str]) -> None:
    """Set what is not set, for libraries that read it when they are imported, and for processes that are started."""
    for name, value in values.items():
        os.environ.setdefault(name, value)


def set_variables(values: Mapping[str, str]) -> None:
    """Set variables for this process and for those that it starts."""
    os.environ.update(values)


@dataclass(frozen=True, slots=True)
class Rank:
    """Which of the processes of one training this is, as whoever started it says; the only one if nothing is said."""

    rank: int
    world_size: int


def launched_rank() -> Rank:
    """From `RANK` and `WORLD_SIZE`."""
    return Rank(int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1")))


def state_folder(environ: Mapping[str, str] | None = None) -> Path:
    """The folder of all state of this machine (`MTL_HOME`). Errors: InputError, see `check_folder`."""
    return check_folder((os.environ if environ is None else environ).get("MTL_HOME") or ".mtl")


def check_folder(name: str | Path) -> Path:
    """The state folder that `name` means. Errors: InputError for one that is not UTF-8 or has a control character."""
    home = local_path(str(name)).absolute()
    try:
        str(home).encode()
    except UnicodeEncodeError:  # databases and Arrow files take no such paths
        hint = "set MTL_HOME to a folder whose path is UTF-8"
        raise InputError(f"the state folder {str(home)!a} is not UTF-8", field="MTL_HOME", hint=hint) from None
    if _CONTROL.search(str(home)):  # it would begin a new line in the files and logs that name it
        hint = "set MTL_HOME to a folder whose path has no line break, tabulator or other control character"
        raise InputError(f"the state folder {str(home)!a} has a control character", field="MTL_HOME", hint=hint)
    return home


def secrets_folder(environ: Mapping[str, str] | None = None) -> Path:
    """Where secrets are mounted, each as a file with its setting's name (`MTL_SECRETS`)."""
    return Path((os.environ if environ is None else environ).get("MTL_SECRETS") or DEFAULT_SECRETS)


DEFAULT_SECRETS = "/run/secrets"


def bypass_proxy_for_loopback(environ: MutableMapping[str, str] | None = None) -> None:
    """Add the loopback names to `NO_PROXY`, for the HTTP clients of this process and of those that it starts.

    A proxy cannot reach the services of this machine, and must not see their passwords. httpx, requests, urllib3 and
    botocore all read the variable. Both spellings are set, because each library prefers another one.
    """
    env = os.environ if environ is None else environ
    named = [name.strip() for name in (env.get("no_proxy") or env.get("NO_PROXY") or "").split(",") if name.strip()]
    if "*" in named:
        return
    env["no_proxy"] = env["NO_PROXY"] = ",".join([*named, *(name for name in LOOPBACK if name not in named)])


def proxy_variable(url: str) -> str | None:
    """The variable of this process's environment whose proxy requests to `url` go through; None for none."""
    from urllib.request import proxy_bypass  # 20 ms, of which `mtl --help` needs nothing

    parts = urlsplit(url)
    if proxy_bypass(parts.netloc.rpartition("@")[2]):
        return None
    names = (f"{parts.scheme}_proxy", f"{parts.scheme}_proxy".upper(), "all_proxy", "ALL_PROXY")
    return next((name for name in names if os.environ.get(name)), None)


def local_path(name: str) -> Path:
    """The path that a name means: a leading `~` is the home folder, as in a shell, which env files and YAML are not."""
    try:
        return Path(name).expanduser()
    except RuntimeError:  # no such user: then it is a plain name
        return Path(name)


def give_home(environ: MutableMapping[str, str] | None = None) -> None:
    """Let `HOME` and `USER` be set: libraries fail without them for an account that has no name, as in containers."""
    env = os.environ if environ is None else environ
    try:
        pwd.getpwuid(os.getuid())
    except KeyError:
        env.setdefault("HOME", str(state_folder(env)))
        env.setdefault("USER", account(os.getuid()))


def account(uid: int) -> str:
    """Name of an account; its number where it has no name, as in some containers."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid{uid}"


def inherited_environment(environ: Mapping[str, str] | None = None, *, own_store: bool) -> dict[str, str]:
    """What services of a stack inherit: all but addresses and logins of the services that it brings itself."""
    ours = ("PREFECT_", "MLFLOW_", "MTL_STORE", *(("AWS_",) if own_store else ()))
    env = os.environ if environ is None else environ
    return {name: value for name, value in env.items() if not name.startswith(ours)}


def secrets(environ: Mapping[str, str] | None = None) -> list[str]:
    """Values of the environment that nobody may see, longest first: what every printed text is cleaned of."""
    env = os.environ if environ is None else environ
    values = {value for name, value in env.items() if _SECRET.search(name) and _worth_hiding(value)}
    auth = env.get("PREFECT_API_AUTH_STRING", "")
    values |= {part for part in auth.split(":", 1)[1:] if _worth_hiding(part)}
    signing = env.get("MTL_SIGNING_KEY", "")
    if not signing.startswith("pkcs11:"):
        values.discard(signing)  # a path, which messages name
    values |= {pin for pin in _PIN.findall(signing) if _worth_hiding(pin)}
    return sorted(values, key=len, reverse=True)


def _worth_hiding(value: str) -> bool:
    return len(value) >= _SHORTEST_SECRET and value.lower() not in ("true", "false")
