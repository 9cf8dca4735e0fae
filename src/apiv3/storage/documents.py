"""Documents in the database: the JSON text that is sent to clients, and columns for the fields by which apps search.

Every writing transaction first takes `srvModified` from the clock, a row for each collection. So the writers of a collection
run one at a time, the numbers follow the order of the commits, and none is used twice.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from functools import cache
from itertools import chain, repeat
from typing import Any, TypeVar

import orjson

from apiv3.model import timestamps
from apiv3.model.devices import Message
from apiv3.model.documents import is_valid
from apiv3.retrying import retried
from apiv3.storage import messages
from apiv3.storage.changes import BURY, ChangeLog
from apiv3.storage.contracts import LargeDocument, Replacement, Stored
from apiv3.storage.database import Connection, Database
from apiv3.storage.dialects import Dialect, Row
from apiv3.storage.gathering import Gathering
from apiv3.storage.pages import Pages
from apiv3.storage.selects import CUT, LONGEST_INDEXED, SORTABLE
from apiv3.turns import ANSWERS, LARGEST_ANSWER

T = TypeVar("T")
Fetch = Callable[..., Awaitable[list[Row]]]
"""Takes a query and its parameters."""

_STORED = "id, identifier, body, srv_modified, valid, identified"
_GET = f"SELECT {_STORED} FROM documents WHERE collection = ? AND identifier = ?"
_GET_SMALL = "SELECT {stored} FROM documents WHERE collection = ? AND identifier = ?"
_GET_LARGE = "SELECT {body}, srv_modified, valid FROM documents WHERE collection = ? AND identifier = ?"
_GET_SOME = "SELECT {stored} FROM documents WHERE collection = ? AND identifier IN ({places})"
_GET_UNIDENTIFIED = f"SELECT {_STORED} FROM documents WHERE collection = ? AND {{column}} IN ({{places}}) AND NOT identified"
_GET_ALL = "SELECT {stored} FROM documents WHERE collection = ? AND {among}"
_UNIDENTIFIED = f"SELECT {_STORED} FROM documents WHERE collection = ? AND {{among}} AND NOT identified ORDER BY id"
_EXPORT = """SELECT body, id, identified FROM documents WHERE collection = ? AND COALESCE(date, srv_created) >= ?
    AND COALESCE(date, srv_created) < ? ORDER BY srv_modified"""
_TICK = "UPDATE clocks SET last = {greatest}(last + 1, ?) + ? WHERE name = ? RETURNING last{bell}"
_FIRST_TICK = timestamps.EPOCH_2000 + 1
"""The least `srvModified`, in ms. HISTORY begins after EPOCH_2000, so a machine with its clock in 1970 must not go below."""
_SET_CLOCK = "UPDATE clocks SET last = ? WHERE name = ?"
_LAST_TICK = f"SELECT COALESCE(max(last), 0) FROM clocks WHERE last >= {_FIRST_TICK}"
"""The rows of `clocks` that belong to no collection are plain counters, far below _FIRST_TICK."""
_ADD_CLOCK = "INSERT INTO clocks (name, last) VALUES (?, 0) ON CONFLICT (name) DO NOTHING"
_COLUMNS = (
    "identifier",
    "identified",
    "valid",
    "srv_modified",
    "srv_created",
    "date",
    "created_at",
    "type",
    "event_type",
    "listed",
    "body",
)
_INSERT = f"INSERT INTO documents (collection, {', '.join(_COLUMNS)}) VALUES "
_VALUES = f"({', '.join('?' * (len(_COLUMNS) + 1))})"
_AT_ONCE = (1000, 100)
"""How many documents one statement inserts or looks for. The few different sizes let the database reuse its plans."""
_FEW = 64
"""Most documents that are looked for with a single statement, both by identifiers and by a time."""
_REPLACE = f"UPDATE documents SET {', '.join(f'{name} = ?' for name in _COLUMNS)} WHERE id = ?"


class DocumentTable(ChangeLog, Pages):
    """The DocumentStore of both databases.

    `on_write`: functions that are called with the name of a collection after a transaction that may have written to it.
    """

    def __init__(self, database: Database) -> None:
        ChangeLog.__init__(self, database)
        Pages.__init__(self, database)
        self.on_write: list[Callable[[str], None]] = []
        self._dialect = database.dialect
        stored = _without_large(self._dialect)
        self._get = self._dialect.sql(_GET_SMALL.format(stored=stored))
        self._get_large = self._dialect.sql(_GET_LARGE.format(body=self._dialect.encoded))
        self._get_some = cache(lambda number: self._dialect.sql(_GET_SOME.format(stored=stored, places=_places(number))))
        self._gathering = Gathering(self._find_some) if self._dialect.remote else None

    @retried
    async def prepare(self, collections: Sequence[str]) -> None:
        """Create the clocks of new collections."""
        async with self._database.transaction("clocks") as connection:
            for name in collections:
                await connection.execute(self._dialect.sql(_ADD_CLOCK), name)

    async def get(self, collection: str, identifier: str) -> Stored | None:
        if self._gathering:
            return await self._gathering.get(collection, identifier)
        rows = await self._database.fetch(self._get, collection, identifier)
        return _stored(rows[0]) if rows else None

    async def get_large(self, collection: str, identifier: str, caller: str) -> LargeDocument | None:
        async with ANSWERS.take(caller, LARGEST_ANSWER) as hold:
            rows = await self._database.fetch(self._get_large, collection, identifier)
            if not rows:
                return None
            ((body, srv_modified, valid),) = rows
            return LargeDocument(body, srv_modified, valid, hold.keep())

    async def _find_some(self, collection: str, identifiers: Sequence[str]) -> Mapping[str, Stored]:
        number = _round_up(len(identifiers))
        rows = await self._database.fetch(self._get_some(number), collection, *_padded(identifiers, number))
        return {row[1]: _stored(row) for row in rows}

    async def last_modified(self, fields: Mapping[str, str | None]) -> Mapping[str, int]:
        async with self._database.connection() as connection:
            return {name: ms for name, field in fields.items() if (ms := await self._latest(connection, name, field))}

    async def _latest(self, connection: Connection, collection: str, field: str | None) -> int:
        greatest = "(SELECT max({}) FROM documents WHERE collection = ?)"
        columns = ["srv_modified"] + ([SORTABLE[field]] if field else [])
        sql = self._dialect.sql("SELECT " + ", ".join(map(greatest.format, columns)))
        (row,) = await connection.fetch(sql, *[collection] * len(columns))
        return max(map(_instant, row)) if row[0] else 0

    @asynccontextmanager
    async def writing(self, collection: str, at: int | None = None, ticks: int = 1) -> AsyncIterator[DocumentTableWriter]:
        try:
            async with self._database.transaction(collection) as connection:
                writer = DocumentTableWriter(connection, self._dialect, collection)
                await writer.begin(timestamps.now() if at is None else at, ticks)
                yield writer
                await writer.end()
        finally:  # also when the caller is cancelled during the commit
            for tell in self.on_write:
                tell(collection)

    async def export(self, collection: str, since: int, until: int) -> AsyncGenerator[Sequence[tuple[bytes, bool]], None]:
        sql = self._dialect.sql(self._dialect.streamed(_EXPORT))
        async with aclosing(self._database.stream(sql, collection, since, until)) as chunks:
            async for rows in chunks:
                yield [(body, bool(identified)) for body, _, identified in rows]

    @retried
    async def prune(self, collection: str, before: int, limit: int) -> int:
        if not await _old(self._database.fetch, self._dialect, collection, before, 1):
            return 0
        async with self.writing(collection) as writer:
            return await writer.prune(before, limit)

    async def last_tick(self) -> int:
        """Return the greatest `srvModified` of all collections, in ms; 0 before the first write."""
        ((last,),) = await self._database.fetch(_LAST_TICK)
        return int(last)

    async def version(self) -> tuple[str, str]:
        ((version,),) = await self._database.fetch(self._dialect.version_query)
        return self._dialect.name, version


class DocumentTableWriter:
    """The DocumentWriter: one collection, inside the transaction that holds its clock."""

    def __init__(self, connection: Connection, dialect: Dialect, collection: str) -> None:
        self._connection, self._dialect, self._collection = connection, dialect, collection
        self._next = self._last = 0

    async def begin(self, at: int, ticks: int) -> None:
        """Lock the collection's clock and take `ticks` values of it in advance, none of them before `at` (ms)."""
        rows = await self._connection.fetch(_tick(self._dialect), max(at, _FIRST_TICK), ticks - 1, self._collection)
        self._last = rows[0][0]
        self._next = self._last - ticks + 1

    async def end(self) -> None:
        """Store the clock if more ticks were used than were taken in advance."""
        if self._next > self._last + 1:
            await self._connection.execute(self._sql(_SET_CLOCK), self._next - 1, self._collection)

    async def recall(self, message: Message) -> Mapping[str, Any] | None:
        return await messages.recall(self._connection, self._dialect, message)

    async def remember(self, message: Message, answer: Mapping[str, Any], moment: int) -> None:
        await messages.remember(self._connection, self._dialect, message, answer, moment)

    def tick(self, at: int = 0) -> int:
        tick = max(self._next, at)
        self._next = tick + 1
        return tick

    async def find(self, identifier: str) -> Stored | None:
        rows = await self._connection.fetch(self._sql(_GET), self._collection, identifier)
        return _stored(rows[0]) if rows else None

    async def look_up(self, identifiers: Sequence[str], field: str, values: Sequence[object]) -> Sequence[Stored]:
        number = _round_up(max(len(identifiers), len(values)))
        if number > _FEW:
            stored = _without_large(self._dialect)
            found = await self._find_among(_GET_ALL.replace("{stored}", stored), "identifier", identifiers)
            return [*found, *await self.find_unidentified(field, values)]
        sql = _look_up(self._dialect, number, SORTABLE[field] if values else None, by_identifier=bool(identifiers))
        asked = [(self._collection, *_padded(among, number)) for among in (identifiers, values) if among]
        return [_stored(row) for row in await self._connection.fetch(sql, *chain.from_iterable(asked))]

    async def find_unidentified(self, field: str, values: Collection[object]) -> Sequence[Stored]:
        return await self._find_among(_UNIDENTIFIED, SORTABLE[field], values)

    async def _find_among(self, sql: str, column: str, values: Collection[object]) -> Sequence[Stored]:
        found: list[Stored] = []
        for some in _parts(tuple(values), _AT_ONCE[:1]):
            among, parameter = self._dialect.among(column, some)
            rows = await self._connection.fetch(self._sql(sql.format(among=among)), self._collection, parameter)
            found += map(_stored, rows)
        return found

    async def insert(self, *documents: Mapping[str, Any], identified: bool = True) -> None:
        for some in _parts(documents, _AT_ONCE):
            rows = [(self._collection, *_row(document, identified)) for document in some]
            if len(rows) in _AT_ONCE:
                await self._connection.execute(
                    self._sql(_INSERT + ", ".join([_VALUES] * len(rows))), *chain.from_iterable(rows)
                )
            else:
                await self._execute_many(_INSERT + _VALUES, rows)

    async def replace(self, stored: Stored, document: Mapping[str, Any]) -> None:
        await self.replace_all([Replacement.of(self, stored, document)])

    async def replace_all(self, changes: Sequence[Replacement]) -> None:
        rows = [(*_row(document, _is_identified(stored, document)), stored.key) for stored, document, _ in changes]
        await self._execute_many(_REPLACE, rows)
        for stored, _, buried in changes:
            if buried is not None:
                await self._bury(stored.identifier, buried)

    async def _execute_many(self, sql: str, rows: Sequence[tuple[Any, ...]]) -> None:
        """Run a statement once for each row of parameters."""
        if len(rows) == 1:
            await self._connection.execute(self._sql(sql), *rows[0])
        elif rows:
            await self._connection.executemany(self._sql(sql), rows)

    async def remove(self, stored: Stored) -> None:
        await self._remove(stored.key, stored.identifier)

    async def _remove(self, key: int, identifier: str) -> None:
        await self._connection.execute(self._sql("DELETE FROM documents WHERE id = ?"), key)
        await self._bury(identifier, self.tick())

    async def _bury(self, identifier: str, tick: int) -> None:
        """Leave a tombstone for an identifier that no document has any more."""
        await self._connection.execute(self._sql(BURY), self._collection, tick, identifier)

    async def prune(self, before: int, limit: int) -> int:
        """Remove up to `limit` documents older than `before` (ms), and return how many were removed."""
        old = await _old(self._connection.fetch, self._dialect, self._collection, before, limit)
        for key, identifier in old:
            await self._remove(key, identifier)
        return len(old)

    def _sql(self, text: str) -> str:
        return self._dialect.sql(text)


