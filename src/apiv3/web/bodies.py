"""Request bodies: read within bounds, and parsed into what every part of the server can carry unchanged."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
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
    """`size`: bytes of a body. `patience`: seconds for the whole of it."""

    size: int
    patience: float


async def read_body(call: Call, limits: Limits) -> bytes:
    """The whole body. Raises TooLarge, RequestTimeout, UnsupportedMediaType, Disconnected."""
    if call.headers.get(b"content-encoding", b"identity") != b"identity":
        raise UnsupportedMediaType
    length = call.headers.get(b"content-length", b"0")
    if length.isdigit() and int(length[:19]) > limits.size:
        raise _closing(TooLarge)
    try:
        async with asyncio.timeout(limits.patience):
            return await _collect(call, limits.size)
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
    return parse_object(await read_body(call, limits))


def parse_object(body: bytes) -> Document:
    """A JSON object that every part of the server can carry unchanged.

    Raises BadRequest for malformed JSON, anything but an object, an empty one, integers outside 64 bits, numbers that
    overflow, U+0000, lone surrogates, and nesting beyond DEEPEST.
    """
    value = parse_json(body)
    if not isinstance(value, dict) or not value:
        raise BadRequest("Bad or missing request body")
    return value


def parse_json(body: bytes) -> Any:
    """Any JSON value that the server can carry unchanged. Raises BadRequest."""
    try:
        value = orjson.loads(body)
        if _LONG_INTEGER.search(body):  # orjson would turn a long integer into a float
            value = json.loads(body, parse_int=_int64)
    except (ValueError, RecursionError) as error:
        raise _bad_body(str(error)) from error
    if b"\\u0000" in body and any("\0" in text for text in _texts(value)):
        raise _bad_body("U+0000 is not allowed")
    if body.count(b"[") + body.count(b"{") > DEEPEST and _depth(value) > DEEPEST:
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
