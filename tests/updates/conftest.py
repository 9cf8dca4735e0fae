"""Servers with TLS, for apt."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from tests.support.factories import FreshServer
from tests.support.server import LiveServer
from tests.support.tls import Pair
from tests.support.updates import Device, local_pair, need_apt, tls


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """The certificate of these servers."""
    return local_pair(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="session")
def tls_servers(lasting_server: FreshServer, pair: Pair) -> Callable[[str], LiveServer]:
    return cache(lambda database: lasting_server(database, arguments=tls(pair)))


@pytest.fixture
def hub(database: str, tls_servers: Callable[[str], LiveServer]) -> LiveServer:
    """A server that many tests share, so each uses packages and devices of its own; with each database."""
    need_apt()
    return tls_servers(database)


@pytest.fixture
def lone_hub(tls_servers: Callable[[str], LiveServer]) -> LiveServer:
    """The same with SQLite only, for what has nothing to do with the database."""
    need_apt()
    return tls_servers("sqlite")


@pytest.fixture
def device(lone_hub: LiveServer, tmp_path: Path, pair: Pair) -> Device:
    return Device(lone_hub, tmp_path / "device", pair.certificate)
