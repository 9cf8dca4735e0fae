"""Subjects and documents for those who listen."""

from collections.abc import Iterator

import pytest

from tests.support.factories import NewDatabase, running_server
from tests.support.server import LiveServer


@pytest.fixture(scope="session")
def live(new_database: NewDatabase, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A server on SQLite for what has nothing to do with the database; connections of one address have no limit."""
    with running_server(tmp_path_factory.mktemp, new_database, env={"API3_LIVE_CONNECTIONS": "1000"}) as server:
        yield server


@pytest.fixture(scope="session")
def reader(live: LiveServer) -> str:
    """The access token of somebody who may read everything on it."""
    return live.subject("live reader", "api:*:read", "notifications:*:ack")
