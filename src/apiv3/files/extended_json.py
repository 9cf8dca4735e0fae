"""Read both versions of MongoDB's Extended JSON, as mongoexport and bsondump write it
(https://www.mongodb.com/docs/manual/reference/mongodb-extended-json/).
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any

from apiv3.formats.json import int64
from apiv3.model.documents import Document

_ABSENT = object()
"""Stands for `undefined`, which is left out of objects, as JavaScript's `JSON.stringify` does."""


def plain(document: Document) -> tuple[Document, list[str]]:
    """Return a document with plain values (`{"_id": {"$oid": "5f..."}}` becomes `{"_id": "5f..."}`), and notes about the
    values that JSON cannot represent, which become null. Raises ValueError.

    The document itself is never taken for an extended value, even if its only field has the name of one.
    """
    reading = _Reading()
    return reading.object(document, ""), reading.notes


class _Reading:
    """Converts the values of one document. `place`: the path of a value, with dots."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def object(self, value: Document, place: str) -> Document:
        found = {name: self._value(inner, f"{place}.{name}" if place else name) for name, inner in value.items()}
        return {name: inner for name, inner in found.items() if inner is not _ABSENT}

    def _value(self, value: Any, place: str) -> Any:
        if isinstance(value, list):
            found = [self._value(each, f"{place}.{number}") for number, each in enumerate(value)]
            return [None if each is _ABSENT else each for each in found]
        if not isinstance(value, dict):
            return value
        read = _TYPES.get(frozenset(value)) if len(value) <= 2 else None
        return self.object(value, place) if read is None else self._typed(read, value, place)

    def _typed(self, read: Callable[..., Any], value: Document, place: str) -> Any:
        try:
            return read(*(self._value(inner, place) for _, inner in sorted(value.items())))
        except _NoJson as error:
            self.notes.append(f"{place} is {error}, which JSON cannot say: stored as null")
            return None


class _NoJson(Exception):
    """A value that JSON cannot represent. The message is its name."""


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r:.40} must be a string")
    return value


def _integer(value: Any) -> int:
    try:
        return int64(str(value))
    except ValueError:
        raise ValueError(f"{value!r:.40} is no whole number of 64 bits") from None


def _double(value: Any) -> float:
    """Convert a `$numberDouble`. Raises _NoJson for NaN and the infinities."""
    try:
        number = float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else None
    except ValueError:
        number = None
    if number is None:
        raise ValueError(f"{value!r:.40} is no number")
    if not math.isfinite(number):
        raise _NoJson(str(value))
    return number


def _decimal(value: Any) -> int | float:
    """Convert a decimal: a whole number of up to 64 bits stays exact, any other becomes the nearest float."""
    try:
        number = Decimal(_text(value))
    except InvalidOperation:
        raise ValueError(f"{value!r:.40} is no number") from None
    if number.is_finite() and abs(number) < 2**63 and number == number.to_integral_value():
        return int(number)
    return _double(value)


def _date(value: Any) -> str | int:
    return value if isinstance(value, str) else _integer(value)


def _undefined(_value: Any) -> object:
    return _ABSENT


def _binary(value: Any, _kind: Any = None) -> str:
    """Return the bytes in base64, without their subtype."""
    text = value["base64"] if isinstance(value, dict) and value.keys() == {"base64", "subType"} else value
    try:
        base64.b64decode(_text(text), validate=True)
    except binascii.Error:
        raise ValueError(f"{text!r:.40} is no base64") from None
    return str(text)


def _timestamp(value: Any) -> int:
    """Convert a timestamp, which has whole seconds, to milliseconds. Drop its counter within the second."""
    if not isinstance(value, dict) or value.keys() != {"t", "i"}:
        raise ValueError(f"{value!r:.40} must have t and i")
    return _integer(value["t"]) * 1000


def _expression(value: Any) -> str:
    if not isinstance(value, dict) or value.keys() != {"pattern", "options"}:
        raise ValueError(f"{value!r:.40} must have pattern and options")
    return _old_expression(value["options"], value["pattern"])


def _old_expression(options: Any, pattern: Any) -> str:
    return f"/{_text(pattern)}/{_text(options)}"


def _code(value: Any, _scope: Any = None) -> str:
    return _text(value)


def _key(name: str) -> Callable[[Any], Any]:
    def refuse(_value: Any) -> Any:
        raise _NoJson(name)

    return refuse


# The keys are the field names of an extended value in alphabetical order. The values are passed in the same order.
_BY_NAMES: dict[str, Callable[..., Any]] = {
    "$oid": _text,
    "$uuid": _text,
    "$symbol": _text,
    "$numberLong": _integer,
    "$numberInt": _integer,
    "$numberDouble": _double,
    "$numberDecimal": _decimal,
    "$date": _date,
    "$undefined": _undefined,
    "$binary": _binary,
    "$binary $type": _binary,
    "$timestamp": _timestamp,
    "$regularExpression": _expression,
    "$options $regex": _old_expression,
    "$code": _code,
    "$code $scope": _code,
    "$minKey": _key("MinKey"),
    "$maxKey": _key("MaxKey"),
}
_TYPES = {frozenset(names.split()): read for names, read in _BY_NAMES.items()}
