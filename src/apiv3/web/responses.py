"""Answers as values, and sending them: the JSON envelope, errors, headers."""

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
"""Least bytes of a large body that are sent at a time."""
Headers = tuple[tuple[bytes, bytes], ...]


class Pieces:
    """A large body, sent in pieces as fast as the client reads. `left`: bytes that are not sent yet.

    `parts`: the body. `hold`: its share of the memory for large answers, which is given back as the pieces are sent.
    """

    def __init__(self, parts: deque[bytes], hold: Hold) -> None:
        self._parts, self._hold, self._at = parts, hold, 0
        self.left = self._kept = sum(map(len, parts))
        hold.shrink(self.left)

    def take(self) -> bytes:
        """Remove and return the next piece; empty when nothing is left."""
        piece, size = [], 0
        while self._parts and size < PIECE:
            part = self._parts[0]
            piece.append(memoryview(part)[self._at : self._at + PIECE])
            size += len(piece[-1])
            self._at += len(piece[-1])
            if self._at == len(part):
                self._drop(self._parts.popleft())
        self.left -= size
        self._hold.shrink(self._kept)
        return b"".join(piece)

    def _drop(self, part: bytes) -> None:
        self._kept -= len(part)
        self._at = 0

    def drain(self, work: Callable[[bytes], bytes]) -> deque[bytes]:
        """Remove all parts and return the results of `work` for them, without empty ones. May run in a thread."""
        done = deque[bytes]()
        while self._parts:
            if part := work(self._parts.popleft()):
                done.append(part)
        return done

    def replaced(self, parts: deque[bytes]) -> Pieces:
        """Return pieces with other parts that use the same share of memory. Drain these first."""
        return Pieces(parts, self._hold)

    def release(self) -> None:
        """Drop what was not sent, and give back its memory."""
        self._parts.clear()
        self._hold.release()


class Answer(NamedTuple):
    """One response: status, body, media type, further headers.

    In place of `body`: `stream`, an endless one; or `pieces`, a large one, which must be released after sending.
    """

    status: int
    body: bytes = b""
    media_type: bytes = JSON
    headers: Headers = ()
    stream: AsyncGenerator[bytes, None] | None = None
    pieces: Pieces | None = None


def json_answer(value: Any, status: int = 200, headers: Headers = ()) -> Answer:
    """Return an answer with any JSON value, without an envelope."""
    return Answer(status, orjson.dumps(value), JSON, headers)


def enveloped(fields: Mapping[str, Any], status: int = 200, headers: Headers = ()) -> Answer:
    """Return an answer with an object that begins with `status`, as all JSON answers of /api/v3 do."""
    return json_answer({"status": status, **fields}, status, headers)


def result(body: str, headers: Headers = ()) -> Answer:
    """Return an answer with JSON text in the envelope. `body` is not parsed or serialized again."""
    return Answer(200, f'{{"status":200,"result":{body}}}'.encode(), JSON, headers)


def results(bodies: bytes, headers: Headers = ()) -> Answer:
    """Return an answer with a list in the envelope. `bodies`: JSON texts with commas between them."""
    return Answer(200, b'{"status":200,"result":[%b]}' % bodies, JSON, headers)


def failure(error: ApiError) -> Answer:
    """Return the answer for an error."""
    return json_answer(error.fields(), error.status, error_headers(error))


def error_headers(error: ApiError) -> Headers:
    """Return the headers that an error adds to its answer, such as Retry-After."""
    return tuple((name.lower().encode(), value.encode()) for name, value in error.headers)


async def send_answer(send: Send, answer: Answer, headers: Headers, *, bodiless: bool) -> None:
    """Send an answer. `headers`: headers in addition to its own. `bodiless`: send the headers only, for HEAD.

    The header Date is made here. uvicorn's may be up to a second old, so that `Last-Modified` could be later than it.
    """
    status, body, media_type, others, _, pieces = answer
    start = [(b"date", timestamps.http_date(int(time.time()))), *others, *headers]
    if status not in (204, 304):
        start.append((b"content-length", b"%d" % (pieces.left if pieces else len(body))))
    if body or status == 200:  # an empty CSV is still a CSV
        start.append((b"content-type", media_type))
    await send({"type": "http.response.start", "status": status, "headers": start})
    if pieces is None or bodiless:
        await send({"type": "http.response.body", "body": b"" if bodiless else body})
        return
    more = True
    while more:  # at least once: a large page may become a CSV without a line
        piece, more = pieces.take(), pieces.left > 0
        await send({"type": "http.response.body", "body": piece, "more_body": more})
