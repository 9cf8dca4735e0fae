"""Follow a server's changes over HTTP. No change is lost or comes twice, even when the connection breaks."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import httpx
from httpx_sse import EventSource, connect_sse

from apiv3.client.errors import NoAnswer, Stranger
from apiv3.client.http import LATER, Server, Trust, refusal

PATH = "/api/v3/events"
SILENCE = 45.0
"""Seconds without a byte after which a connection counts as dead. A working server sends three heartbeats in that time."""
CONNECT_TIMEOUT = 10.0
"""Seconds that connecting may take, and sending the request."""
SHORTEST_PAUSE, LONGEST_PAUSE = 1.0, 30.0
"""Seconds between two attempts to connect. The pause grows with each attempt until data arrives."""

_LAST = 253_402_300_799_999
"""The end of the year 9999 in ms since 1970. No server sends a later time."""


class Event(NamedTuple):
    """A change. `kind`: create, update, delete or reset. `data`: JSON text. `id`: the position from which to continue."""

    kind: str
    data: str
    id: str


@dataclass
class Follower:
    """An iterator over events, which reconnects by itself. `after`: the id of the last event that the caller already has.

    `token`: an access token or a JWT, sent in a header. `since`: the time from which to begin, where there is no `after`, in
    any form that the server reads. `tell`: called with a short message when the connection is lost. `on_connect`: called
    after the first connection. `trust`: which servers to trust over TLS; True: those with a certificate of a known authority.
    """

    url: str
    token: str = field(repr=False)
    collections: Sequence[str] = ()
    since: str = ""
    after: str = ""
    tell: Callable[[str], None] = lambda _: None
    on_connect: Callable[[], None] = lambda: None
    trust: Trust = True
    _pause: float = field(default=0.0, init=False, repr=False)

    def __iter__(self) -> Iterator[Event]:
        """Yield events for ever. Raises Refused, and Unreachable if no connection was ever made or another program answers."""
        server = Server(self.url, self.token, trust=self.trust, timeout=httpx.Timeout(CONNECT_TIMEOUT, read=SILENCE))
        with server.client() as client:
            while True:
                yield from self._connection(server, client)

    def _connection(self, server: Server, client: httpx.Client) -> Iterator[Event]:
        """Yield the events of one connection until it is lost, then pause."""
        headers = server.headers()
        if self.after:
            headers["Last-Event-ID"] = self.after
        try:
            with server.failures(), connect_sse(client, "GET", PATH, params=self._parameters(), headers=headers) as source:
                self._check(source.response)
                yield from self._events(source)
            self.tell("the server ended the stream")
        except NoAnswer as error:
            if not self._pause:
                raise
            self.tell(f"the connection is lost ({error.reason})")
        time.sleep(self._pause)
        self._pause = min(2 * self._pause, LONGEST_PAUSE)

    def _events(self, source: EventSource) -> Iterator[Event]:
        if not self._pause:
            self.on_connect()
        self._pause = SHORTEST_PAUSE
        for event in source.iter_sse():
            self.after = event.id or self.after  # the first event has only an id, which is the position
            if event.event != "message":
                if not _is_change(event.event, event.data):
                    raise Stranger(self.url)
                yield Event(event.event, event.data, event.id)

    def _check(self, response: httpx.Response) -> None:
        if response.status_code in LATER:
            self._pause = max(self._pause, SHORTEST_PAUSE)
            raise httpx.StreamError(f"status {response.status_code}")
        if response.status_code != 200:
            response.read()
            raise refusal(response)

    def _parameters(self) -> Mapping[str, str]:
        parameters = {"collections": ",".join(self.collections), "since": self.since}
        return {name: value for name, value in parameters.items() if value}


def _is_change(kind: str, data: str) -> bool:
    """Return whether the event has the form of this server's: a change of a document with its time, or a reset."""
    try:
        match json.loads(data):
            case {"colName": str(), "doc": {"identifier": str(), "srvModified": int(modified)}}:
                return 0 <= modified <= _LAST
            case {"colName": str(), "identifier": str(), "srvModified": int(modified)}:
                return 0 <= modified <= _LAST
            case {"colName": str()}:
                return kind == "reset"
    except (ValueError, RecursionError):
        return False
    return False
