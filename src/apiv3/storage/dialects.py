"""What SQLite and PostgreSQL do differently, apart from how they are connected to."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson

from apiv3.model.queries import Path
from apiv3.storage.contracts import SMALL

LARGE = 64 * 1024
"""Bytes of a document that does not come in one row among others."""

Row = Sequence[Any]
"""A row that a query found: its columns by number."""


@lru_cache(maxsize=512)
def _numbered(sql: str) -> str:
    """`?` after `?` as `$1`, `$2` ...; no statement of ours has a question mark inside a literal."""
    numbers = iter(range(1, sql.count("?") + 1))
    return re.sub(r"\?", lambda _: f"${next(numbers)}", sql)


@dataclass(frozen=True, eq=False)
class Dialect:
    """SQL that one of the databases understands."""

    name: str
    version_query: str
    greatest: str
    """The function for the greater of two numbers."""
    one_writer: bool
    """Whether a writing transaction locks the whole database, not just the rows that it touches."""
    remote: bool
    """Whether each query is a round trip to a process of its own."""
    bell: str = ""
    """What a change of a clock returns besides, so that the commit tells other processes which one it was."""

    def sql(self, text: str) -> str:
        """A statement written with `?` for its parameters, as this database takes it."""
        return text

    def joined(self, select: str, *others: str) -> str:  # noqa: ARG002
        """A SELECT of bodies, which may join them as soon as it finds them: its rows hold any number of them each, or NULL.

        Where they have more than SMALL bytes in all, it fails, or its first row holds NULL and another one follows.

        `others`: what is wanted of the last row besides, each of them the greatest of all rows.
        """
        return select

    def streamed(self, select: str) -> str:
        """A SELECT of bodies and keys for a stream, whose rows are read one by one."""
        return select

    def among(self, column: str, values: Collection[object]) -> tuple[str, object]:
        """The condition that a column has one of any number of values, and its one parameter."""
        raise NotImplementedError

    def sort_keys(self, path: Path) -> Sequence[tuple[str, str | None]]:
        """Expressions that order documents by a field that has no column, each with its one parameter, if it has one.

        By kind first (missing or null, number, text, object, list, boolean), then by value; objects are all alike, and so are
        lists.
        """
        raise NotImplementedError


class Sqlite(Dialect):
    def joined(self, select: str, *others: str) -> str:
        # To make a row of each would take as long again as finding them. The order is kept, since there is a LIMIT.
        columns = ["CAST(group_concat(body) AS BLOB)", *(f"max({other})" for other in others)]
        return f"SELECT {', '.join(columns)} FROM ({select}) AS page"

    def streamed(self, select: str) -> str:
        return select.replace("SELECT body", "SELECT CAST(body AS BLOB)", 1)

    def among(self, column: str, values: Collection[object]) -> tuple[str, object]:
        return f"{column} IN (SELECT value FROM json_each(?))", orjson.dumps(list(values)).decode()

    def sort_keys(self, path: Path) -> Sequence[tuple[str, str | None]]:
        # As the name stands in the JSON text; one with a quotation mark in it cannot be written in a path.
        where = "$" + "".join(f".{_quoted(name.replace(chr(34), ''))}" for name in path)
        kinds = "WHEN 'integer' THEN 1 WHEN 'real' THEN 1 WHEN 'text' THEN 2 WHEN 'object' THEN 3 WHEN 'array' THEN 4"
        return (
            (f"CASE json_type(body, ?) {kinds} WHEN 'true' THEN 5 WHEN 'false' THEN 5 ELSE 0 END", where),
            ("CASE WHEN json_type(body, ?) NOT IN ('object', 'array') THEN json_extract(body, ?) END", where),
        )


class Postgresql(Dialect):
    def joined(self, select: str, *others: str) -> str:
        # The length of a text is known without reading it.
        body = f"CASE WHEN sum(octet_length(body)) OVER () <= {SMALL} THEN body END"
        return f"SELECT {', '.join([body, *others])} FROM ({select}) AS page"

    def streamed(self, select: str) -> str:
        # A large one is fetched by itself (see postgresql.stream).
        body = f"CASE WHEN octet_length(body) <= {LARGE} THEN body END AS body"
        return select.replace("SELECT body", f"SELECT {body}", 1)

    def among(self, column: str, values: Collection[object]) -> tuple[str, object]:
        return f"{column} = ANY(?)", list(values)

    def sql(self, text: str) -> str:
        return _numbered(text)

    def sort_keys(self, path: Path) -> Sequence[tuple[str, str | None]]:
        where = "strict $" + "".join(f".{_quoted(name)}" for name in path)  # strict: not into lists
        value = "jsonb_path_query_first(body::jsonb, ?::text::jsonpath, '{}', true)"
        kinds = "WHEN 'number' THEN 1 WHEN 'string' THEN 2 WHEN 'object' THEN 3 WHEN 'array' THEN 4 WHEN 'boolean' THEN 5"
        return (
            (f"CASE jsonb_typeof({value}) {kinds} ELSE 0 END", where),
            (f"CASE jsonb_typeof({value}) WHEN 'number' THEN ({value})::numeric END", where),
            (f"CASE WHEN jsonb_typeof({value}) IN ('string', 'boolean') THEN {value} #>> '{{}}' END COLLATE \"C\"", where),
        )


def _quoted(name: str) -> str:
    return orjson.dumps(name).decode()


CHANNEL = "apiv3"
"""Where PostgreSQL's notifications of writes go; each carries the name of a collection."""
_NOTIFY = f", pg_notify('{CHANNEL}', name)::text"
SQLITE = Sqlite("sqlite", "SELECT sqlite_version()", "max", one_writer=True, remote=False)
POSTGRESQL = Postgresql(
    "postgresql", "SELECT current_setting('server_version')", "greatest", one_writer=False, remote=True, bell=_NOTIFY
)
