"""Answers as values, and how they go out: the JSON envelope, errors, headers."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Mapping
from typing import Any, NamedTuple

import orjson

from apiv3.model import timestamps
from apiv3.model.errors import ApiError
from apiv3.security.calls import Send

JSON = b"application/json; charset=utf-8"
Headers = tuple[tuple[bytes, bytes], ...]


class Answer(NamedTuple):
    """One response: status, body, media type, further headers. `stream`: instead of a body, one that comes bit by bit."""

    status: int
    body: bytes = b""
    media_type: bytes = JSON
    headers: Headers = ()
    stream: AsyncGenerator[bytes, None] | None = None


def json_answer(value: Any, status: int = 200, headers: Headers = ()) -> Answer:
    """Any JSON value as it is."""
    return Answer(status, orjson.dumps(value), JSON, headers)


def enveloped(fields: Mapping[str, Any], status: int = 200, headers: Headers = ()) -> Answer:
    """An object with the status in front, as every answer of /api/v3."""
    return json_answer({"status": status, **fields}, status, headers)


def result(body: str, headers: Headers = ()) -> Answer:
    """A JSON text that is ready, in the envelope: nothing is parsed or dumped again."""
    return Answer(200, f'{{"status":200,"result":{body}}}'.encode(), JSON, headers)


def failure(error: ApiError) -> Answer:
    """What a refused caller is told."""
    body: dict[str, Any] = {"status": error.status}
    if error.message is not None:
        body["message"] = error.message
    if error.description is not None:
        body["description"] = error.description
    headers = tuple((name.encode(), value.encode()) for name, value in error.headers)
    return json_answer(body, error.status, headers)


async def send_answer(send: Send, answer: Answer, headers: Headers, *, bodiless: bool) -> None:
    """Send it. `bodiless`: the answer to HEAD, which has all the headers of GET and no body.

    The date is ours: uvicorn's may be a second old, so that a `Last-Modified` could lie after it.
    """
    start = [(b"date", timestamps.http_date(int(time.time()))), *answer.headers, *headers]
    if answer.status not in (204, 304):
        start.append((b"content-length", str(len(answer.body)).encode()))
    if answer.body:
        start.append((b"content-type", answer.media_type))
    await send({"type": "http.response.start", "status": answer.status, "headers": start})
    await send({"type": "http.response.body", "body": b"" if bodiless else answer.body})
