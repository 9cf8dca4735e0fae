"""The measured collection: glucose entries as an app sends them, one every five minutes, all of the same length."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import orjson

from apiv3.model import timestamps
from apiv3.storage.database import Database
from apiv3.storage.documents import DocumentTable

COLLECTION = "entries"
LIMIT = 100
READ_IN_TURN = 1_000
FIVE_MINUTES = 300_000
FINGER_STICK = 50
"""The interval, in entries, at which one is not of the type sgv."""


def entry(identifier: str, date: int) -> dict[str, Any]:
    """Return a document in which the server need not fill in any field."""
    return {
        "identifier": identifier,
        "date": date,
        "utcOffset": 120,
        "created_at": timestamps.iso(date),
        "app": "AndroidAPS",
        "device": "AndroidAPS-DexcomG6",
        "type": "mbg" if date // FIVE_MINUTES % FINGER_STICK == 0 else "sgv",
        "sgv": 100 + date // FIVE_MINUTES % 200,
        "direction": "Flat",
        "units": "mg",
        "noise": 1,
        "filtered": 0,
        "unfiltered": 0,
        "rssi": 100,
    }


def identifier(number: int) -> str:
    return f"0b3ac5e2-77f1-5c9a-9d1e-{number:012x}"


def sample(documents: int) -> tuple[str, ...]:
    """Return some identifiers from all parts of the collection."""
    return tuple(identifier(number) for number in range(0, documents, _step(documents)))


def _step(documents: int) -> int:
    return max(1, documents // READ_IN_TURN)


def _oldest(documents: int) -> int:
    return int(time.time()) * 1000 - documents * FIVE_MINUTES


def write(file: Path, documents: int) -> int:
    """Write the same documents to a file, one on each line. Return the date of the oldest."""
    oldest = _oldest(documents)
    with file.open("wb") as lines:
        for number in range(documents):
            lines.write(orjson.dumps(entry(identifier(number), oldest + number * FIVE_MINUTES)) + b"\n")
    return oldest


@dataclass(frozen=True, slots=True)
class Filled:
    """The contents of a collection: some identifiers, a srvModified with 100 later ones, and a date (ms) before all others.

    `step`: the number of documents from one of the identifiers to the next.
    """

    identifiers: tuple[str, ...]
    middle: int
    oldest: int
    step: int = 1

    def document(self, number: int) -> dict[str, Any]:
        """Return the document with the given one of the identifiers, as it was stored."""
        return entry(self.identifiers[number], self.oldest + number * self.step * FIVE_MINUTES)


def fill(url: str, documents: int) -> Filled:
    """Store the documents in a database that a server has already migrated."""
    return asyncio.run(_fill(url, documents))


async def _fill(url: str, documents: int) -> Filled:
    oldest = _oldest(documents)
    identifiers = [identifier(number) for number in range(documents)]
    database = Database(url)
    await database.connect()
    try:
        middle = await _store(DocumentTable(database), identifiers, oldest)
    finally:
        await database.disconnect()
    await tidy(url)
    return Filled(sample(documents), middle, oldest, _step(documents))


async def _store(table: DocumentTable, identifiers: list[str], oldest: int) -> int:
    """Store the documents, and return the srvModified of the one in the middle."""
    ticks = []
    async with table.writing(COLLECTION) as writer:
        for number, identifier in enumerate(identifiers):
            document = entry(identifier, oldest + number * FIVE_MINUTES)
            document["srvModified"] = document["srvCreated"] = writer.tick()
            document["subject"] = "admin"
            ticks.append(document["srvModified"])
            await writer.insert(document)
    return int(ticks[(len(ticks) - LIMIT) // 2])


async def tidy(url: str) -> None:
    """Run the maintenance that the database would otherwise do by itself in the middle of a round."""
    if url.startswith("sqlite:"):
        with sqlite3.connect(url.removeprefix("sqlite:///")) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()
        return
    other = await asyncpg.connect(url)
    await other.execute("VACUUM ANALYZE documents")
    await other.execute("CHECKPOINT")
    await other.close()
