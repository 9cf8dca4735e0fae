"""Messages that wait for the hub, on disk: each keeps its id and its body until the hub has answered it."""

from __future__ import annotations

import json
import sqlite3
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from apiv3.client.devices.database import Database
from apiv3.client.devices.errors import BufferFull, TooLong

Type = Literal["key.new", "command.result", "alarm", "state", "data", "log"]
RANKS: Mapping[Type, int] = {"key.new": 0, "command.result": 1, "alarm": 2, "state": 2, "data": 3, "log": 4}
"""What goes first. Those of one rank go in the order in which they came."""

LONGEST_BODY = 60_000
"""Bytes of the longest body. The rest of a Noise message is for the envelope around it."""
MOST_DOCUMENTS = 100
"""Documents in one message: the hub's answer has a result for each, and must fit into a message too."""
LARGEST = 268_435_456
"""Bytes of the file above which it takes no more data, alarms and states: some years of readings at five minutes."""
MOST_LOGS = 50
"""Messages with lines of the log that may wait. Lines that come later stay in memory."""
MOST_SET_ASIDE = 1000
MOST_TRIES = 3
"""How often a message is refused before it is set aside."""


class Message(NamedTuple):
    """A message that waits. `body`: JSON text; `tries`: how often it was refused."""

    id: str
    type: Type
    body: str
    tries: int


class SetAside(NamedTuple):
    """What the hub refuses. `status` and `message`: why; `body`: what was sent, for `data` only the refused documents."""

    id: str
    type: Type
    body: Mapping[str, Any]
    status: int
    message: str


class Messages:
    """The messages that wait, and those that were set aside."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, type: Type, bodies: Sequence[str]) -> None:
        """Keep messages to be sent: all of them, or none. Raises TooLong, BufferFull."""
        if any(len(body.encode()) > LONGEST_BODY for body in bodies):
            raise TooLong(f"a message has at most {LONGEST_BODY} bytes")
        await self._database.run(lambda connection: add(connection, type, bodies))

    async def next(self) -> Message | None:
        """Return the message to be sent next, or None if none waits. One that was refused comes after others of its rank."""
        return await self._database.run(_next)

    async def waiting(self) -> int:
        """Return how many messages wait."""
        return await self._database.run(_waiting)

    async def is_waiting(self, type: Type, body: str) -> bool:
        """Return whether such a message waits."""
        return await self._database.run(lambda connection: is_waiting(connection, type, body))

    async def remove(self, message: Message) -> None:
        """Forget a message that the hub has taken."""
        await self._database.run(lambda connection: _remove(connection, message))

    async def refuse_documents(self, message: Message, results: Sequence[Any]) -> list[SetAside]:
        """Forget a message of documents, and set aside those of them that the hub has refused. `results`: one for each."""
        aside = list(_refused_documents(json.loads(message.body), results))
        await self._database.run(lambda connection: _put_aside(connection, message, aside))
        return aside

    async def split(self, message: Message) -> None:
        """Replace a message of several documents by two, because the hub cannot take it whole, or not answer it."""
        body = json.loads(message.body)
        middle = len(body["documents"]) // 2
        halves = [as_text({**body, "documents": half}) for half in (body["documents"][:middle], body["documents"][middle:])]
        await self._database.run(lambda connection: _split(connection, message, halves))

    async def refuse(self, message: Message, status: int, text: str) -> SetAside | None:
        """Count a refusal of a message. Return it if that was one too many, so that it was set aside."""
        aside = SetAside(message.id, message.type, json.loads(message.body), status, text)
        if message.tries + 1 < MOST_TRIES:
            await self._database.run(lambda connection: _count_try(connection, message))
            return None
        await self._database.run(lambda connection: _put_aside(connection, message, [aside]))
        return aside

    async def set_aside(self) -> list[SetAside]:
        """Return what was set aside, the oldest first; at most 1,000."""
        return await self._database.run(_all_aside)

    async def add_logs(self, bodies: Sequence[str]) -> bool:
        """Keep messages with lines of the log, unless too many of them wait; return whether they are kept."""
        return await self._database.run(lambda connection: _add_logs(connection, bodies))


def add(connection: sqlite3.Connection, type: Type, bodies: Sequence[str]) -> None:
    """Keep messages to be sent, inside a transaction. Raises BufferFull."""
    if type in ("data", "alarm", "state") and _size(connection) > LARGEST:
        raise BufferFull(f"{LARGEST >> 20} MiB wait to be sent already")
    _insert(connection, type, bodies)


def _insert(connection: sqlite3.Connection, type: Type, bodies: Sequence[str]) -> None:
    rows = [(str(uuid.uuid4()), RANKS[type], type, body) for body in bodies]
    connection.executemany("INSERT INTO message (id, rank, type, body) VALUES (?, ?, ?, ?)", rows)


def is_waiting(connection: sqlite3.Connection, type: Type, body: str) -> bool:
    """Return whether such a message waits, inside a transaction."""
    query = "SELECT 1 FROM message WHERE status IS NULL AND rank = ? AND type = ? AND body = ?"
    return connection.execute(query, (RANKS[type], type, body)).fetchone() is not None


def documents_in_bodies(collection: str, documents: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield the bodies of messages that carry documents, as many as fit into each. Raises TooLong, ValueError, TypeError."""
    start = f'{{"collection":{json.dumps(collection)},"documents":['
    batch: list[str] = []
    size = 0
    for text in map(as_text, documents):
        length = len(text.encode()) + 1
        if len(start) + length + 1 > LONGEST_BODY:
            raise TooLong(f"a document of {length} bytes does not fit into a message, which has at most {LONGEST_BODY}")
        if batch and (len(batch) == MOST_DOCUMENTS or len(start) + size + length + 1 > LONGEST_BODY):
            yield f"{start}{','.join(batch)}]}}"
            batch, size = [], 0
        batch.append(text)
        size += length
    if batch:
        yield f"{start}{','.join(batch)}]}}"


