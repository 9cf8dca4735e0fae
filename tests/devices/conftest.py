"""Servers that the tests of devices share."""

from collections.abc import Callable
from functools import cache

import pytest

from tests.support.factories import FreshServer
from tests.support.server import LiveServer


@pytest.fixture(scope="session")
def hubs(lasting_server: FreshServer) -> Callable[[str], LiveServer]:
    return cache(lambda database: lasting_server(database, workers=2, env={"API3_EXTRA_COLLECTIONS": "weather"}))


@pytest.fixture
def hub(database: str, hubs: Callable[[str], LiveServer]) -> LiveServer:
    """Two processes on one database, which many tests share."""
    return hubs(database)
