"""Tell within milliseconds whether the tables need a migration. Alembic takes longer to import than most commands to run."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote, urlsplit

from apiv3.storage.urls import read

_INSTALLED, _CLONED = Path(__file__).with_name("alembic"), Path(__file__).parents[3] / "alembic"
SCRIPTS = _INSTALLED if _INSTALLED.is_dir() else _CLONED
"""The folder of the migrations: beside this file in an installed copy, at the top of a clone."""
REWRITING = "/numbers"
"""The row of `clocks` with the greatest `id` that has been rewritten, see `apiv3.storage.rewriting`. It is deleted when all are
done. No collection can have this name."""
PATIENCE = 2.0
"""Seconds that PostgreSQL gets to answer."""
_LOOK = f"SELECT version_num, (SELECT count(*) FROM clocks WHERE name = '{REWRITING}') FROM alembic_version"


def newest() -> str:
    """Return the revision that this version of the server needs. The files of the migrations begin with their revisions."""
    return max(path.name.partition("_")[0] for path in SCRIPTS.glob("versions/[0-9]*.py"))


def is_newest(url: str) -> bool:
    """Return whether the tables are at the newest revision, with nothing left to rewrite; False when that cannot be told."""
    look = _look_sqlite if urlsplit(url).scheme == "sqlite" else _look_postgresql
    try:
        return look(url) == [(newest(), 0)]
    except Exception:  # whatever it is: who migrates then meets it again, and tells it
        return False


def _look_sqlite(url: str) -> list[tuple[str, int]]:
    path = url.partition(":///")[2].partition("?")[0]
    with closing(sqlite3.connect(f"file:{quote(path)}?mode=rw", uri=True, timeout=PATIENCE)) as connection:
        return connection.execute(_LOOK).fetchall()


def _look_postgresql(url: str) -> list[tuple[str, int]]:
    from apiv3.storage.connector import Connector  # imports asyncpg, which SQLite does not need

    async def look() -> list[tuple[str, int]]:
        async with asyncio.timeout(PATIENCE):
            connection = await Connector(read(url)).connect()
            try:
                return [tuple(row) for row in await connection.fetch(_LOOK)]
            finally:
                connection.terminate()

    return asyncio.run(look())
