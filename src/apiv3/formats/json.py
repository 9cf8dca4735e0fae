"""Parse JSON into documents that the databases and all output formats can represent without change."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

import orjson

from apiv3.model import messages
from apiv3.model.documents import Document
from apiv3.model.errors import BadRequest, TooLarge

DEEPEST = 100
"""Levels of nesting that a document may have. orjson writes up to 254 and SQLite reads up to 1,000."""

MOST_VALUES, MOST_CONTAINERS = 500_000, 250_000
"""Most values in one text, and most lists and objects among them. Each takes up to a hundred bytes of memory once parsed."""

_TEXTS = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_DIGITS = bytes.maketrans(b"123456789", b"000000000")
_LONG = b"0" * 19
"""An integer with this many digits may not fit into 64 bits. It is searched for after _DIGITS has made every digit a 0."""
_INT64 = 2**63


def parse_object(text: bytes) -> Document:
    """Parse a JSON object that the databases and all output formats can represent without change.

    Raises BadRequest for malformed JSON, anything but an object, an empty one, integers outside 64 bits, numbers that
    overflow, U+0000, lone surrogates, and nesting beyond DEEPEST.
    """
    value = load(text)
    return checked(value, b"\\u0000" in text, text.count(b"[") + text.count(b"{") > DEEPEST)


def load(text: bytes) -> Any:
    """Parse any JSON value whose numbers and texts can be represented without change. Raises BadRequest."""
    try:
        value = orjson.loads(text)
        if _LONG in text.translate(_DIGITS):  # orjson would turn it into a float
            value = json.loads(text, parse_int=int64)
    except (ValueError, RecursionError) as error:
        raise _bad(str(error)) from error
    return value


def check_values(text: bytes) -> None:
    """Raise TooLarge for a JSON text with so many values that parsing it would take many times its size in memory."""
    if _has_many_values([text]) and _has_many_values(_outside_texts(text)):
        raise TooLarge("The request body holds too many values")


def _outside_texts(text: bytes) -> Iterator[bytes]:
    """Count piece by piece, so that other threads can run in between."""
    at = 0
    for found in _TEXTS.finditer(text):
        yield text[at : found.start()]
        at = found.end()
    yield text[at:]


def _has_many_values(pieces: Iterable[bytes]) -> bool:
    containers = commas = 0
    for piece in pieces:
        containers += piece.count(b"[") + piece.count(b"{")
        commas += piece.count(b",")
        if containers > MOST_CONTAINERS or containers + commas > MOST_VALUES:
            return True
    return False


def checked(value: Any, may_hold_null: bool = True, may_be_deep: bool = True) -> Document:
    """Check that a value from `load` is a document, and return it. Raises BadRequest."""
    if not isinstance(value, dict) or not value:
        raise BadRequest(messages.BAD_BODY)
    if may_hold_null and any("\0" in text for text in _texts(value)):
        raise _bad("U+0000 is not allowed")
    if may_be_deep and _depth(value) > DEEPEST:
        raise _bad(f"it is nested more than {DEEPEST} levels deep")
    return value


def _bad(reason: str) -> BadRequest:
    error = BadRequest(messages.BAD_BODY)
    error.description = reason
    return error


def int64(text: str) -> int:
    """Parse an integer. Raises ValueError, also for one outside 64 bits."""
    value = int(text[:21])
    if len(text) > 20 or not -_INT64 <= value < _INT64:
        raise ValueError(f"the integer {text[:30]} does not fit into 64 bits")
    return value


def _children(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, list):
        yield from value


def _texts(value: Any) -> Iterator[str]:
    """Yield every text and every key in a JSON value at any depth, without recursion."""
    stack = [value]
    while stack:
        node = stack.pop()
        if isinstance(node, str):
            yield node
        elif isinstance(node, dict):
            yield from node
        stack.extend(_children(node))


def _depth(value: Any) -> int:
    level, depth = [value], 0
    while level := [child for node in level for child in _children(node)]:
        depth += 1
    return depth
