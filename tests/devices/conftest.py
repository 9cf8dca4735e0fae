"""Servers that the tests of devices share."""

from collections.abc import Callable
from functools import cache

import pytest

from tests.support.devices import Device, make_device
from tests.support.factories import FreshServer
from tests.support.server import LiveServer


@pytest.fixture(scope="session")
def hubs(lasting_server: FreshServer) -> Callable[[str], LiveServer]:
    settings = {"API3_EXTRA_COLLECTIONS": "weather", "AUTH_FAIL_DELAY": "0"}
    return cache(lambda database: lasting_server(database, workers=2, env=settings))


@pytest.fixture
def hub(database: str, hubs: Callable[[str], LiveServer]) -> LiveServer:
    """Two processes on one database, which many tests share."""
    return hubs(database)


@pytest.fixture
def device(hub: LiveServer) -> Device:
    """A device that may read, create and change everything."""
    return make_device(hub, "moderator")