async def _old(fetch: Fetch, dialect: Dialect, collection: str, before: int, limit: int) -> list[Row]:
    """Return key and identifier of up to `limit` documents older than `before` (ms), by date, else created_at or srvCreated."""
    age = {"date": before, "created_at": timestamps.iso(before), "srv_created": before}
    unknown, old = "", list[Row]()
    for column, bound in age.items():
        where = f"collection = ?{unknown} AND {column} < ?"
        sql = f"SELECT id, identifier FROM documents WHERE {where} ORDER BY {column} NULLS FIRST LIMIT ?"
        old += await fetch(dialect.sql(sql), collection, bound, limit - len(old))
        unknown += f" AND {column} IS NULL"
    return old


def _without_large(dialect: Dialect) -> str:
    """The columns of a Stored, whose body is NULL where it is large."""
    return _STORED.replace("body", dialect.small_body)


def _is_identified(stored: Stored, document: Mapping[str, Any]) -> bool:
    """Whether a document that replaces a stored one has an identifier of its own."""
    return stored.identified or document["identifier"] != stored.identifier


@cache
def _look_up(dialect: Dialect, number: int, column: str | None, *, by_identifier: bool) -> str:
    """Return the query for so many identifiers, and for documents without one by as many values of a column."""
    halves = []
    if by_identifier:
        halves.append(_GET_SOME.format(stored=_without_large(dialect), places=_places(number)))
    if column is not None:
        halves.append(_GET_UNIDENTIFIED.format(column=column, places=_places(number)))
    return dialect.sql(" UNION ALL ".join(halves))


