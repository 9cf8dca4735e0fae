"""Fixtures for every test: both databases, and real servers on them."""

import math
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, settings

# How fast a machine is, or whether hypothesis has to build its tables of characters first, is nothing to fail for.
settings.register_profile("everywhere", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("everywhere")

# Each client of httpx would load the certificates of all authorities, which takes 30 ms, also to speak plain HTTP.
httpx._transports.default.create_ssl_context = cache(httpx.create_ssl_context)  # type: ignore[attr-defined]

# A run in the background of a shell ignores Ctrl-C, and so would every command that it starts.
signal.signal(signal.SIGINT, signal.default_int_handler)

pytest.register_assert_rewrite("tests.support")

from tests.support.factories import (  # noqa: E402  (after the registration)
    FreshServer,
    NewDatabase,
    database_maker,
    lasting_servers,
    running_server,
)
from tests.support.needs import do_without  # noqa: E402
from tests.support.postgres import Postgres, postgres_server  # noqa: E402
from tests.support.server import LiveServer  # noqa: E402
from tests.support.waiting import PATIENCE  # noqa: E402

# Nor is it how long an answer takes: this is what httpx waits where nothing else is said.
for _kind in ("connect", "read", "write", "pool"):
    setattr(httpx._config.DEFAULT_TIMEOUT_CONFIG, _kind, PATIENCE)


def pytest_xdist_auto_num_workers() -> int:
    """Half as many workers again as there are cores, since tests spend a part of their time waiting."""
    return math.ceil(1.5 * (os.cpu_count() or 1))


LONGEST = (
    "tests/test_packaging.py",
    "tests/test_bench",
    "tests/test_tutorial.py",
    "tests/test_weather_station.py",
    "tests/live/test_whole.py",
)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest tests: one that begins last keeps all workers but its own idle."""
    items.sort(key=lambda item: not item.nodeid.startswith(LONGEST))


@pytest.fixture(scope="session")
def start_postgres() -> Iterator[Callable[[], Postgres]]:
    """Starts a PostgreSQL for this worker when first asked, so that tests without one do not wait for it.

    Where there is none to be had, the test that asked is skipped, or fails if REQUIRE names postgres.
    """
    with ExitStack() as cleanup:

        @cache
        def start() -> Postgres | Exception:
            try:
                return cleanup.enter_context(postgres_server())
            except Exception as error:  # a machine may lack it for many reasons
                return error

        def demand() -> Postgres:
            found = start()
            if isinstance(found, Exception):
                do_without("postgres", f"no PostgreSQL: {found!r}")
            return found

        yield demand


@pytest.fixture(scope="session")
def postgres(start_postgres: Callable[[], Postgres]) -> Postgres:
    return start_postgres()


@pytest.fixture(scope="session", params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, start_postgres: Callable[[], Postgres]) -> str:
    """The kind of database: a test that asks for it, or for a fixture that builds on it, runs with each."""
    if request.param == "postgres":
        start_postgres()
    return str(request.param)


@pytest.fixture(scope="session")
def new_database(start_postgres: Callable[[], Postgres], tmp_path_factory: pytest.TempPathFactory) -> NewDatabase:
    """Makes databases of either kind: `with new_database("postgres") as url`."""
    return database_maker(tmp_path_factory.mktemp, start_postgres)


@pytest.fixture
def database_url(database: str, new_database: NewDatabase) -> Iterator[str]:
    """An empty database of each kind, without tables."""
    with new_database(database) as url:
        yield url


@pytest.fixture
def fresh_server(new_database: NewDatabase, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FreshServer]:
    """Starts servers of the test's own, with the settings that it wants: `fresh_server("postgres", workers=2)`."""
    with ExitStack() as running:

        def start(*arguments: Any, **options: Any) -> LiveServer:
            context = running_server(tmp_path_factory.mktemp, new_database, *arguments, **options)
            return running.enter_context(context)

        yield start


@pytest.fixture(scope="session")
def lasting_server(new_database: NewDatabase, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FreshServer]:
    """Starts servers that last as long as the tests do."""
    with lasting_servers(tmp_path_factory.mktemp, new_database) as start:
        yield start


@pytest.fixture(scope="session")
def shared_servers(lasting_server: FreshServer) -> Callable[[str], LiveServer]:
    """One server for each kind of database and worker, started when first asked for."""
    return cache(lasting_server)


@pytest.fixture(scope="session")
def server(database: str, shared_servers: Callable[[str], LiveServer]) -> LiveServer:
    """A server that many tests share, so each uses devices, identifiers and subjects of its own."""
    return shared_servers(database)
