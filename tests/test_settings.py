"""Where settings come from when nobody sets them."""

from __future__ import annotations

import os
import pwd

from mtl.settings import load_settings


def test_the_actor_is_the_account_where_no_variable_names_one() -> None:
    """As in a cron job or a container; the journal must not say that nobody did it."""
    assert load_settings({}).actor == pwd.getpwuid(os.getuid()).pw_name
    assert load_settings({"LOGNAME": "ann"}).actor == "ann"
    assert load_settings({"MTL_ACTOR": "release-bot", "LOGNAME": "ann"}).actor == "release-bot"
