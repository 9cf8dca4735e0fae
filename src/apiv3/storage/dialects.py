"""The differences between the SQL of SQLite and of PostgreSQL."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson

from apiv3.model.queries import Path
from apiv3.storage.contracts import LARGE, SMALL

Row = Sequence[Any]
"""A row of a result: its columns by number."""


@lru_cache(maxsize=512)
def _numbered(sql: str) -> str:
    """Replace each `?` by `$1`, `$2`, ... None of our statements has a question mark inside a literal."""
    numbers = iter(range(1, sql.count("?") + 1))
    return re.sub(r"\?", lambda _: f"${next(numbers)}", sql)


@dataclass(frozen=True, eq=False)
class Dialect:
    """The SQL of one database."""

    name: str
    version_query: str
    size_query: str
    greatest: str
    """The name of the function that returns the greater of two numbers."""
    one_writer: bool
    """Whether a writing transaction locks the whole database, not just the rows that it touches."""
    remote: bool
    """Whether each query is a round trip to another process."""
    size: str
    """SQL for the number of bytes of the column `body`."""
    encoded: str
    """SQL for the column `body` in UTF-8."""
    shared: str = ""
    """SQL appended to a SELECT of rows that nobody may change until the end of the writing transaction."""
    bell: str = ""
    """SQL appended to the RETURNING of a clock's update, so that the commit notifies other processes of that clock."""

    @property
    def small_body(self) -> str:
        """SQL for the column `body`; NULL where the body is large."""
        return f"CASE WHEN {self.size} <= {LARGE} THEN body END AS body"

    def sql(self, text: str) -> str:
        """Translate a statement with `?` for its parameters to this database's syntax."""
        return text

    def joined(self, select: str, *others: str) -> str:  # noqa: ARG002
        """Rewrite a SELECT of bodies so that it may return several bodies joined with commas in one row, or NULL.

        If the bodies have more than SMALL bytes together, the statement fails, or its first row has NULL and another row
        follows. `others`: further columns; the last row holds the greatest value of each.
        """
        return select

    def streamed(self, select: str) -> str:
        """Rewrite a SELECT of bodies and keys for a stream, whose rows are read one by one."""
        return select

    def among(self, column: str, values: Collection[object]) -> tuple[str, object]:
        """Return the condition that a column has one of the values, and its single parameter."""
        raise NotImplementedError

    def sort_keys(self, path: Path) -> Sequence[tuple[str, str | None]]:
        """Return expressions that sort documents by a field without a column, each with its parameter, if it has one.

        They sort by type first (missing or null, number, text, object, list, boolean), then by value. All objects are equal,
        and so are all lists.
        """
        raise NotImplementedError


class Sqlite(Dialect):
    def joined(self, select: str, *others: str) -> str:
        # A row for each body would double the time. The LIMIT in the subquery makes SQLite keep the order. The keys are not
        # needed, and to read them takes a tenth of the time.
        columns = ["CAST(group_concat(body) AS BLOB)", *(f"max({other})" for other in others)]
        return f"SELECT {', '.join(columns)} FROM ({select.replace('SELECT body, id', 'SELECT body', 1)}) AS page"

    def streamed(self, select: str) -> str:
        return select.replace("SELECT body", f"SELECT {self.encoded}", 1)

    def among(self, column: str, values: Collection[object]) -> tuple[str, object]:
        return f"{column} IN (SELECT value FROM json_each(?))", orjson.dumps(list(values)).decode()

    def sort_keys(self, path: Path) -> Sequence[tuple[str, str | None]]:
        # SQLite compares names as they are written in the JSON text; a path cannot contain a quotation mark.
        where = "$" + "".join(f".{_quoted(name.replace(chr(34), ''))}" for name in path)
        kinds = "WHEN 'integer' THEN 1 WHEN 'real' THEN 1 WHEN 'text' THEN 2 WHEN 'object' THEN 3 WHEN 'array' THEN 4"
        return (
            (f"CASE json_type(body, ?) {kinds} WHEN 'true' THEN 5 WHEN 'false' THEN 5 ELSE 0 END", where),
            ("CASE WHEN json_type(body, ?) NOT IN ('object', 'array') THEN json_extract(body, ?) END", where),
        )


class Postgresql(Dialect):
    def joined(self, select: str, *others: str) -> str:
        # PostgreSQL knows the length of a text without reading it.
        body = f"CASE WHEN sum(octet_length(body)) OVER () <= {SMALL} THEN body END"
        return f"SELECT {', '.join([body, *others])} FROM ({select}) AS page"

    def streamed(self, select: str) -> str:
        # A large body is fetched with a query of its own, see postgresql.stream.
        return select.replace("SELECT body", f"SELECT {self.small_body}", 1)

    def among(self, column: str, values: Collection[object]) -> tuple[str, object]:
        return f"{column} = ANY(?)", list(values)

    def sql(self, text: str) -> str:
        return _numbered(text)

    def sort_keys(self, path: Path) -> Sequence[tuple[str, str | None]]:
        where = "strict $" + "".join(f".{_quoted(name)}" for name in path)  # strict: do not look into lists
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
"""The channel of PostgreSQL's notifications of writes; each carries the name of a collection."""
_NOTIFY = f", pg_notify('{CHANNEL}', name)::text"
SQLITE = Sqlite(
    name="sqlite",
    version_query="SELECT sqlite_version()",
    size_query="SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()",
    greatest="max",
    one_writer=True,
    remote=False,
    size="octet_length(body)" if sqlite3.sqlite_version_info >= (3, 43) else "length(CAST(body AS BLOB))",
    encoded="CAST(body AS BLOB)",
)
POSTGRESQL = Postgresql(
    name="postgresql",
    version_query="SELECT current_setting('server_version')",
    size_query="SELECT pg_database_size(current_database())",
    greatest="greatest",
    one_writer=False,
    remote=True,
    size="octet_length(body)",  # known without reading the text
    encoded="convert_to(body, 'UTF8')",
    shared=" FOR SHARE",
    bell=_NOTIFY,
)
