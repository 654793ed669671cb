"""A server and a browser for all tests of a file, and a page for each of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.browser import blank, why_no_browser
from tests.support.page_server import Served, opened, serving


@pytest.fixture(scope="module")
def _server() -> Iterator[Served]:
    with serving() as served:
        yield served


@pytest.fixture
def served(_server: Served) -> Served:
    """The server, with an empty store and the answers of `page_server`."""
    _server.reset()
    return _server


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if why := why_no_browser():
        pytest.skip(why)
    with blank() as page:
        yield page.context.browser


@pytest.fixture
def tab(browser: Any, served: Served) -> Iterator[Any]:
    """The page, opened."""
    with opened(browser, served.address) as tab:
        yield tab