@cache
def _tick(dialect: Dialect) -> str:
    """Return the statement that takes numbers from a clock."""
    return dialect.sql(_TICK.format(greatest=dialect.greatest, bell=dialect.bell))


@cache
def _places(number: int) -> str:
    """Return placeholders for so many parameters."""
    return ", ".join("?" * number)


def _round_up(number: int) -> int:
    """Round up to a power of two, since PostgreSQL makes a plan for each number of parameters. With a single array instead, it
    would make a plan at each query.
    """
    return 1 << (number - 1).bit_length()


def _padded(values: Sequence[T], number: int) -> Iterator[T]:
    """Repeat the first value at the end until there are `number` values."""
    return chain(values, repeat(values[0], number - len(values)))


def _parts(values: Sequence[T], sizes: Sequence[int]) -> Iterator[Sequence[T]]:
    """Split values into parts of the first size, the rest into parts of the next size; the last part may be smaller."""
    place = 0
    for size in sizes:
        last = len(values) if size == sizes[-1] else len(values) // size * size
        while place < last:
            yield values[place : place + size]
            place += size


def _stored(row: Row) -> Stored:
    return Stored._make(row)


def _row(document: Mapping[str, Any], identified: bool) -> tuple[Any, ...]:
    """Return the values of _COLUMNS for a document."""
    return (
        document["identifier"],
        identified,
        is_valid(document),
        document["srvModified"],
        document["srvCreated"],
        document.get("date"),
        _text(document.get("created_at")),
        *(_text(document.get(name), LONGEST_INDEXED) for name in CUT),
        any(isinstance(document.get(name), list) for name in CUT),
        orjson.dumps(document).decode(),
    )


def _text(value: object, longest: int | None = None) -> str | None:
    return value[:longest] if isinstance(value, str) else None


def _instant(value: object) -> int:
    """Return a time in ms; 0 for a value that is no time, or before the year 2000, as an imported `created_at` may be."""
    if isinstance(value, int):
        return value
    try:
        return timestamps.parse(value).ms
    except ValueError:
        return 0
