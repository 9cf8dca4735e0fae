"""Two minimal servers (ceilings) to compare apiv3 with: `python -m bench.ceilings FOLDER PORT [URL]`.

Without URL it runs the first one, and with the URL of a database the second one. FOLDER has the answers of apiv3
(`answers.json`), whose bytes and headers they return. Both run under uvicorn, configured as for apiv3 but with uvicorn's own
HTTP protocol, because the protocol of apiv3 is a part of what is measured.
"""

from __future__ import annotations

import sqlite3
import sys
import time
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import asyncpg
import orjson
import uvicorn

from apiv3.cli.serve import listen
from bench.options import CONNECTIONS

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]
Change = Callable[[dict[str, Any]], dict[str, Any]]

COLLECTION, LIMIT = "entries", 100
_WRITES = {"POST": "CREATE", "PUT": "PUT", "PATCH": "PATCH"}
_STORED = "id, identifier, body, srv_modified, valid, identified"
_FROM = "FROM documents WHERE collection = $1"
_READ = f"SELECT {_STORED} {_FROM} AND identifier = $2"
_SEARCH = f"SELECT body {_FROM} AND valid ORDER BY date DESC NULLS LAST, identifier DESC LIMIT $2 OFFSET $3"
_HISTORY = f"SELECT body, srv_modified {_FROM} AND srv_modified > $2 ORDER BY srv_modified LIMIT $3"
_BELL = ", pg_notify('apiv3', name)::text"
_TICK = "UPDATE clocks SET last = {greatest}(last + 1, $1) WHERE name = $2 RETURNING last{bell}"
_REPLACE = """UPDATE documents SET identifier = $1, identified = $2, valid = $3, srv_modified = $4, srv_created = $5, date = $6,
    created_at = $7, type = $8, event_type = $9, listed = $10, body = $11 WHERE id = $12"""
_UNIDENTIFIED = f"SELECT {_STORED} {_FROM} AND date = $2 AND NOT identified ORDER BY id"
_INSERT = """INSERT INTO documents (collection, identifier, identified, valid, srv_modified, srv_created, date, created_at,
    type, event_type, body) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"""


class Answer:
    """The recorded answer of apiv3 to one operation."""

    def __init__(self, record: dict[str, Any]) -> None:
        self.status: int = record["status"]
        self.body: bytes = record["body"].encode()
        self.headers: Headers = [(name.encode(), value.encode()) for name, value in record["headers"]]
        self._others = [header for header in self.headers if header[0] != b"content-length"]

    async def send(self, send: Send) -> None:
        """Send exactly the recorded bytes."""
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        await send({"type": "http.response.body", "body": self.body})

    async def send_body(self, send: Send, body: bytes) -> None:
        """Send another body with the recorded headers."""
        headers = [(b"content-length", str(len(body)).encode()), *self._others]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def operation(scope: Message) -> str:
    """Return the operation that a request belongs to."""
    path: str = scope["path"]
    if scope["method"] in _WRITES:
        return _WRITES[scope["method"]]
    if path == "/api/v3/entries":
        return "SEARCH"
    if path == "/api/v3/status":
        return "STATUS"
    return "HISTORY" if path.startswith("/api/v3/entries/history/") else "READ"


async def read_body(receive: Receive) -> bytes:
    message = await receive()
    body: bytes = message["body"]
    while message["more_body"]:
        message = await receive()
        body += message["body"]
    return body


class BareAsgi:
    """The first ceiling: an application that returns bytes from memory."""

    def __init__(self, answers: dict[str, Answer]) -> None:
        self._answers = answers

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await lifespan(receive, send)
            return
        name = operation(scope)
        if scope["method"] in _WRITES:
            await read_body(receive)
        await self._answers[name].send(send)


class Driver(Protocol):
    """A connection that runs the same SQL on SQLite or PostgreSQL."""

    async def open(self) -> None: ...

    async def fetch(self, sql: str, *args: Any) -> Sequence[Any]: ...

    async def create(self, document: dict[str, Any]) -> int:
        """Store a document, and return its srvModified."""

    async def replace(self, identifier: str, make: Change) -> int:
        """Replace a stored document with the result of `make`, and return its srvModified."""


