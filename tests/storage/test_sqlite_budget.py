"""Queries on the event loop: what takes long ends, but not what only had to wait for the processor."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from apiv3.storage.sqlite import BUDGET, LATEST, MOST_SECONDS, SqliteConnection

NAPS = """SELECT nap(?) FROM (WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 1000) SELECT n FROM r)
    WHERE n % 40 = 0 LIMIT ?"""


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[SqliteConnection]:
    with ThreadPoolExecutor(1) as threads:
        opened = SqliteConnection(str(tmp_path / "budget.db"), threads)
        opened._connection.create_function("nap", 1, time.sleep)
        opened._connection.create_function("work", 1, _work)
        yield opened
        opened.close()


def _work(seconds: float) -> None:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def test_who_waits_for_the_processor_is_not_interrupted(connection: SqliteConnection) -> None:
    assert connection.fetch_now(NAPS, (MOST_SECONDS * 1.2, 2)) == [(None,), (None,)]


def test_but_not_for_ever(connection: SqliteConnection) -> None:
    assert connection.fetch_now(NAPS, (LATEST, 20)) is None


def test_who_works_for_long_is_interrupted(connection: SqliteConnection) -> None:
    assert connection.fetch_now(NAPS.replace("nap", "work"), (MOST_SECONDS, 20)) is None
    assert connection.fetch_now(NAPS.replace("nap", "work"), (0.0, 20)) is not None


def test_who_takes_many_steps_is_interrupted(connection: SqliteConnection) -> None:
    assert connection.fetch_now(NAPS.replace("1000", str(BUDGET)), (0.0, BUDGET)) is None
