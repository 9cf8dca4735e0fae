"""MongoDB's Extended JSON, as mongoexport writes it (https://www.mongodb.com/docs/manual/reference/mongodb-extended-json/)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from apiv3.formats.json import int64
from apiv3.model.documents import Document


def plain(document: Document) -> Document:
    """A document with plain values: `{"_id": {"$oid": "5f..."}}` is `{"_id": "5f..."}`. Raises ValueError.

    The document itself is none of those values, whatever its only field is called.
    """
    return {name: _plain(value) for name, value in document.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        [(name, inner)] = value.items()
        if name in _TYPES:
            return _TYPES[name](_plain(inner))
    return plain(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r:.40} must be a string")
    return value


def _integer(value: Any) -> int:
    return int64(str(value))


def _double(value: Any) -> float:
    number = float(value) if isinstance(value, str | int | float) else math.nan
    if not math.isfinite(number):
        raise ValueError(f"{value!r:.40} is no number of JSON")
    return number


def _date(value: Any) -> str | int:
    return value if isinstance(value, str) else _integer(value)


_TYPES: dict[str, Callable[[Any], Any]] = {
    "$oid": _text,
    "$numberLong": _integer,
    "$numberInt": _integer,
    "$numberDouble": _double,
    "$date": _date,
}
