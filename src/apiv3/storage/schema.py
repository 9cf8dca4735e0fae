"""Migrate a database's tables to the revision that this version of the server needs.

Several processes may do this at the same time: a lock (SQLite's write lock, an advisory lock of PostgreSQL) lets one run at a
time, and the others then find nothing left to do.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, event, text
from sqlalchemy.pool import NullPool

from apiv3.storage import urls
from apiv3.storage.revision import SCRIPTS
from apiv3.storage.rewriting import make_numbers_whole

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

T = TypeVar("T")

_log = logging.getLogger(__name__)
_UNNAMED = {"prepared_statement_cache_size": 0, "prepared_statement_name_func": str}
"""Options for statements without names, which leave nothing behind on a connection that a pooler shares."""
_LOCK = 0x61706976  # "apiv": any number that no other program locks in this database


class NewerTables(Exception):
    """The database is at a revision that this version does not know."""


class NoTables(Exception):
    """The database has no tables of apiv3 yet."""


class WrongEncoding(Exception):
    """The database's encoding cannot represent every text."""


def head() -> str:
    """Return the revision that this version of the server needs."""
    return str(ScriptDirectory.from_config(_config()).get_current_head())


def upgrade(url: str, *, makes: bool = True) -> tuple[str | None, str]:
    """Migrate to the newest revision, and return the revisions before (None: no tables) and after.

    `makes`: create the tables if there are none; otherwise NoTables is raised. Raises NewerTables, WrongEncoding, and errors of
    the database.
    """
    revisions = locked(url, lambda connection: _migrate(connection, makes))
    _rewrite_numbers(url)
    return revisions


def _rewrite_numbers(url: str) -> None:
    """Rewrite batch by batch, each in a separate transaction. It can take minutes: the log says when it begins and ends."""
    is_under_way = False
    while locked(url, make_numbers_whole):
        if not is_under_way:
            _log.info("rewriting the numbers of stored documents (20.0 becomes 20); this is done once")
        is_under_way = True
    if is_under_way:
        _log.info("the numbers of all stored documents are rewritten")


def locked(url: str, work: Callable[[Connection], T]) -> T:
    """Call `work` with a connection, in a transaction that holds the lock for migrations, and return its result."""
    if urlsplit(url).scheme == "sqlite":
        return _locked_sqlite(url, work)
    return asyncio.run(_locked_postgresql(url, work))


def _locked_sqlite(url: str, work: Callable[[Connection], T]) -> T:
    engine = create_engine(url, poolclass=NullPool, connect_args={"timeout": 60})
    event.listen(engine, "connect", _let_us_begin)
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    with engine.begin() as connection:
        return work(connection)


def _let_us_begin(connection: Any, _record: object) -> None:
    """Stop Python's driver from beginning transactions: it would do so late, and not at all before CREATE TABLE."""
    connection.isolation_level = None


async def _locked_postgresql(url: str, work: Callable[[Connection], T]) -> T:
    from sqlalchemy.ext.asyncio import create_async_engine  # imports greenlet, which SQLite does not need

    from apiv3.storage.connector import Connector

    async def connect(**_: Any) -> Any:
        return await Connector(urls.read(url)).connect()

    engine = create_async_engine(
        "postgresql+asyncpg://",
        poolclass=NullPool,
        isolation_level="READ COMMITTED",
        connect_args=_UNNAMED | {"async_creator_fn": connect},
    )
    async with engine.begin() as connection:
        await _check_encoding(connection)
        await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        return await connection.run_sync(work)


async def _check_encoding(connection: AsyncConnection) -> None:
    encoding = (await connection.execute(text("SHOW server_encoding"))).scalar_one()
    if encoding != "UTF8":
        raise WrongEncoding(
            f"its encoding is {encoding}, which cannot hold every text; it must be UTF8: "
            "CREATE DATABASE name ENCODING 'UTF8' TEMPLATE template0"
        )


def _migrate(connection: Connection, makes: bool) -> tuple[str | None, str]:
    before = MigrationContext.configure(connection).get_current_revision()
    if before is None and not makes:
        raise NoTables("it holds no tables of apiv3 yet; `apiv3 serve` makes them")
    config = _config()
    if before and before not in {each.revision for each in ScriptDirectory.from_config(config).walk_revisions()}:
        raise NewerTables(f"it was made by a newer apiv3 (its tables are at revision {before}); update this one")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    return before, head()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    return config
