"""Documents in the database: JSON text ready to be sent, beside the columns by which apps look for it.

`srvModified` is taken from a clock row of the collection, inside the writing transaction and before anything else: so
writers of a collection queue up there, the numbers follow the order of the commits, and none is given twice.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from functools import lru_cache
from typing import Any, NamedTuple

import orjson

from apiv3.model import timestamps
from apiv3.model.documents import Document, is_valid
from apiv3.model.queries import Filter, Query, Sort
from apiv3.storage.changes import BURY, ChangeLog
from apiv3.storage.contracts import Page, Stored
from apiv3.storage.database import Connection, Database, Row
from apiv3.storage.dialects import Dialect

_STORED = "id, identifier, body, srv_modified, valid, identified"
_GET = f"SELECT {_STORED} FROM documents WHERE collection = ? AND identifier = ?"
_UNIDENTIFIED = f"SELECT {_STORED} FROM documents WHERE collection = ? AND {{column}} = ? AND NOT identified ORDER BY id"
_HISTORY = "SELECT body, srv_modified FROM documents WHERE collection = ? AND srv_modified > ? ORDER BY srv_modified LIMIT ?"
_TICK = "UPDATE clocks SET last = {greatest}(last + 1, ?) WHERE name = ? RETURNING last{bell}"
_SET_CLOCK = "UPDATE clocks SET last = ? WHERE name = ?"
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
    "body",
)
_INSERT = f"INSERT INTO documents (collection, {', '.join(_COLUMNS)}) VALUES ({', '.join('?' * (len(_COLUMNS) + 1))})"
_REPLACE = f"UPDATE documents SET {', '.join(f'{name} = ?' for name in _COLUMNS)} WHERE id = ?"

_NUMBERS = {"date": "date", "srvModified": "srv_modified", "srvCreated": "srv_created"}
_TEXTS = {"identifier": "identifier", "created_at": "created_at", "type": "type", "eventType": "event_type"}
_SORTABLE = _NUMBERS | {"identifier": "identifier", "created_at": "created_at"}
_UNIQUE = {("identifier",): "identifier", ("srvModified",): "srv_modified"}  # nothing to say about nulls and ties
_CUT = ("type", "eventType")
_COMPARISONS = {"eq": "=", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
_INT64 = 2**63
LONGEST_INDEXED = 200
"""Characters of `type` and `eventType` in their columns: PostgreSQL takes up to 2,700 bytes into a row of an index."""


class DocumentTable(ChangeLog):
    """The DocumentStore of both databases. `on_write`: is told of each collection that was written to, after the commit."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.on_write: list[Callable[[str], None]] = []
        self._dialect = database.dialect
        self._get, self._history = self._dialect.sql(_GET), self._dialect.sql(_HISTORY)

    async def prepare(self, collections: Sequence[str]) -> None:
        """Give each collection its clock."""
        async with self._database.transaction("clocks") as connection:
            for name in collections:
                await connection.execute(self._dialect.sql(_ADD_CLOCK), name)

    async def get(self, collection: str, identifier: str) -> Stored | None:
        rows = await self._database.fetch(self._get, collection, identifier)
        return Stored(*rows[0]) if rows else None

    async def history(self, collection: str, since: int, limit: int) -> Page:
        rows = await self._database.fetch(self._history, collection, since, limit)
        return Page([row[0] for row in rows], rows[-1][1] if rows else 0)

    async def search(self, collection: str, query: Query) -> Page:
        select = _select(collection, query, self._dialect)
        if select.rest:
            return Page(await self._scan(select, query))
        if select.thorough:
            return Page([body async for rows in self._database.stream(select.sql, *select.args) for (body,) in rows])
        rows = await self._database.fetch(select.sql, *select.args)
        return Page([row[0] for row in rows])

    async def _scan(self, select: Select, query: Query) -> list[str]:
        """Look for documents by what has no column, one chunk of rows after the other until there are enough."""
        found: list[str] = []
        skip = query.skip
        async with aclosing(self._database.stream(select.sql, *select.args)) as chunks:
            async for rows in chunks:
                matching = [body for (body,) in rows if _matches(body, select.rest)]
                found += matching[skip:]
                skip = max(0, skip - len(matching))
                if len(found) >= query.limit:
                    break
        return found[: query.limit]

    async def last_modified(self, fields: Mapping[str, str | None]) -> Mapping[str, int]:
        async with self._database.connection() as connection:
            return {name: ms for name, field in fields.items() if (ms := await self._latest(connection, name, field))}

    async def _latest(self, connection: Connection, collection: str, field: str | None) -> int:
        greatest = "(SELECT max({}) FROM documents WHERE collection = ?)"
        columns = ["srv_modified"] + ([_SORTABLE[field]] if field else [])
        sql = self._dialect.sql("SELECT " + ", ".join(map(greatest.format, columns)))
        (row,) = await connection.fetch(sql, *[collection] * len(columns))
        return max(timestamps.parse(value).ms for value in row if value) if row[0] else 0

    @asynccontextmanager
    async def writing(self, collection: str) -> AsyncIterator[Writer]:
        try:
            async with self._database.transaction(collection) as connection:
                writer = Writer(connection, self._dialect, collection)
                await writer.begin()
                yield writer
                await writer.end()
        finally:  # also when the caller went away during the commit
            for tell in self.on_write:
                tell(collection)

    async def prune(self, collection: str, before: int, limit: int) -> int:
        async with self.writing(collection) as writer:
            return await writer.prune(before, limit)

    async def version(self) -> tuple[str, str]:
        ((version,),) = await self._database.fetch(self._dialect.version_query)
        return self._dialect.name, version