class BareSql:
    """The second ceiling: it runs the SQL statements, without security or other checks."""

    def __init__(self, answers: dict[str, Answer], driver: Driver) -> None:
        self._answers, self._driver = answers, driver
        self._operations = {
            "READ": self._read,
            "SEARCH": self._search,
            "HISTORY": self._history,
            "CREATE": self._create,
            "PUT": self._put,
            "PATCH": self._patch,
        }

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await lifespan(receive, send, self._driver)
            return
        name = operation(scope)
        body = await self._operations[name](scope, receive)
        await self._answers[name].send_body(send, body)

    async def _read(self, scope: Message, _receive: Receive) -> bytes:
        rows = await self._driver.fetch(_READ, COLLECTION, scope["path"].rpartition("/")[2])
        return _envelope(rows[0][2])

    async def _search(self, _scope: Message, _receive: Receive) -> bytes:
        return _list(await self._driver.fetch(_SEARCH, COLLECTION, LIMIT, 0))

    async def _history(self, scope: Message, _receive: Receive) -> bytes:
        return _list(await self._driver.fetch(_HISTORY, COLLECTION, int(scope["path"].rpartition("/")[2]), LIMIT))

    async def _create(self, _scope: Message, receive: Receive) -> bytes:
        document = orjson.loads(await read_body(receive))
        srv_modified = await self._driver.create(document)
        return orjson.dumps({"status": 201, "identifier": document["identifier"], "lastModified": srv_modified})

    async def _put(self, scope: Message, receive: Receive) -> bytes:
        new: dict[str, Any] = orjson.loads(await read_body(receive))

        def make(old: dict[str, Any]) -> dict[str, Any]:
            return new | {"srvCreated": old["srvCreated"], "subject": "admin"}

        srv_modified = await self._driver.replace(scope["path"].rpartition("/")[2], make)
        return orjson.dumps({"status": 200, "lastModified": srv_modified})

    async def _patch(self, scope: Message, receive: Receive) -> bytes:
        patch = orjson.loads(await read_body(receive))
        await self._driver.replace(scope["path"].rpartition("/")[2], lambda old: old | patch | {"modifiedBy": "admin"})
        return b'{"status":200}'


def _envelope(text: str) -> bytes:
    return f'{{"status":200,"result":{text}}}'.encode()


def _list(rows: Sequence[Any]) -> bytes:
    return f'{{"status":200,"result":[{",".join([row[0] for row in rows])}]}}'.encode()


def _row(document: dict[str, Any], srv_modified: int) -> tuple[Any, ...]:
    document["srvModified"] = document["srvCreated"] = srv_modified
    document["subject"] = "admin"
    times = (srv_modified, srv_modified, document["date"], document["created_at"])
    return (COLLECTION, document["identifier"], True, True, *times, document["type"], None, orjson.dumps(document).decode())


def _replacement(row: Any, srv_modified: int, make: Change) -> tuple[Any, ...]:
    """Return the parameters of _REPLACE."""
    new = make(orjson.loads(row[2]))
    new["srvModified"] = srv_modified
    times = (srv_modified, new["srvCreated"], new["date"], new["created_at"])
    return (row[1], True, True, *times, new["type"], None, False, orjson.dumps(new).decode(), row[0])


def _now() -> int:
    return time.time_ns() // 1_000_000


