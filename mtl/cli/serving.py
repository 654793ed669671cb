"""What `mtl serve` does."""

from __future__ import annotations


def serve(name: str, ref: str, *, host: str, port: int) -> None:
    """Serve a model over HTTP until interrupted. Errors: InputError if the port is taken."""
    from mtl.ports import hold

    with hold(host, port) as sockets:  # before what takes seconds
        from mtl.connections import serve as answer
        from mtl.server.app import Limits, make_app
        from mtl.server.models import models_for
        from mtl.settings.service import serve_max_body
        from mtl.workspace import open_workspace

        limits = Limits(max_body=serve_max_body())
        models = models_for(ref, open_workspace(), name=name)
        version = models.health()["version"]
        shown = f" v{version}" if version else ""
        print(f"serving {name}{shown} on http://{host}:{port}/v1/generate (interrupt to stop)", flush=True)
        answer(make_app(models, limits=limits), sockets, log_level="info")
