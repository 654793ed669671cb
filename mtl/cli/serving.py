"""What `mtl serve` does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def serve(name: str, ref: str, *, host: str, port: int, follow: bool = True, wait: bool = False) -> None:
    """Serve a model over HTTP until interrupted. What waits to be written is written before the process ends.

    Errors: InputError if the port is taken, or others can reach it and there is no key; those of loading the model.
    """
    from mtl.ports import hold
    from mtl.settings import serve_settings

    settings = serve_settings()
    with hold(host, port) as sockets:  # before what takes seconds
        from mtl.cli.terminal import stoppable
        from mtl.connections import serve as answer
        from mtl.server.access import check_reach

        check_reach(host, sockets, key=settings.key)

        from mtl.server.app import Limits, make_app
        from mtl.server.models import models_for
        from mtl.server.page import page_router
        from mtl.server.traffic import open_traffic
        from mtl.settings.traffic import traffic_settings
        from mtl.workspace import open_workspace

        limits = Limits(settings.max_body, waiting=settings.queue, texts=settings.texts, seconds=settings.seconds)
        workspace, logged = open_workspace(), traffic_settings()
        with (
            stoppable(),  # uvicorn raises the signal again, which would end the process at once
            models_for(ref, workspace, name=name, follow=follow, wait=wait, on_event=_tell) as models,
            open_traffic(workspace, name, logged) as traffic,
        ):
            version = models.health()["version"]
            shown = f" v{version}" if version else ""
            print(f"serving {name}{shown} on http://{host}:{port}/v1/generate (interrupt to stop)", flush=True)
            app = make_app(
                models,
                limits=limits,
                key=settings.key,
                hooks=traffic.hooks,
                routers=[page_router(), traffic.router],
                collectors=[traffic],
                logs=traffic.log is not None,
            )
            answer(app, sockets, log_level="info", timeout_graceful_shutdown=int(limits.seconds) + 5)


def _tell(event: str, payload: Mapping[str, Any]) -> None:
    """Tell people what happened to a server."""
    from mtl.service.notify import notify
    from mtl.service.serving import server_notice
    from mtl.settings.service import notify_settings

    notify(server_notice(event, payload), notify_settings())
