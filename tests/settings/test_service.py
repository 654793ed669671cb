"""Settings of the service: no secret is shown, and all faults are told at once."""

from __future__ import annotations

import pytest

from mtl.errors import ConfigError, InputError
from mtl.settings import notify_settings, prefect_settings, webhook_settings
from mtl.settings.table import GROUPS, KNOWN

SECRET = "s3cr3t-of-sixteen-letters"


def test_no_secret_is_in_a_repr_or_in_json() -> None:
    environ = dict.fromkeys(KNOWN, SECRET) | {
        "MTL_NOTIFY_SLACK": f"https://hooks.example.org/{SECRET}",
        "MTL_NOTIFY_URL": f"https://ann:{SECRET}@example.org",
        "MTL_NOTIFY_SMTP": f"smtp://ann:{SECRET}@example.org",
    }
    found = notify_settings({name: environ[name] for name in environ if name != "MTL_NOTIFY_EVENTS"})
    webhooks = {name: environ[name] for name in environ if name.endswith(("SECRET", "_TOKEN"))}
    secret = (found.model_copy(update={"email": (), "sender": ""}), webhook_settings(webhooks))
    assert webhooks.keys() >= {"MTL_WEBHOOK_SECRET", "MTL_METRICS_TOKEN"}
    auth = prefect_settings({"PREFECT_API_AUTH_STRING": f"ann:{SECRET}", "PREFECT_API_KEY": SECRET})
    for settings in (*secret, auth):
        assert SECRET not in repr(settings) + str(settings) + settings.model_dump_json()


def test_several_faults_are_told_at_once_without_the_secrets_in_them() -> None:
    with pytest.raises(ConfigError) as caught:
        notify_settings({"MTL_NOTIFY_SLACK": SECRET, "MTL_NOTIFY_EVENTS": "run.faild"})
    assert caught.value.faults == [
        ("MTL_NOTIFY_SLACK", "is no address"),
        ("MTL_NOTIFY_EVENTS", "names 'run.faild'; did you mean 'run.failed'?"),
    ]
    assert SECRET not in str(caught.value)
    with pytest.raises(ConfigError, match="the environment: 2 faults"):
        notify_settings({"MTL_NOTIFY_URL": "https://example.org", "MTL_NOTIFY_SMTP": "smtp://example.org"})


def test_a_short_key_is_refused_without_showing_it() -> None:
    with pytest.raises(InputError, match="MTL_METRICS_TOKEN is shorter than 16 characters") as caught:
        webhook_settings({"MTL_METRICS_TOKEN": "tiny-key"})
    assert "tiny-key" not in str(caught.value)


def test_every_setting_has_a_meaning_and_secrets_are_marked() -> None:
    """The reference is made of them."""
    assert all(meaning for meaning in KNOWN.values())
    marked = {name for name, meaning in KNOWN.items() if "(secret)" in meaning}
    assert marked >= {"MTL_NOTIFY_SMTP", "MTL_WEBHOOK_SECRET", "PREFECT_API_AUTH_STRING", "AWS_SECRET_ACCESS_KEY"}
    assert {"MTL_HOME", "MTL_STORE", "AWS_ACCESS_KEY_ID"}.isdisjoint(marked)
    assert all(field.description for group in GROUPS for field in group.model_fields.values())
