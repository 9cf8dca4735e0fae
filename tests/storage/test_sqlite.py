"""SQLite's own ways."""

import asyncio
import random
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from apiv3.storage import sqlite
from apiv3.storage.sqlite import SqliteBackend, SqliteConnection
from tests.support.waiting import until

OFTEN = 5_000
"""SQLite counts the steps of a statement over all its runs: after so many, any budget for one of them is used up."""


async def test_a_transaction_stays_open_however_often_its_statements_ran(tmp_path: Path) -> None:
    """One that SQLite cut off and rolled back would lose its lock unnoticed, and write on without a transaction."""
    path = str(tmp_path / "clock.db")
    with ThreadPoolExecutor(1) as threads, closing(SqliteConnection(path, threads)) as connection:
        await connection.execute("CREATE TABLE clock (last INTEGER)")
        await connection.execute("INSERT INTO clock VALUES (0)")
        async with connection.transaction():
            for number in range(1, OFTEN):
                assert await connection.fetch("UPDATE clock SET last = last + 1 RETURNING last") == [(number,)]
            assert _seen_by_others(path) == 0
        assert _seen_by_others(path) == OFTEN - 1


def _seen_by_others(path: str) -> int:
    with closing(sqlite3.connect(path)) as other:
        ((last,),) = other.execute("SELECT last FROM clock")
    return int(last)


class LateThreads(ThreadPoolExecutor):
    """Threads that still hold what some work has returned when the next work begins in another one, as may happen to any."""

    def submit(self, work: Callable[[], object]) -> Any:  # type: ignore[override]
        def run() -> None:
            work()
            time.sleep(random.uniform(0, 0.001))

        return super().submit(run)


async def test_the_end_of_a_statement_does_not_disturb_the_next_one(tmp_path: Path) -> None:
    """A cursor that is freed resets its statement, also while the same statement runs for somebody else."""
    path, rows = str(tmp_path / "rows.db"), [(number,) for number in range(500)]
    with LateThreads(4) as threads, closing(SqliteConnection(path, threads)) as connection:
        await connection.execute("CREATE TABLE clock (last)")
        async with connection.transaction():
            for _ in range(100):
                await connection.executemany("INSERT INTO clock VALUES (?)", rows)
        assert await connection.fetch("SELECT count(*) FROM clock") == [(100 * len(rows),)]


# --- another program has the file for itself


@contextmanager
def held_by_another_program(path: Path) -> Iterator[None]:
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA journal_mode=WAL")
        other.execute("PRAGMA locking_mode=EXCLUSIVE")
        other.execute("CREATE TABLE theirs (x)")
        yield


@pytest.fixture
def tries(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Set when somebody tries to open a connection."""
    event = threading.Event()
    use_wal = sqlite._use_wal

    def use(connection: sqlite3.Connection) -> None:
        event.set()
        use_wal(connection)

    monkeypatch.setattr(sqlite, "_use_wal", use)
    return event


async def test_the_event_loop_goes_on_while_a_connection_cannot_be_opened(tmp_path: Path, tries: threading.Event) -> None:
    """It is this loop that ends the other program's hold."""
    path = tmp_path / "held.db"
    backend = SqliteBackend(f"sqlite:///{path}")
    with held_by_another_program(path):
        connecting = asyncio.create_task(backend.connect())
        await until(tries.is_set)
        assert not connecting.done()
    await connecting
    assert await backend.fetch("SELECT count(*) FROM theirs", ()) == [(0,)]
    await backend.disconnect()


async def test_a_connection_that_nobody_wants_any_more_is_closed(
    tmp_path: Path, tries: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[SqliteConnection] = []

    class Watched(SqliteConnection):
        def close(self) -> None:
            super().close()
            closed.append(self)

    monkeypatch.setattr(sqlite, "SqliteConnection", Watched)
    path = tmp_path / "held.db"
    backend = SqliteBackend(f"sqlite:///{path}")
    with held_by_another_program(path):
        connecting = asyncio.create_task(backend.connect())
        await until(tries.is_set)
        connecting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await connecting
    assert len(closed) == 1


# --- the bell


class Broken(sqlite3.Connection):
    """Whose disk fails now and then."""

    failing = False
    failed = False

    def execute(self, *args: Any) -> sqlite3.Cursor:
        if Broken.failing:
            Broken.failed = True
            raise sqlite3.OperationalError("disk I/O error")
        return super().execute(*args)


@asynccontextmanager
async def watching(backend: SqliteBackend, ring: Callable[[str | None], None]) -> AsyncIterator[None]:
    task = asyncio.create_task(sqlite.watch(backend, ring))
    try:
        yield
    finally:
        task.cancel()


async def test_a_bell_is_not_lost_with_the_connection_that_would_have_heard_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a new connection reads is the same number that the one before it read last: each counts for itself."""
    monkeypatch.setattr(sqlite, "GLANCE", 0.01)
    monkeypatch.setattr(Broken, "failing", False)
    monkeypatch.setattr(Broken, "failed", False)
    path = tmp_path / "bell.db"
    rings = 0

    def ring(_collection: str | None) -> None:
        nonlocal rings
        rings += 1

    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA journal_mode=WAL")
        other.execute("CREATE TABLE written (x)")
        monkeypatch.setattr(sqlite3, "connect", partial(sqlite3.connect, factory=Broken))
        async with watching(SqliteBackend(f"sqlite:///{path}"), ring):
            await until(lambda: rings == 1)
            Broken.failing = True
            await until(lambda: Broken.failed)
            other.execute("INSERT INTO written VALUES (1)")
            Broken.failing = False
            await until(lambda: rings == 2)
