"""Read request bodies within limits: the size and the time of each body, and the memory of all bodies together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from apiv3.formats.json import check_values, checked, load, parse_object
from apiv3.model import messages
from apiv3.model.documents import Document
from apiv3.model.errors import ApiError, BadRequest, RequestTimeout, ServerBusy, TooLarge, TooManyRequests, UnsupportedMediaType
from apiv3.security.ledger import Budget
from apiv3.turns import BODIES, Hold, apart
from apiv3.web.calls import Call
from apiv3.web.server.exchange import WHOLE

T = TypeVar("T")

AT_ONCE = 64 * 1024
"""Most bytes of a body that is parsed on the event loop; larger ones are parsed in a thread, see `apiv3.turns`."""


class Disconnected(Exception):
    """The client disconnected before its request was complete."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of request bodies.

    `size`: most bytes of a body with one document. `patience`: seconds in which the whole body must arrive. `bulk_size` and
    `bulk_items`: most bytes and documents of a body with many. `memory`: the budget of bytes for all bodies under way.
    """

    size: int
    patience: float
    bulk_size: int
    bulk_items: int
    memory: Budget


async def read_body(call: Call, size: int, patience: float, memory: Budget) -> bytes:
    """Read the whole body. Its share of `memory` is given back when the call ends (`call.on_end`).

    The memory for the whole body is taken before any of it is read, so that two requests cannot wait for each other.

    Raises TooLarge for more than `size` bytes, RequestTimeout after `patience` seconds, ServerBusy when no memory becomes free
    in time, UnsupportedMediaType for a compressed body, Disconnected.
    """
    if call.headers.get(b"content-encoding", b"identity").lower() not in (b"identity", b""):
        raise UnsupportedMediaType
    expected = _expected(call, size)
    if expected > size:
        raise _closing(TooLarge())
    place = call.origin.place
    try:
        await memory.wait(place, expected)
    except TooManyRequests as error:
        raise _closing(ServerBusy()) from error
    call.on_end = partial(memory.give, place, expected)
    if WHOLE in call.scope:
        body = await _collect(call, size)
    else:
        try:
            async with asyncio.timeout(patience):
                body = await _collect(call, size)
        except TimeoutError as error:
            raise _closing(RequestTimeout()) from error
    memory.give(place, expected - len(body))
    call.on_end = partial(memory.give, place, len(body))
    return body


def _expected(call: Call, size: int) -> int:
    """Return the length of the body in bytes by its headers; `size` for a chunked body, which has no Content-Length."""
    length = call.headers.get(b"content-length")
    if length is not None and length.isdigit():
        return int(length[:19])
    return size if b"transfer-encoding" in call.headers else 0


async def _collect(call: Call, most: int) -> bytes:
    chunks, size, more = [], 0, True
    while more:
        message = await call.receive()
        if message["type"] == "http.disconnect":
            raise Disconnected
        chunk, more = message.get("body", b""), message.get("more_body", False)
        size += len(chunk)
        if size > most:
            raise _closing(TooLarge())
        chunks.append(chunk)
    return b"".join(chunks)


def _closing(error: ApiError) -> ApiError:
    """Close the connection after this error, since the rest of the body is not read."""
    error.headers += (("Connection", "close"),)
    return error


async def read_object(call: Call, limits: Limits) -> Document:
    """Read the body as a JSON object that is not empty. Raises BadRequest and what `read_body` raises."""
    body = await read_body(call, limits.size, limits.patience, limits.memory)
    if len(body) <= AT_ONCE:
        return parse_object(body)
    return await _in_turn(call, body, partial(_large_object, body))


async def read_items(call: Call, limits: Limits) -> list[Document | ApiError]:
    """Read a JSON array or NDJSON of documents; a malformed document is replaced by the error that refuses it.

    Raises BadRequest, TooLarge when there are too many, and what `read_body` raises.
    """
    body = (await read_body(call, limits.bulk_size, limits.patience, limits.memory)).strip()
    if not body:
        raise BadRequest(messages.BAD_BODY)
    if len(body) <= AT_ONCE:
        return _items(body, limits)
    return await _in_turn(call, body, partial(_items, body, limits))


async def _in_turn(call: Call, body: bytes, parse: Callable[[], T]) -> T:
    """Parse a large body beside the event loop. Until the call ends, nobody parses more than may be in memory besides.

    Raises ServerBusy, and what `parse` raises.
    """
    caller = call.principal.name or ""
    async with BODIES.take(caller, len(body)) as turn:
        parsed = await apart(caller, parse)
        call.on_end = partial(_release, call.on_end, turn.keep())
    return parsed


def _release(before: Callable[[], None] | None, turn: Hold) -> None:
    if before is not None:
        before()
    turn.release()


def _large_object(body: bytes) -> Document:
    check_values(body)
    return parse_object(body)


def _items(body: bytes, limits: Limits) -> list[Document | ApiError]:
    check_values(body)
    is_array = body.startswith(b"[")
    items = load(body) if is_array else [line for line in body.splitlines() if line.strip()]
    if len(items) > limits.bulk_items:
        raise TooLarge(f"At most {limits.bulk_items} documents in one request")
    return [_item(checked if is_array else parse_object, item) for item in items]


def _item(parse: Callable[[Any], Document], item: Any) -> Document | ApiError:
    try:
        return parse(item)
    except BadRequest as error:
        return error
