"""Subjects and documents for those who listen."""

import pytest

from tests.support.factories import FreshServer
from tests.support.server import LiveServer


@pytest.fixture(scope="session")
def live(lasting_server: FreshServer) -> LiveServer:
    """A server on SQLite for what has nothing to do with the database; connections of one address have no limit."""
    return lasting_server(env={"API3_LIVE_CONNECTIONS": "1000"})


@pytest.fixture(scope="session")
def reader(live: LiveServer) -> str:
    """The access token of somebody who may read everything on it."""
    return live.subject("live reader", "api:*:read", "notifications:*:ack")
