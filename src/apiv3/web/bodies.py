"""Request bodies: read within bounds, and parsed into what every part of the server can carry unchanged."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from apiv3.model.documents import Document
from apiv3.model.errors import ApiError, BadRequest, RequestTimeout, TooLarge, UnsupportedMediaType
from apiv3.security.calls import Call

DEEPEST = 100
"""Levels of nesting in a document: orjson writes 254, SQLite reads 1,000; no app comes near."""

_LONG_INTEGER = re.compile(rb"\d{19}")
_INT64 = 2**63


class Disconnected(Exception):
    """The client went away before its request was complete."""


@dataclass(frozen=True, slots=True)
class Limits:
    """`size`: bytes of a body. `patience`: seconds for the whole of it. `bulk_size`, `bulk_items`: bytes and documents of a
    body that holds many.
    """

    size: int
    patience: float
    bulk_size: int
    bulk_items: int


async def read_body(call: Call, size: int, patience: float) -> bytes:
    """The whole body. Raises TooLarge, RequestTimeout, UnsupportedMediaType, Disconnected."""
    if call.headers.get(b"content-encoding", b"identity") != b"identity":
        raise UnsupportedMediaType
    length = call.headers.get(b"content-length", b"0")
    if length.isdigit() and int(length[:19]) > size:
        raise _closing(TooLarge)
    try:
        async with asyncio.timeout(patience):
            return await _collect(call, size)
    except TimeoutError as error:
        raise _closing(RequestTimeout) from error


async def _collect(call: Call, most: int) -> bytes:
    chunks, size, more = [], 0, True
    while more:
        message = await call.receive()
        if message["type"] == "http.disconnect":
            raise Disconnected
        chunk, more = message.get("body", b""), message.get("more_body", False)
        size += len(chunk)
        if size > most:
            raise _closing(TooLarge)
        chunks.append(chunk)
    return b"".join(chunks)


def _closing(kind: type[ApiError]) -> ApiError:
    """The rest of the body is still on its way: the connection is of no more use."""
    return kind(headers=(("Connection", "close"),))


async def read_object(call: Call, limits: Limits) -> Document:
    """The body as a JSON object that is not empty. Raises BadRequest and what `read_body` raises."""
    return parse_object(await read_body(call, limits.size, limits.patience))


async def read_items(call: Call, limits: Limits) -> list[Document | ApiError]:
    """The documents of a body that is a JSON array or NDJSON; in the place of a malformed one, why it is.

    Raises BadRequest, TooLarge when there are too many, and what `read_body` raises.
    """
    body = (await read_body(call, limits.bulk_size, limits.patience)).strip()
    if not body:
        raise BadRequest("Bad or missing request body")
    is_array = body.startswith(b"[")
    items = _load(body) if is_array else [line for line in body.splitlines() if line.strip()]
    if len(items) > limits.bulk_items:
        raise TooLarge(f"At most {limits.bulk_items} documents in one request")
    return [_item(_checked if is_array else parse_object, item) for item in items]


def _item(parse: Callable[[Any], Document], item: Any) -> Document | ApiError:
    try:
        return parse(item)
    except BadRequest as error:
        return error


def parse_object(body: bytes) -> Document:
    """A JSON object that every part of the server can carry unchanged.

    Raises BadRequest for malformed JSON, anything but an object, an empty one, integers outside 64 bits, numbers that
    overflow, U+0000, lone surrogates, and nesting beyond DEEPEST.
    """
    value = _load(body)
    return _checked(value, b"\\u0000" in body, body.count(b"[") + body.count(b"{") > DEEPEST)


def _load(body: bytes) -> Any:
    """Any JSON value whose numbers and texts the server can carry unchanged. Raises BadRequest."""
    try:
        value = orjson.loads(body)
        if _LONG_INTEGER.search(body):  # orjson would turn a long integer into a float
            value = json.loads(body, parse_int=_int64)
    except (ValueError, RecursionError) as error:
        raise _bad_body(str(error)) from error
    return value


def _checked(value: Any, may_hold_null: bool = True, may_be_deep: bool = True) -> Document:
    if not isinstance(value, dict) or not value:
        raise BadRequest("Bad or missing request body")
    if may_hold_null and any("\0" in text for text in _texts(value)):
        raise _bad_body("U+0000 is not allowed")
    if may_be_deep and _depth(value) > DEEPEST:
        raise _bad_body(f"it is nested more than {DEEPEST} levels deep")
    return value


def _bad_body(reason: str) -> BadRequest:
    error = BadRequest("Bad or missing request body")
    error.description = reason
    return error


def _int64(text: str) -> int:
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
    """Every text and every key in a JSON value, however deep; without recursion."""
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
