"""What `mtl serve` does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def serve(name: str, ref: str, *, host: str, port: int, follow: bool = True, wait: bool = False) -> None:
    """Serve a model over HTTP until interrupted. Errors: InputError if the port is taken."""
    from mtl.ports import hold

    with hold(host, port) as sockets:  # before what takes seconds
        from mtl.connections import serve as answer
        from mtl.server.app import Limits, make_app
        from mtl.server.models import models_for
        from mtl.settings.service import serve_max_body
        from mtl.workspace import open_workspace

        limits = Limits(max_body=serve_max_body())
        with models_for(ref, open_workspace(), name=name, follow=follow, wait=wait, on_event=_tell) as models:
            version = models.health()["version"]
            shown = f" v{version}" if version else ""
            print(f"serving {name}{shown} on http://{host}:{port}/v1/generate (interrupt to stop)", flush=True)
            answer(make_app(models, limits=limits), sockets, log_level="info")


def _tell(event: str, payload: Mapping[str, Any]) -> None:
    """Tell people what happened to a server."""
    from mtl.service.notify import notify
    from mtl.service.serving import server_notice
    from mtl.settings.service import notify_settings

    notify(server_notice(event, payload), notify_settings())
