"""The file of a device's buffer: SQLite, which loses nothing of what was committed when the power is cut."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from apiv3.client.devices.errors import BufferFull, FolderInUse

T = TypeVar("T")

_VERSION = 1
_TABLES = """
CREATE TABLE message (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, rank INTEGER NOT NULL, type TEXT NOT NULL, body TEXT NOT NULL,
    tries INTEGER NOT NULL DEFAULT 0, status INTEGER, refusal TEXT
);
CREATE INDEX waiting ON message (rank, tries, number) WHERE status IS NULL;
CREATE TABLE command (counter INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, result TEXT);
"""


class Database:
    """A connection to the file, for transactions one after the other, in a thread of its own."""

    def __init__(self, connection: sqlite3.Connection, thread: ThreadPoolExecutor) -> None:
        self._connection, self._thread = connection, thread

    @classmethod
    async def open(cls, file: Path) -> Database:
        """Open the file, which is made if there is none. Raises FolderInUse."""
        thread = ThreadPoolExecutor(1, "device")
        try:
            return cls(await asyncio.get_running_loop().run_in_executor(thread, _open, file), thread)
        except BaseException:
            thread.shutdown(wait=False)
            raise

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do work in a transaction, which is on disk when this returns. A caller that is cancelled does not undo it.

        Raises BufferFull when the disk is full.
        """
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._transaction, work)

    async def close(self) -> None:
        """Close the file after all work that was begun."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._connection.close)
        self._thread.shutdown()

    def _transaction(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            with self._connection:
                self._connection.execute("BEGIN IMMEDIATE")
                return work(self._connection)
        except sqlite3.OperationalError as error:
            if "is full" in str(error):
                raise BufferFull("The disk is full") from None
            raise


def _open(file: Path) -> sqlite3.Connection:
    os.close(os.open(file, os.O_RDWR | os.O_CREAT, 0o600))  # SQLite's files beside it get the same mode
    connection = sqlite3.connect(file, timeout=0, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("BEGIN IMMEDIATE")
        with connection:
            if connection.execute("PRAGMA user_version").fetchone() == (0,):
                for statement in _TABLES.split(";"):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {_VERSION}")
    except sqlite3.OperationalError as error:
        connection.close()
        if "locked" in str(error):
            raise FolderInUse(file.parent) from None
        raise
    return connection
