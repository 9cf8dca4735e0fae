"""Changes as they happen, as server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html).

An event's id says how far the stream is in each collection, `entries=1795359945351,treatments=1795360030123`; whoever comes
back with it goes on after it. A number after `~` says up to where a follower that began with nothing need not hear of
removals, as long as that is further.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Mapping, Sequence

from apiv3.formats.changes import change_json
from apiv3.live.feed import Feed, Overrun, Subscription
from apiv3.model import messages, timestamps
from apiv3.model.changes import Change, Cursor
from apiv3.model.collections import Collection
from apiv3.model.errors import BadRequest, MissingPermission
from apiv3.security.lasting import LastingRights
from apiv3.security.permissions import Demand
from apiv3.web.calls import Call
from apiv3.web.responses import Answer, Headers

HEARTBEAT = 15.0
"""Seconds of silence after which a comment says that the stream is alive."""
CHUNK = 65_536
"""Bytes from which on what has gathered is sent."""

_MEDIA_TYPE = b"text/event-stream; charset=utf-8"
_HEADERS: Headers = ((b"x-accel-buffering", b"no"),)  # a proxy that gathers would hold events back
_HELLO = "retry: 1000\nid: {}\n\n"
"""The first thing said: when to come back, and from where on, should nothing have happened until then."""
_ALIVE = b":\n\n"
_TOO_SLOW = b": too slow\n\n"
_CURSOR = re.compile(r"([a-z][a-z0-9_]*)=(\d{1,15})(?:~(\d{1,15}))?", re.ASCII)


class Events:
    """The endpoint /api/v3/events."""

    def __init__(self, feed: Feed, collections: Mapping[str, Collection], rights: LastingRights) -> None:
        self._feed, self._rights = feed, rights
        self._demands = {name: Demand.listing(each) for name, each in collections.items()}

    async def stream(self, call: Call) -> Answer:
        """Changes as they happen, in order, as server-sent events."""
        names = self._names(call)
        resumed = parse_id(call.header(b"last-event-id") or call.query.one("lastEventId") or "")
        since = _since(call.query.one("since"))
        begin = await self._feed.cursors({name: resumed.get(name, since) for name in names})
        return Answer(200, b"", _MEDIA_TYPE, _HEADERS, self._events(call, begin))

    def _names(self, call: Call) -> Sequence[str]:
        """The collections that are asked for, else those that the caller may follow. Raises BadRequest, MissingPermission."""
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
                while not subscription.closed:
                    yield await _next(subscription)


async def _next(subscription: Subscription) -> bytes:
    """What to send next; nothing when the subscription is over."""
    try:
        async with asyncio.timeout(HEARTBEAT):
            await subscription.wait()
    except TimeoutError:
        return _ALIVE
    except Overrun:
        return _TOO_SLOW
    chunk = bytearray()
    for change in subscription.take():
        chunk += event(change, subscription.cursors)
        if len(chunk) > CHUNK:
            break
    return bytes(chunk)


def _since(text: str | None) -> int | None:
    """Where to begin in a collection of which the id says nothing, in ms; None: now. Raises BadRequest."""
    try:
        return None if text is None else timestamps.parse(text).ms
    except ValueError as error:
        raise BadRequest(messages.BAD_SINCE) from error


def event(change: Change, cursors: Mapping[str, Cursor]) -> bytes:
    """A change as an event; `cursors`: how far the follower is with it."""
    data = change_json(change, dates_removals=True)
    return f"id: {format_id(cursors)}\nevent: {change.kind}\ndata: {data}\n\n".encode()


def format_id(cursors: Mapping[str, Cursor]) -> str:
    return ",".join(f"{name}={_format(cursor)}" for name, cursor in cursors.items())


def _format(cursor: Cursor) -> str:
    return f"{cursor.position}~{cursor.removals}" if cursor.removals > cursor.position else str(cursor.position)


def parse_id(text: str) -> Mapping[str, Cursor]:
    """The cursors of an id. Raises BadRequest."""
    cursors = {}
    for part in text.split(",") if text else ():
        found = _CURSOR.fullmatch(part)
        if found is None or found[1] in cursors:
            raise BadRequest("Bad Last-Event-ID")
        cursors[found[1]] = Cursor(int(found[2]), int(found[3] or 0))
    return cursors
