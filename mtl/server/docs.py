"""The page /docs, which draws /openapi.json without a network. It comes with the extra `serve`."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI


def new_app(**options: Any) -> FastAPI:
    """An app with the page, where fastapi-offline is installed; else with /openapi.json alone."""
    try:
        from fastapi_offline import FastAPIOffline
    except ImportError:
        return FastAPI(docs_url=None, redoc_url=None, **options)
    return FastAPIOffline(redoc_url=None, **options)
