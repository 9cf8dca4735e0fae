"""Send changes as they happen, as server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html).

An event's id holds the position of the stream in each collection, as in `entries=1795359945351,treatments=1795360030123`. A
client that reconnects with this id continues after it. A second number, after `~`, is the `srvModified` up to which a client
that began without documents need not be told of removals; it is left out once the position has passed it.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence

from apiv3.formats.changes import change_json
from apiv3.live.feed import Feed, Overrun, Subscription
from apiv3.model import messages, timestamps
from apiv3.model.changes import Change, Cursor
from apiv3.model.collections import Collection
from apiv3.model.errors import BadRequest, MissingPermission, ServerBusy, StorageUnavailable
from apiv3.security.lasting import LastingRights
from apiv3.security.permissions import Demand
from apiv3.web.calls import Call
from apiv3.web.responses import Answer, Headers

HEARTBEAT = 15.0
"""Seconds without an event after which a comment is sent, to show that the stream is alive."""
CHUNK = 65_536
"""Bytes of events above which they are sent without collecting more."""

MEDIA_TYPE = b"text/event-stream; charset=utf-8"
UNBUFFERED: Headers = ((b"x-accel-buffering", b"no"),)  # a buffering proxy would hold events back
_HELLO = "retry: 1000\nid: {}\n\n"
"""The start of every stream: the delay of a reconnect in ms, and the id to continue from if no event follows."""
ALIVE = b":\n\n"
_TOO_SLOW = b": too slow\n\n"
_CURSOR = re.compile(r"([a-z][a-z0-9_]*)=(\d{1,15})(?:~(\d{1,15}))?", re.ASCII)


class Events:
    """The endpoint /api/v3/events."""

    def __init__(self, feed: Feed, collections: Mapping[str, Collection], rights: LastingRights) -> None:
        self._feed, self._rights = feed, rights
        self._demands = {name: Demand.listing(each) for name, each in collections.items()}

    async def stream(self, call: Call) -> Answer:
        """Stream changes as they happen, in order, as server-sent events."""
        names = self._names(call)
        resumed = parse_id(call.header(b"last-event-id") or call.query.one("lastEventId") or "")
        since = _since(call.query.one("since"))
        begin = await self._feed.cursors({name: resumed.get(name, since) for name in names})
        return Answer(200, b"", MEDIA_TYPE, UNBUFFERED, self._events(call, begin))

    def _names(self, call: Call) -> Sequence[str]:
        """Return the collections that the call asks for, by default all that the caller may follow.

        Raises BadRequest for an unknown collection, MissingPermission.
        """
        asked = call.query.one("collections")
        if asked is None:
            allowed = [name for name, demand in self._demands.items() if call.principal.allows(demand)]
            if not allowed:
                raise MissingPermission(next(iter(self._demands.values())).name)
            return allowed
        names = list(dict.fromkeys(asked.split(",")))
        for name in names:
            if name not in self._demands:
                raise BadRequest(f"Unknown collection in parameter collections; there are {', '.join(self._demands)}")
        for name in names:
            call.principal.demand(self._demands[name])
        return names

    async def _events(self, call: Call, begin: Mapping[str, Cursor]) -> AsyncGenerator[bytes, None]:
        demands = [self._demands[name] for name in begin]
        async with self._feed.subscribe(begin) as subscription:
            with self._rights.hold(call.identity, demands, subscription.close):
                yield _HELLO.format(format_id(begin)).encode()
                try:
                    while not subscription.closed:
                        chunk, large = await _next(subscription)
                        yield chunk
                        if large is not None:
                            async for piece in self._large(large, subscription.cursors, call.principal.name or ""):
                                yield piece
                except (Overrun, ServerBusy, StorageUnavailable):
                    yield _TOO_SLOW

    async def _large(self, change: Change, cursors: Mapping[str, Cursor], caller: str) -> AsyncIterator[bytes]:
        """Yield the event of a large document in pieces, each of which is sent before the next one is made."""
        found = await self._feed.large(change, caller)
        if found is None:
            return
        async with found.hold:
            start, _, end = event(change._replace(body="\0"), cursors).partition(b"\0")  # which JSON does not contain
            yield start
            for at in range(0, len(found.body), CHUNK):
                yield found.body[at : at + CHUNK]
            yield end


async def _next(subscription: Subscription) -> tuple[bytes, Change | None]:
    """Wait for changes and return the next bytes to send, and the large change that follows them, if there is one.

    Both are empty when the subscription has ended. Raises Overrun.
    """
    try:
        async with asyncio.timeout(HEARTBEAT):
            await subscription.wait()
    except TimeoutError:
        return ALIVE, None
    chunk = bytearray()
    for change in subscription.take():
        if change.is_large:
            return bytes(chunk), change
        chunk += event(change, subscription.cursors)
        if len(chunk) > CHUNK:
            break
    return bytes(chunk), None


def _since(text: str | None) -> int | None:
    """Return where to begin in collections that the id does not mention, in ms since 1970; None: now. Raises BadRequest."""
    try:
        return None if text is None else timestamps.parse(text).ms
    except ValueError as error:
        raise BadRequest(messages.BAD_SINCE) from error


def event(change: Change, cursors: Mapping[str, Cursor]) -> bytes:
    """Return a change as a server-sent event. `cursors`: the positions after this change, for the event's id."""
    data = change_json(change, dates_removals=True)
    return f"id: {format_id(cursors)}\nevent: {change.kind}\ndata: {data}\n\n".encode()


def format_id(cursors: Mapping[str, Cursor]) -> str:
    """Return the id of an event: collection -> cursor, as the module's docstring describes."""
    return ",".join(f"{name}={_format(cursor)}" for name, cursor in cursors.items())


def _format(cursor: Cursor) -> str:
    return f"{cursor.position}~{cursor.removals}" if cursor.removals > cursor.position else str(cursor.position)


def parse_id(text: str) -> Mapping[str, Cursor]:
    """Return the cursors in the id of an event, by collection. Raises BadRequest for a malformed id."""
    cursors = {}
    for part in text.split(",") if text else ():
        found = _CURSOR.fullmatch(part)
        if found is None or found[1] in cursors:
            raise BadRequest("Bad Last-Event-ID")
        cursors[found[1]] = Cursor(int(found[2]), int(found[3] or 0))
    return cursors
