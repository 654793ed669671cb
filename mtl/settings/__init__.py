"""Settings: the one package that reads the environment.

Addresses and secrets come from here only, never from a configuration file or a flow parameter.

environment  the variables themselves, for this process and those that it starts; takes no time to import
file         what mounted secrets and the settings file of MTL_HOME add to them
work         what the work itself needs: state, store, tracking, trainer, Prefect
service      what the running service needs: notifications, webhook receiver, costs
traffic      what mtl serve logs of its requests
signing      who signs releases, and whose signatures are trusted
table        every setting and what it means, for `mtl doctor` and the reference
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from mtl.settings.environment import (
    LOOPBACK,
    account,
    bypass_proxy_for_loopback,
    child_environment,
    current,
    give_home,
    inherited_environment,
    local_path,
    proxy_variable,
    secrets,
    set_defaults,
    state_folder,
)

if TYPE_CHECKING:
    from mtl.settings.service import (
        EVENTS,
        NotifySettings,
        WebhookSettings,
        cost_per_hour,
        notify_settings,
        serve_settings,
        webhook_settings,
    )
    from mtl.settings.signing import SigningSettings, signing_settings
    from mtl.settings.table import KNOWN
    from mtl.settings.work import (
        EMBEDDED_USER,
        PrefectSettings,
        Settings,
        dataset_cache_bytes,
        device_limit,
        is_default_store,
        load_settings,
        mlflow_credentials,
        mlflow_pages,
        prefect_settings,
        ray_address,
        s3_endpoint,
        store_patience,
        tracking_is_named,
        trainer_processes,
    )

__all__ = [
    "EMBEDDED_USER",
    "EVENTS",
    "KNOWN",
    "LOOPBACK",
    "NotifySettings",
    "PrefectSettings",
    "Settings",
    "SigningSettings",
    "WebhookSettings",
    "account",
    "bypass_proxy_for_loopback",
    "child_environment",
    "cost_per_hour",
    "current",
    "dataset_cache_bytes",
    "device_limit",
    "give_home",
    "inherited_environment",
    "is_default_store",
    "load_settings",
    "local_path",
    "mlflow_credentials",
    "mlflow_pages",
    "notify_settings",
    "prefect_settings",
    "proxy_variable",
    "ray_address",
    "s3_endpoint",
    "secrets",
    "serve_settings",
    "set_defaults",
    "signing_settings",
    "state_folder",
    "store_patience",
    "tracking_is_named",
    "trainer_processes",
    "webhook_settings",
]


def __getattr__(name: str) -> Any:
    """The names of the models, imported when first asked for: pydantic is what `mtl --help` would wait for."""
    if name in __all__:
        for module in ("work", "service", "signing", "table"):
            found = vars(importlib.import_module(f"{__name__}.{module}"))
            if name in found:
                return found[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