class Writer:
    """The DocumentWriter: one collection, inside the transaction that holds its clock."""

    def __init__(self, connection: Connection, dialect: Dialect, collection: str) -> None:
        self._connection, self._dialect, self._collection = connection, dialect, collection
        self._first = self._next = 0

    async def begin(self) -> None:
        """Take the clock, and with it the right to write to the collection."""
        sql = self._sql(_TICK.format(greatest=self._dialect.greatest, bell=self._dialect.bell))
        ((self._first, *_),) = await self._connection.fetch(sql, time.time_ns() // 1_000_000, self._collection)
        self._next = self._first

    async def end(self) -> None:
        """Put the clock forward by what was taken beyond the first tick."""
        if self._next > self._first + 1:
            await self._connection.execute(self._sql(_SET_CLOCK), self._next - 1, self._collection)

    def tick(self) -> int:
        self._next += 1
        return self._next - 1

    async def find(self, identifier: str) -> Stored | None:
        rows = await self._connection.fetch(self._sql(_GET), self._collection, identifier)
        return _stored(rows[0]) if rows else None

    async def find_unidentified(self, field: str, value: object) -> Sequence[Stored]:
        sql = self._sql(_UNIDENTIFIED.format(column=_SORTABLE[field]))
        return [_stored(row) for row in await self._connection.fetch(sql, self._collection, value)]

    async def insert(self, document: Mapping[str, Any], *, identified: bool = True) -> None:
        await self._connection.execute(self._sql(_INSERT), self._collection, *_row(document, identified))

    async def replace(self, stored: Stored, document: Mapping[str, Any]) -> None:
        identified = stored.identified or document["identifier"] != stored.identifier
        await self._connection.execute(self._sql(_REPLACE), *_row(document, identified), stored.key)
        if document["identifier"] != stored.identifier:
            await self._bury(stored.identifier)

    async def remove(self, stored: Stored) -> None:
        await self._remove(stored.key, stored.identifier)

    async def _remove(self, key: int, identifier: str) -> None:
        await self._connection.execute(self._sql("DELETE FROM documents WHERE id = ?"), key)
        await self._bury(identifier)

    async def _bury(self, identifier: str) -> None:
        """Leave a tombstone: there is no document of that name any more."""
        await self._connection.execute(self._sql(BURY), self._collection, self.tick(), identifier)

    async def prune(self, before: int, limit: int) -> int:
        """Remove up to `limit` documents older than `before` (ms): by date, else created_at, else srvCreated."""
        age = {"date": before, "created_at": timestamps.iso(before), "srv_created": before}
        unknown, old = "", list[Row]()
        for column, bound in age.items():
            where = f"collection = ?{unknown} AND {column} < ?"
            sql = f"SELECT id, identifier FROM documents WHERE {where} ORDER BY {column} NULLS FIRST LIMIT ?"
            old += await self._connection.fetch(self._sql(sql), self._collection, bound, limit - len(old))
            unknown += f" AND {column} IS NULL"
        for key, identifier in old:
            await self._remove(key, identifier)
        return len(old)

    def _sql(self, text: str) -> str:
        return self._dialect.sql(text)


def _stored(row: Row) -> Stored:
    return Stored(*row)


def _row(document: Mapping[str, Any], identified: bool) -> tuple[Any, ...]:
    """The values of _COLUMNS for a document."""
    return (
        document["identifier"],
        identified,
        is_valid(document),
        document["srvModified"],
        document["srvCreated"],
        document.get("date"),
        _text(document.get("created_at")),
        *(_text(document.get(name), LONGEST_INDEXED) for name in _CUT),
        orjson.dumps(document).decode(),
    )


def _text(value: object, longest: int | None = None) -> str | None:
    return value[:longest] if isinstance(value, str) else None


def _matches(body: str, filters: Sequence[Filter]) -> bool:
    document: Document = orjson.loads(body)
    return all(condition.matches(document) for condition in filters)


class Select(NamedTuple):
    """A query as a statement. `rest`: the filters that no column can decide; then the statement is without the window.

    `thorough`: every document of the collection is looked at.
    """

    sql: str
    args: tuple[Any, ...]
    rest: tuple[Filter, ...]
    thorough: bool


@lru_cache(maxsize=512)
def _select(collection: str, query: Query, dialect: Dialect) -> Select:
    """Compile a query; once for each Query object, and apps that poll share theirs."""
    conditions, args, rest = ["collection = ?", "valid"], list[Any]((collection,)), list[Filter]()
    for condition in query.filters:
        sql = _condition(condition, args)
        if sql:
            conditions.append(sql)
        else:
            rest.append(condition)
    order = _order(query.sort, dialect, args)
    sql = f"SELECT body FROM documents WHERE {' AND '.join(conditions)} ORDER BY {order}"
    if not rest:
        sql += " LIMIT ? OFFSET ?"
        args += [query.limit, query.skip]
    return Select(dialect.sql(sql), tuple(args), tuple(rest), query.sort is not None and not _has_column(query.sort))


def _has_column(sort: Sort) -> bool:
    return len(sort.path) == 1 and sort.path[0] in _SORTABLE


def _condition(condition: Filter, args: list[Any]) -> str | None:
    """A filter as SQL, its parameters added to `args`; None when no column can decide it."""
    (name, *deeper), value = condition.path, condition.value
    column = _NUMBERS.get(name) or _TEXTS.get(name)
    is_kind = _is_int64 if name in _NUMBERS else _is_short if name in _CUT else _is_text
    if column is None or deeper:
        return None
    if condition.operator in _COMPARISONS and is_kind(value):
        args.append(value)
        return f"{column} {_COMPARISONS[condition.operator]} ?"
    if condition.operator == "in" and value and all(map(is_kind, value)):
        args.extend(value)
        return f"{column} IN ({', '.join('?' * len(value))})"
    return None


def _is_int64(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and -_INT64 <= value < _INT64


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_short(value: object) -> bool:
    """Whether a text compares with the beginning of another as it does with the whole."""
    return isinstance(value, str) and len(value) < LONGEST_INDEXED


def _order(sort: Sort | None, dialect: Dialect, args: list[Any]) -> str:
    """ORDER BY for a query; ties go by identifier, which no two documents of a collection share."""
    direction = "DESC NULLS LAST" if sort and sort.descending else "ASC NULLS FIRST"
    plain = direction.split(maxsplit=1)[0]
    keys: list[str] = []
    if sort and sort.path in _UNIQUE:
        return f"{_UNIQUE[sort.path]} {plain}"
    if sort and _has_column(sort):
        keys = [f"{_SORTABLE[sort.path[0]]} {direction}"]
    elif sort:
        for expression, parameter in dialect.sort_keys(sort.path):
            keys.append(f"{expression} {direction}")
            args += [parameter] * expression.count("?")
    return ", ".join([*keys, f"identifier {plain}"])
