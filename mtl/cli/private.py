"""What a command leaves on the disk is for its user alone: MTL_HOME holds logins, databases and people's texts."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mtl import layout
from mtl.errors import InputError
from mtl.settings.environment import state_folder

_PRIVATE = 0o077
_usual = _PRIVATE


def begin() -> None:
    """From now on this process and its children make files of mode 600 in folders of mode 700, MTL_HOME among them."""
    global _usual
    _usual = os.umask(_PRIVATE)
    with suppress(OSError, InputError):  # not there yet, or another user's; of one that is refused the command tells
        _close(state_folder())


@contextmanager
def usual_modes() -> Iterator[None]:
    """For files that a person asks for by name outside MTL_HOME: with the modes that person's files have."""
    private = os.umask(_usual)
    try:
        yield
    finally:
        os.umask(private)


def _close(home: Path) -> None:
    """Take others' rights to a home that is there. A folder that holds other things, by a name of its own, is left."""
    mode = stat.S_IMODE(home.stat().st_mode)
    ours = home.name == ".mtl" or not any(home.iterdir())
    if ours and home.stat().st_uid == os.getuid() and mode & _PRIVATE and not mode & stat.S_ISVTX:
        passing = 0o011 if layout.home_stack(home).exists() else 0  # PostgreSQL's user must get to its folder
        home.chmod(0o700 | mode & passing)
