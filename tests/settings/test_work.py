"""Settings of the work: what they are when nobody sets them, and what is refused."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from mtl.errors import InputError
from mtl.settings import PrefectSettings, load_settings, prefect_settings, s3_endpoint, trainer_processes


def test_the_actor_is_the_account_where_no_variable_names_one() -> None:
    """As in a cron job or a container; the journal must not say that nobody did it."""
    assert load_settings({}).actor == pwd.getpwuid(os.getuid()).pw_name
    assert load_settings({"LOGNAME": "ann"}).actor == "ann"
    assert load_settings({"MTL_ACTOR": "release-bot", "LOGNAME": "ann"}).actor == "release-bot"


def test_a_leading_tilde_is_the_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """As env files and unit files have it, where no shell has expanded it."""
    monkeypatch.setenv("HOME", "/home/ann")
    its = load_settings({"MTL_HOME": "~/state", "MTL_STORE": "~/store"})
    assert (str(its.home), its.store) == ("/home/ann/state", "/home/ann/store")
    assert load_settings({"MTL_HOME": "~/state"}).store == "/home/ann/state/store"
    assert load_settings({"MTL_STORE": "s3://bucket/~x"}).store == "s3://bucket/~x"


def test_a_state_folder_that_is_not_utf8_is_refused() -> None:
    with pytest.raises(InputError, match=r"the state folder '/d\\udce9/state' is not UTF-8\n  set MTL_HOME"):
        load_settings({"MTL_HOME": "/d\udce9/state"})


@pytest.mark.parametrize("name", ["two\nlines", "a\ttab", "\x1b[31m"])
def test_a_state_folder_with_a_control_character_is_refused_before_anything_is_made(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"the state folder '.*' has a control character\n  set MTL_HOME") as caught:
        load_settings({"MTL_HOME": str(tmp_path / name)})
    assert name not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_empty_is_unset_and_only_the_documented_names_are_read() -> None:
    """A variable that happens to be named as a field is not a setting."""
    assert load_settings({"MTL_STORE": "", "MTL_HOME": "/h", "store": "/x", "home": "/y"}).store == "/h/store"
    assert s3_endpoint({"AWS_ENDPOINT_URL": "http://other", "AWS_ENDPOINT_URL_S3": ""}) == "http://other"
    assert trainer_processes({"MTL_TRAINER_PROCESSES": ""}) == 1


def test_an_embedded_prefect_keeps_its_state_in_the_state_folder() -> None:
    assert prefect_settings({"MTL_HOME": "/h"}).home == Path("/h/prefect")
    assert prefect_settings({"MTL_HOME": "/h", "PREFECT_HOME": "/p"}).home == Path("/p")
    assert prefect_settings({"PREFECT_API_URL": "http://x/api/"}).url == "http://x/api"


def test_what_is_made_by_hand_does_not_read_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://elsewhere/api")
    assert PrefectSettings(home=Path("/p")).url is None
