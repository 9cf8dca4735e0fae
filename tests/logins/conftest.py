"""Servers that the tests of the Login channel share."""

from collections.abc import Callable, Iterator
from functools import cache

import pytest

from tests.support.factories import FreshServer
from tests.support.logins import Channel
from tests.support.oauth2 import unique
from tests.support.server import LiveServer

BUS = "admin:bus:logins:read"


@pytest.fixture(scope="session")
def pairs(lasting_server: FreshServer) -> Callable[[str], LiveServer]:
    env = {"PUBLIC_URL": "https://data.example", "OAUTH_PASSWORD_GRANT": "true"}
    return cache(lambda database: lasting_server(database, workers=2, env=env))


@pytest.fixture
def pair(database: str, pairs: Callable[[str], LiveServer]) -> LiveServer:
    """Two processes on one database, which many tests share."""
    return pairs(database)


@pytest.fixture(scope="session")
def tokens_of_services() -> Callable[[LiveServer], str]:
    return cache(lambda server: server.subject(unique("service", server), BUS))


@pytest.fixture
def service(pair: LiveServer, tokens_of_services: Callable[[LiveServer], str]) -> str:
    """The access token of another service."""
    return tokens_of_services(pair)


@pytest.fixture
def channel(pair: LiveServer, service: str) -> Iterator[Channel]:
    """Another service that follows the channel."""
    with Channel(pair, service) as following:
        yield following
