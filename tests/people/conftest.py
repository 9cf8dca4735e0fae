"""Servers that the tests of people share."""

from collections.abc import Callable
from functools import cache

import pytest

from tests.support.factories import FreshServer
from tests.support.server import LiveServer


@pytest.fixture(scope="session")
def pairs(lasting_server: FreshServer) -> Callable[[str], LiveServer]:
    return cache(lambda database: lasting_server(database, workers=2))


@pytest.fixture
def pair(database: str, pairs: Callable[[str], LiveServer]) -> LiveServer:
    """Two processes on one database, which many tests share."""
    return pairs(database)
