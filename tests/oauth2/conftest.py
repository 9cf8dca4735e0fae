"""Servers that the tests of applications share."""

from collections.abc import Callable
from functools import cache

import pytest

from tests.support.browsers import Browser
from tests.support.factories import FreshServer
from tests.support.oauth2 import Application, browser_of, new_person, register
from tests.support.server import LiveServer


@pytest.fixture(scope="session")
def pairs(lasting_server: FreshServer) -> Callable[[str], LiveServer]:
    return cache(lambda database: lasting_server(database, workers=2, env={"PUBLIC_URL": "https://data.example"}))


@pytest.fixture
def pair(database: str, pairs: Callable[[str], LiveServer]) -> LiveServer:
    """Two processes on one database, which many tests share."""
    return pairs(database)


@pytest.fixture
def anna(pair: LiveServer) -> str:
    """The address of a person who may read and add treatments."""
    return new_person(pair, "readable", "careportal")


@pytest.fixture
def browser(pair: LiveServer, anna: str) -> Browser:
    """A browser on which the person is signed in."""
    return browser_of(pair, anna)


@pytest.fixture
def viewer(pair: LiveServer) -> Application:
    """A confidential web application."""
    scopes = ("read", "write", "offline_access")
    return register(pair, *(option for scope in scopes for option in ("--scope", scope)))
