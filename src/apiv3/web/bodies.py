"""Request bodies, read within bounds: on the size and the time of each, and on the memory of all of them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from apiv3.formats.json import check_values, checked, load, parse_object
from apiv3.model import messages
from apiv3.model.documents import Document
from apiv3.model.errors import ApiError, BadRequest, RequestTimeout, ServerBusy, TooLarge, UnsupportedMediaType
from apiv3.turns import apart
from apiv3.web.calls import Call

AT_ONCE = 64 * 1024
"""Bytes of a body that are parsed on the event loop; what is larger is parsed beside it, in turn."""


class Disconnected(Exception):
    """The client went away before its request was complete."""


@dataclass(frozen=True, slots=True)
class Limits:
    """`size`: bytes of a body. `patience`: seconds for the whole of it. `bulk_size`, `bulk_items`: bytes and documents of a
    body that holds many. `memory`: what all of them share.
    """

    size: int
    patience: float
    bulk_size: int
    bulk_items: int
    memory: BodyMemory


class BodyMemory:
    """What the bodies of all requests under way may take together, in bytes as they are sent.

    A request takes the size of its body before it reads any of it, so that no two can wait for each other. Who finds too
    little left waits: first come, first served. `most`: at least the size of the largest body. `patience`: seconds.
    """

    def __init__(self, most: int, patience: float) -> None:
        self._left, self._patience = most, patience
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    async def take(self, size: int) -> None:
        """Take `size` bytes; `give` has to follow. Raises ServerBusy."""
        if not size or (size <= self._left and not self._waiting):
            self._left -= size
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append((size, turn))
        try:
            async with asyncio.timeout(self._patience):
                await turn
        except BaseException as error:
            self._withdraw(size, turn)
            if isinstance(error, TimeoutError):
                raise _closing(ServerBusy()) from error
            raise

    def give(self, size: int) -> None:
        """Give back `size` bytes."""
        self._left += size
        while self._waiting and (self._waiting[0][1].cancelled() or self._waiting[0][0] <= self._left):
            wanted, turn = self._waiting.popleft()
            if not turn.cancelled():
                self._left -= wanted
                turn.set_result(None)

    def _withdraw(self, size: int, turn: asyncio.Future[None]) -> None:
        """Give up waiting; or, where the turn came in the same moment, give back what it brought."""
        if not turn.cancelled():
            self.give(size)
            return
        with suppress(ValueError):
            self._waiting.remove((size, turn))
        self.give(0)  # those behind may want less


async def read_body(call: Call, size: int, patience: float, memory: BodyMemory) -> bytes:
    """The whole body; its memory is given back when the call ends.

    Raises TooLarge, RequestTimeout, ServerBusy, UnsupportedMediaType, Disconnected.
    """
    if call.headers.get(b"content-encoding", b"identity").lower() not in (b"identity", b""):
        raise UnsupportedMediaType
    expected = _expected(call, size)
    if expected > size:
        raise _closing(TooLarge())
    await memory.take(expected)
    call.on_end = partial(memory.give, expected)
    try:
        async with asyncio.timeout(patience):
            body = await _collect(call, size)
    except TimeoutError as error:
        raise _closing(RequestTimeout()) from error
    memory.give(expected - len(body))
    call.on_end = partial(memory.give, len(body))
    return body


def _expected(call: Call, size: int) -> int:
    """Bytes of the body as the headers have it; `size` where they do not say."""
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
    """The rest of the body is still on its way: the connection is of no more use."""
    error.headers += (("Connection", "close"),)
    return error


async def read_object(call: Call, limits: Limits) -> Document:
    """The body as a JSON object that is not empty. Raises BadRequest and what `read_body` raises."""
    body = await read_body(call, limits.size, limits.patience, limits.memory)
    if len(body) <= AT_ONCE:
        return parse_object(body)
    return await apart(call.principal.name or "", partial(_large_object, body))


async def read_items(call: Call, limits: Limits) -> list[Document | ApiError]:
    """The documents of a body that is a JSON array or NDJSON; in the place of a malformed one, why it is.

    Raises BadRequest, TooLarge when there are too many, and what `read_body` raises.
    """
    body = (await read_body(call, limits.bulk_size, limits.patience, limits.memory)).strip()
    if not body:
        raise BadRequest(messages.BAD_BODY)
    if len(body) <= AT_ONCE:
        return _items(body, limits)
    return await apart(call.principal.name or "", partial(_items, body, limits))


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
