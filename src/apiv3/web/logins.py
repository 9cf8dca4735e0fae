"""The Login channel as server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html).

An event's id is its position, as in `5f1c0e9ab37d2468.1795359945351`. A client that reconnects with it continues after it.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing

from apiv3.live.logins import LoginChannel
from apiv3.model.logins import Event, Position, Snapshot
from apiv3.security.demands import LOGINS
from apiv3.security.lasting import LastingRights
from apiv3.web.calls import Call
from apiv3.web.events import ALIVE, CHUNK, MEDIA_TYPE, UNBUFFERED
from apiv3.web.responses import Answer

_HELLO = b"retry: 1000\n\n"
"""The start of every stream: the delay of a reconnect in ms."""
_ID = re.compile(r"([0-9a-f]{1,64})\.(\d{1,15})", re.ASCII)


class Logins:
    """The endpoint /api/v3/logins/events."""

    def __init__(self, channel: LoginChannel, rights: LastingRights) -> None:
        self._channel, self._rights = channel, rights

    async def stream(self, call: Call) -> Answer:
        """Stream who signs in and out, and with what rights, as server-sent events."""
        begin = parse_id(call.header(b"last-event-id") or "")
        return Answer(200, b"", MEDIA_TYPE, UNBUFFERED, self._events(call, begin))

    async def _events(self, call: Call, begin: Position | None) -> AsyncGenerator[bytes, None]:
        async with self._channel.follow(begin) as follower:
            with self._rights.hold(call.identity, [LOGINS], follower.close):
                yield _HELLO
                async with aclosing(aiter(follower)) as told:
                    async for each in told:
                        for piece in _pieces(each):
                            if follower.closed:  # the right to it may be lost since it was read, or while it is sent
                                return
                            yield piece


def _pieces(told: Snapshot | Sequence[Event]) -> Iterator[bytes]:
    """Yield what is told in pieces of about CHUNK bytes, each of which is sent before the next one is made."""
    chunk = bytearray()
    for text in _snapshot(told) if isinstance(told, Snapshot) else map(_event, told):
        chunk += text.encode()
        if len(chunk) > CHUNK:
            yield bytes(chunk)
            chunk.clear()
    yield bytes(chunk) or ALIVE


def _snapshot(told: Snapshot) -> Iterator[str]:
    yield f'id: {format_id(told.position)}\nevent: snapshot\ndata: {{"sequence":{told.position.sequence},"sessions":['
    for number, session in enumerate(told.sessions):
        yield f",{session}" if number else session
    yield "]}\n\n"


def _event(event: Event) -> str:
    return f"id: {format_id(event.position)}\nevent: {event.kind}\ndata: {event.body}\n\n"


def format_id(position: Position) -> str:
    """Return the id of an event."""
    return f"{position.epoch}.{position.sequence}"


def parse_id(text: str) -> Position | None:
    """Return the position in the id of an event. None for any other text, with which a client begins with a snapshot."""
    found = _ID.fullmatch(text)
    return None if found is None else Position(found[1], int(found[2]))
