"""Compile queries to SQL. Filters on columns go into the statement; the caller must apply all others."""

from __future__ import annotations

from typing import Any, NamedTuple

from apiv3.model.queries import Filter, Query, Sort
from apiv3.storage.dialects import Dialect

LISTED = "SELECT 1 FROM documents WHERE collection = ? AND listed LIMIT 1"
_NUMBERS = {"date": "date", "srvModified": "srv_modified", "srvCreated": "srv_created"}
_TEXTS = {"identifier": "identifier", "created_at": "created_at", "type": "type", "eventType": "event_type"}
SORTABLE = _NUMBERS | {"identifier": "identifier", "created_at": "created_at"}
_UNIQUE = {("identifier",): "identifier", ("srvModified",): "srv_modified"}  # without nulls and ties
CUT = ("type", "eventType")
_COMPARISONS = {"eq": "=", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
_INT64 = 2**63
LONGEST_INDEXED = 200
"""Characters of `type` and `eventType` that are stored in their columns; an index row of PostgreSQL holds 2,700 bytes."""


FEW = 20
"""Most choices of a filter that are passed as a parameter each: databases plan better when they know the number."""


class Select(NamedTuple):
    """A query as SQL statements.

    `quick`: a statement that may return the whole result at once; None if there is none. `sql`: the statement to stream, which
    works for any result. `args`: the parameters of both. `rest`: the filters that no column can decide; then the statements
    have no LIMIT and OFFSET. `unless_listed`: a filter on `type` or `eventType` uses their columns, which cannot represent
    lists; so the statement finds nothing if any document of the collection has a list there.
    """

    quick: str | None
    sql: str
    args: tuple[Any, ...]
    rest: tuple[Filter, ...]
    unless_listed: bool


def select(collection: str, query: Query, dialect: Dialect, *, into_lists: bool = False) -> Select:
    """Compile a query, once for each Query object; the same requests share one. `into_lists`: do not use the columns of `type`
    and `eventType`, see `Select.unless_listed`.
    """
    key = collection, dialect, into_lists
    made: Select | None = query.compiled.get(key)
    if made is None:
        made = query.compiled[key] = _compile(collection, query, dialect, into_lists)
    return made


def _compile(collection: str, query: Query, dialect: Dialect, into_lists: bool) -> Select:
    conditions, args, rest = ["collection = ?", "valid"], list[Any]((collection,)), list[Filter]()
    unless_listed = False
    for condition in query.filters:
        on_texts = condition.path[0] in CUT
        sql = None if on_texts and into_lists else _condition(condition, args, dialect)
        if sql:
            conditions.append(sql)
            unless_listed |= on_texts
        else:
            rest.append(condition)
    if unless_listed:
        conditions.append(f"NOT EXISTS ({LISTED})")
        args.append(collection)
    order = _order(query.sort, dialect, args)
    sql = f"SELECT body, id FROM documents WHERE {' AND '.join(conditions)} ORDER BY {order}"
    if not rest:
        sql += " LIMIT ? OFFSET ?"
        args += [query.limit, query.skip]
    thorough = query.sort is not None and not _has_column(query.sort)
    quick = None if rest or thorough else dialect.sql(dialect.joined(sql))
    return Select(quick, dialect.sql(dialect.streamed(sql)), tuple(args), tuple(rest), unless_listed)


def _has_column(sort: Sort) -> bool:
    return len(sort.path) == 1 and sort.path[0] in SORTABLE


def _condition(condition: Filter, args: list[Any], dialect: Dialect) -> str | None:
    """Return a filter as SQL and add its parameters to `args`; None when no column can decide it."""
    (name, *deeper), value = condition.path, condition.value
    column = _NUMBERS.get(name) or _TEXTS.get(name)
    is_kind = _is_int64 if name in _NUMBERS else _is_short if name in CUT else _is_text
    if column is None or deeper:
        return None
    if condition.operator in _COMPARISONS and is_kind(value):
        args.append(value)
        return f"{column} {_COMPARISONS[condition.operator]} ?"
    if condition.operator == "in" and value and all(map(is_kind, value)):
        if len(value) > FEW:
            among, parameter = dialect.among(column, value)
            args.append(parameter)
            return among
        args.extend(value)
        return f"{column} IN ({', '.join('?' * len(value))})"
    return None


def _is_int64(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and -_INT64 <= value < _INT64


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_short(value: object) -> bool:
    """Whether comparing with a text gives the same result for the stored beginning of a text as for the whole text."""
    return isinstance(value, str) and len(value) < LONGEST_INDEXED


def _order(sort: Sort | None, dialect: Dialect, args: list[Any]) -> str:
    """Return the ORDER BY of a query, and add its parameters to `args`. Ties are sorted by identifier, which is unique."""
    direction = "DESC NULLS LAST" if sort and sort.descending else "ASC NULLS FIRST"
    plain = direction.split(maxsplit=1)[0]
    keys: list[str] = []
    if sort and sort.path in _UNIQUE:
        return f"{_UNIQUE[sort.path]} {plain}"
    if sort and _has_column(sort):
        keys = [f"{SORTABLE[sort.path[0]]} {direction}"]
    elif sort:
        for expression, parameter in dialect.sort_keys(sort.path):
            keys.append(f"{expression} {direction}")
            args += [parameter] * expression.count("?")
    return ", ".join([*keys, f"identifier {plain}"])