class Sqlite:
    """The module sqlite3, called on the event loop: the fastest way if requests come one after the other."""

    def __init__(self, path: str) -> None:
        self._path = path

    async def open(self) -> None:
        self._connection = sqlite3.connect(self._path, isolation_level=None, timeout=10)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=FULL")

    async def fetch(self, sql: str, *args: Any) -> Sequence[Any]:
        return self._connection.execute(_QUESTION_MARKS[sql], args).fetchall()

    async def create(self, document: dict[str, Any]) -> int:
        execute = self._connection.execute
        execute("BEGIN IMMEDIATE")
        ((srv_modified,),) = execute(_QUESTION_MARKS[_TICK].format(greatest="max", bell=""), (_now(), COLLECTION)).fetchall()
        execute(_QUESTION_MARKS[_READ], (COLLECTION, document["identifier"])).fetchall()
        execute(_QUESTION_MARKS[_UNIDENTIFIED], (COLLECTION, document["date"])).fetchall()
        execute(_QUESTION_MARKS[_INSERT], _row(document, srv_modified))
        self._connection.commit()
        return int(srv_modified)

    async def replace(self, identifier: str, make: Change) -> int:
        execute = self._connection.execute
        execute("BEGIN IMMEDIATE")
        ((srv_modified,),) = execute(_QUESTION_MARKS[_TICK].format(greatest="max", bell=""), (_now(), COLLECTION)).fetchall()
        (row,) = execute(_QUESTION_MARKS[_READ], (COLLECTION, identifier)).fetchall()
        execute(_QUESTION_MARKS[_REPLACE], _replacement(row, srv_modified, make))
        self._connection.commit()
        return int(srv_modified)


class Postgresql:
    """asyncpg, with a pool for writes and separate connections for reads, because its pool costs more than a query."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def open(self) -> None:
        self._pool = await asyncpg.create_pool(self._url, min_size=1, max_size=10, command_timeout=30, reset=_keep)
        self._readers = [await asyncpg.connect(self._url, command_timeout=30) for _ in range(CONNECTIONS)]

    async def fetch(self, sql: str, *args: Any) -> Sequence[Any]:
        reader = self._readers.pop()
        rows = await reader.fetch(sql, *args)
        self._readers.append(reader)
        return rows

    async def create(self, document: dict[str, Any]) -> int:
        async with self._pool.acquire() as connection, connection.transaction():
            ((srv_modified, _),) = await connection.fetch(_TICK.format(greatest="greatest", bell=_BELL), _now(), COLLECTION)
            await connection.fetch(_READ, COLLECTION, document["identifier"])
            await connection.fetch(_UNIDENTIFIED, COLLECTION, document["date"])
            await connection.execute(_INSERT, *_row(document, srv_modified))
        return int(srv_modified)

    async def replace(self, identifier: str, make: Change) -> int:
        async with self._pool.acquire() as connection, connection.transaction():
            ((srv_modified, _),) = await connection.fetch(_TICK.format(greatest="greatest", bell=_BELL), _now(), COLLECTION)
            (row,) = await connection.fetch(_READ, COLLECTION, identifier)
            await connection.execute(_REPLACE, *_replacement(row, srv_modified, make))
        return int(srv_modified)


async def _keep(_connection: object) -> None:
    """A connection that is not reset when it returns to the pool, as in apiv3."""


def _question_marks(sql: str) -> str:
    for number in range(12, 0, -1):
        sql = sql.replace(f"${number}", "?")
    return sql


_QUESTION_MARKS = {sql: _question_marks(sql) for sql in (_READ, _SEARCH, _HISTORY, _TICK, _UNIDENTIFIED, _INSERT, _REPLACE)}


async def lifespan(receive: Receive, send: Send, driver: Driver | None = None) -> None:
    await receive()
    if driver:
        await driver.open()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


def main(folder: str, port: str, url: str = "") -> None:
    """Serve until a signal ends the process."""
    records = orjson.loads((Path(folder) / "answers.json").read_bytes())
    answers = {name: Answer(record) for name, record in records.items()}
    driver: Driver = Sqlite(url.removeprefix("sqlite:///")) if url.startswith("sqlite:") else Postgresql(url)
    app = BareSql(answers, driver) if url else BareAsgi(answers)
    config = uvicorn.Config(app, lifespan="on", log_config=None, access_log=False, server_header=False, date_header=False)
    uvicorn.Server(config).run([listen("127.0.0.1", int(port))])


if __name__ == "__main__":
    main(*sys.argv[1:])
