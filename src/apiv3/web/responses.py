"""Answers as values, and how they go out: the JSON envelope, errors, headers."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any, NamedTuple

import orjson

from apiv3.model import timestamps
from apiv3.model.errors import ApiError
from apiv3.turns import Hold
from apiv3.web.calls import Send

JSON = b"application/json; charset=utf-8"
PIECE = 65_536
"""Bytes of a large body that are sent at a time, or a little more."""
Headers = tuple[tuple[bytes, bytes], ...]


class Pieces:
    """A large body, sent piece by piece as fast as the client takes it. `hold`: its memory, which is given back on the way."""

    def __init__(self, parts: deque[bytes], hold: Hold) -> None:
        self._parts, self._hold = parts, hold
        self.left = sum(map(len, parts))
        hold.shrink(self.left)

    def take(self) -> bytes:
        """The next piece."""
        piece, size = [], 0
        while self._parts and size < PIECE:
            piece.append(self._parts.popleft())
            size += len(piece[-1])
        self.left -= size
        self._hold.shrink(self.left)
        return b"".join(piece)

    def drain(self, work: Callable[[bytes], bytes]) -> deque[bytes]:
        """What becomes of the parts, which are gone then; empty ones left out. May run in a thread."""
        done = deque[bytes]()
        while self._parts:
            if part := work(self._parts.popleft()):
                done.append(part)
        return done

    def replaced(self, parts: deque[bytes]) -> Pieces:
        """Other parts in the memory of these, once they are drained."""
        return Pieces(parts, self._hold)

    def release(self) -> None:
        """Drop what was not sent."""
        self._parts.clear()
        self._hold.release()


class Answer(NamedTuple):
    """One response: status, body, media type, further headers.

    Instead of a body: `stream`, one that comes bit by bit; `pieces`, a large one.
    """

    status: int
    body: bytes = b""
    media_type: bytes = JSON
    headers: Headers = ()
    stream: AsyncGenerator[bytes, None] | None = None
    pieces: Pieces | None = None


def json_answer(value: Any, status: int = 200, headers: Headers = ()) -> Answer:
    """Any JSON value as it is."""
    return Answer(status, orjson.dumps(value), JSON, headers)


def enveloped(fields: Mapping[str, Any], status: int = 200, headers: Headers = ()) -> Answer:
    """An object with the status in front, as every answer of /api/v3."""
    return json_answer({"status": status, **fields}, status, headers)


def result(body: str, headers: Headers = ()) -> Answer:
    """A JSON text that is ready, in the envelope: nothing is parsed or dumped again."""
    return Answer(200, f'{{"status":200,"result":{body}}}'.encode(), JSON, headers)


def results(bodies: bytes, headers: Headers = ()) -> Answer:
    """The same with a list of JSON texts, commas between them."""
    return Answer(200, b'{"status":200,"result":[%b]}' % bodies, JSON, headers)


def failure(error: ApiError) -> Answer:
    """What a refused caller is told."""
    headers = tuple((name.lower().encode(), value.encode()) for name, value in error.headers)
    return json_answer(failure_fields(error), error.status, headers)


def failure_fields(error: ApiError) -> dict[str, Any]:
    """The same as an object."""
    texts = {"message": error.message, "description": error.description}
    return {"status": error.status} | {name: text for name, text in texts.items() if text is not None}


async def send_answer(send: Send, answer: Answer, headers: Headers, *, bodiless: bool) -> None:
    """Send it. `bodiless`: the answer to HEAD, which has all the headers of GET and no body.

    The date is ours: uvicorn's may be a second old, so that a `Last-Modified` could lie after it.
    """
    status, body, media_type, others, _, pieces = answer
    start = [(b"date", timestamps.http_date(int(time.time()))), *others, *headers]
    if status not in (204, 304):
        start.append((b"content-length", b"%d" % (pieces.left if pieces else len(body))))
    if body or status == 200:  # a table without a line is a table
        start.append((b"content-type", media_type))
    await send({"type": "http.response.start", "status": status, "headers": start})
    if pieces is None or bodiless:
        await send({"type": "http.response.body", "body": b"" if bodiless else body})
        return
    while pieces.left:
        piece = pieces.take()
        await send({"type": "http.response.body", "body": piece, "more_body": pieces.left > 0})
