"""Follow a server's changes over HTTP. Whatever happens to the connection, none is lost and none comes twice."""

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
"""Seconds without a byte after which a connection is dead: a server that lives says so three times in that time."""
CONNECT_TIMEOUT = 10.0
"""Seconds until there is a connection, and for sending the request."""
SHORTEST_PAUSE, LONGEST_PAUSE = 1.0, 30.0
"""Seconds between two attempts to connect: more each time, until something comes."""

_LAST = 253_402_300_799_999
"""ms since 1970 at the end of the year 9999: no server's time lies after it."""


class Event(NamedTuple):
    """`kind`: create, update, delete or reset. `data`: JSON text. `id`: where to go on after it."""

    kind: str
    data: str
    id: str


@dataclass
class Follower:
    """Iterate over it: it connects, and connects again. `after`: the id of the last event that is known already.

    `token`: an access token or a JWT, sent in a header. `since`: where to begin instead, in any form of time that the server
    takes. `tell`: is told in a few words when the connection is lost. `on_connect`: is called at the first
    connection. `trust`: which servers, over TLS; True: those with a certificate of a known authority.
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
        """Raises Refused; and Unreachable, when there never was a connection, or something else answers."""
        server = Server(self.url, self.token, trust=self.trust, timeout=httpx.Timeout(CONNECT_TIMEOUT, read=SILENCE))
        with server.client() as client:
            while True:
                yield from self._connection(server, client)

    def _connection(self, server: Server, client: httpx.Client) -> Iterator[Event]:
        """One connection, until it is lost, and the pause after it."""
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
            self.after = event.id or self.after  # the first one only says where we are
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
    """Whether it is an event of this server: what happened to a document and when, or that a collection begins anew."""
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
