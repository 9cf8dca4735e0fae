"""Clients that others wrote."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.needs import do_without
from tests.support.node import JsClient, find_node, install_packages
from tests.support.server import LiveServer


@pytest.fixture(scope="session")
def node() -> Path:
    """node, with the packages of package.json; a test without them is skipped, or fails if REQUIRE names node."""
    try:
        found = find_node()
        install_packages(found)
    except OSError as error:
        do_without("node", f"no JavaScript clients: {error}")
    return found


@pytest.fixture
def js(node: Path) -> Iterator[Callable[[str, LiveServer], JsClient]]:
    """Starts a process with socket.io-client: `js("4", server)`."""
    with ExitStack() as running:

        def start(major: str, server: LiveServer) -> JsClient:
            client = JsClient(node, major, server.url)
            running.callback(client.close)
            return client

        yield start
