"""Where settings come from when nobody sets them."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from mtl.errors import InputError
from mtl.settings import account, give_home, load_settings, local_path


def test_the_actor_is_the_account_where_no_variable_names_one() -> None:
    """As in a cron job or a container; the journal must not say that nobody did it."""
    assert load_settings({}).actor == pwd.getpwuid(os.getuid()).pw_name
    assert load_settings({"LOGNAME": "ann"}).actor == "ann"
    assert load_settings({"MTL_ACTOR": "release-bot", "LOGNAME": "ann"}).actor == "release-bot"


def test_an_account_without_a_name_gets_a_home_folder_and_a_user_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prefect and torch fail without them."""
    environ = {"MTL_HOME": "/srv/state"}
    give_home(environ)
    assert environ == {"MTL_HOME": "/srv/state"}
    monkeypatch.setattr(os, "getuid", lambda: 54321)
    give_home(environ)
    assert environ == {"MTL_HOME": "/srv/state", "HOME": "/srv/state", "USER": "uid54321"}
    assert account(54321) == load_settings({}).actor == "uid54321"


def test_a_leading_tilde_is_the_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """As env files and unit files have it, where no shell has expanded it."""
    monkeypatch.setenv("HOME", "/home/ann")
    its = load_settings({"MTL_HOME": "~/state", "MTL_STORE": "~/store"})
    assert (str(its.home), its.store) == ("/home/ann/state", "/home/ann/store")
    assert load_settings({"MTL_HOME": "~/state"}).store == "/home/ann/state/store"
    assert load_settings({"MTL_STORE": "s3://bucket/~x"}).store == "s3://bucket/~x"
    assert local_path("~no-such-user/x") == Path("~no-such-user/x")


def test_a_state_folder_that_is_not_utf8_is_refused() -> None:
    with pytest.raises(InputError, match=r"the state folder '/d\\udce9/state' is not UTF-8\n  set MTL_HOME"):
        load_settings({"MTL_HOME": "/d\udce9/state"})


@pytest.mark.parametrize("name", ["two\nlines", "a\ttab", "\x1b[31m"])
def test_a_state_folder_with_a_control_character_is_refused_before_anything_is_made(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"the state folder '.*' has a control character\n  set MTL_HOME") as caught:
        load_settings({"MTL_HOME": str(tmp_path / name)})
    assert name not in str(caught.value)
    assert not list(tmp_path.iterdir())