def as_text(value: object) -> str:
    """Return a value as JSON. Raises ValueError for NaN and infinities, which JSON does not have, and TypeError."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _refused_documents(body: Mapping[str, Any], results: Sequence[Any]) -> Iterator[SetAside]:
    for document, result in zip(body["documents"], results, strict=False):
        match result:
            case {"status": int(status)} if status >= 400:
                alone = {"collection": body["collection"], "documents": [document]}
                yield SetAside(str(uuid.uuid4()), "data", alone, status, str(result.get("message", "")))


def _next(connection: sqlite3.Connection) -> Message | None:
    query = "SELECT id, type, body, tries FROM message WHERE status IS NULL ORDER BY rank, tries, number LIMIT 1"
    row = connection.execute(query).fetchone()
    return Message(*row) if row else None


def _waiting(connection: sqlite3.Connection) -> int:
    [number] = connection.execute("SELECT count(*) FROM message WHERE status IS NULL").fetchone()
    return int(number)


def _size(connection: sqlite3.Connection) -> int:
    """Return the bytes of the file that are in use."""
    [pages, free, size] = [
        connection.execute(f"PRAGMA {each}").fetchone()[0] for each in ("page_count", "freelist_count", "page_size")
    ]
    return int((pages - free) * size)


def _remove(connection: sqlite3.Connection, message: Message) -> None:
    connection.execute("DELETE FROM message WHERE id = ?", (message.id,))


def _split(connection: sqlite3.Connection, message: Message, halves: Sequence[str]) -> None:
    _remove(connection, message)
    _insert(connection, message.type, halves)


def _count_try(connection: sqlite3.Connection, message: Message) -> None:
    connection.execute("UPDATE message SET tries = tries + 1 WHERE id = ?", (message.id,))


def _put_aside(connection: sqlite3.Connection, message: Message, aside: Sequence[SetAside]) -> None:
    """Replace a message by what is set aside of it."""
    _remove(connection, message)
    rows = [(each.id, RANKS[each.type], each.type, as_text(each.body), each.status, each.message) for each in aside]
    columns = "INSERT INTO message (id, rank, type, body, status, refusal) VALUES (?, ?, ?, ?, ?, ?)"
    connection.executemany(columns, rows)
    newest = "SELECT number FROM message WHERE status IS NOT NULL ORDER BY number DESC LIMIT ?"
    prune = f"DELETE FROM message WHERE status IS NOT NULL AND number NOT IN ({newest})"  # noqa: S608
    connection.execute(prune, (MOST_SET_ASIDE,))


def _all_aside(connection: sqlite3.Connection) -> list[SetAside]:
    query = "SELECT id, type, body, status, refusal FROM message WHERE status IS NOT NULL ORDER BY number"
    return [SetAside(row[0], row[1], json.loads(row[2]), *row[3:]) for row in connection.execute(query)]


def _add_logs(connection: sqlite3.Connection, bodies: Sequence[str]) -> bool:
    [waiting] = connection.execute("SELECT count(*) FROM message WHERE status IS NULL AND type = 'log'").fetchone()
    if waiting + len(bodies) > MOST_LOGS:
        return False
    add(connection, "log", bodies)
    return True
