"""Know who is signed in at a server, so that another service can let the same people and programs in without asking each time.

The list follows the server's Login channel. It holds digests of secrets, never a secret; what somebody may do is decided here,
by the same code as in the server.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import random
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import httpx
from httpx_sse import aconnect_sse

from apiv3.client.errors import Refused, Silent, Stranger, Unreachable
from apiv3.client.http import LATER, Server, Trust, refusal
from apiv3.security.permissions import Demand, Permission

PATH = "/api/v3/logins/events"
LIMIT = 45.0
"""Seconds of silence after which the list is no longer trusted. A working server sends three heartbeats in that time."""
CONNECT_TIMEOUT = 10.0
"""Seconds that connecting may take, and sending the request."""
SHORTEST_PAUSE, LONGEST_PAUSE = 0.5, 15.0
"""Seconds between two attempts to connect: they double each time, and a random part of them is waited."""
_INSTANCE = 3
"""Parts of a permission before the one for a single document."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Session:
    """Somebody who is in: a person on a browser, a program with a token, a device.

    `id`: a UUID, which is no credential. `digest`: the SHA-256 of the secret that is presented, in hex. `user`, `name`: whose
    it is. `via`: the way in, such as `password` or `oauth2`. `opened`, `expires`: ms since 1970; None: without an end.
    `granted`: what the user's roles allow. `ceilings`: each limits that.
    """

    id: str
    digest: str = field(repr=False)
    user: str
    name: str
    address: str
    via: str
    groups: tuple[str, ...]
    ous: tuple[str, ...]
    opened: int
    expires: int | None
    granted: tuple[Permission, ...] = field(repr=False)
    ceilings: tuple[tuple[Permission, ...], ...] = field(repr=False)

    @classmethod
    def of(cls, told: Any) -> Session:
        """Read a session as the channel tells it. Raises ValueError, TypeError, KeyError for anything else."""
        user, expires = told["user"], told["expires"]
        return cls(
            str(told["session"]),
            str(told["digest"]),
            str(user["_id"]),
            str(user["name"]),
            str(told["address"]),
            str(told["via"]),
            tuple(map(str, told["groups"])),
            tuple(map(str, told["ous"])),
            int(told["opened"]),
            None if expires is None else int(expires),
            _permissions(told["granted"]),
            tuple(map(_permissions, told["ceilings"])),
        )


class SessionList:
    """The sessions that are open at a server. Use it as an asynchronous context manager, in which it follows the channel.

    `url`, `token`: the server, and a token that may `admin:bus:logins:read`; see `Server`. `limit`: seconds of silence after
    which everybody is refused. `trust`: which servers to trust over TLS.
    """

    def __init__(self, url: str, token: str, *, limit: float = LIMIT, trust: Trust = True) -> None:
        timeout = httpx.Timeout(CONNECT_TIMEOUT, read=limit)
        self._server, self._limit = Server(url, token, trust=trust, timeout=timeout), limit
        self._by_id: dict[str, Session] = {}
        self._by_digest: dict[str, Session] = {}
        self._after = ""
        self._heard: float | None = None
        self._reason = "it has not been reached yet"
        self._pause = SHORTEST_PAUSE
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> SessionList:
        """Begin to follow the channel, whether the server can be reached now or later."""
        self._task = asyncio.create_task(self._follow(self._server.async_client()))
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    # --- what a service asks

    def find(self, secret: str) -> Session | None:
        """Return the session with this secret: the value of a cookie, a user token, a JWT or an access token of OAuth2.

        None when there is none. Raises Silent when the list may be out of date.
        """
        self._check()
        session = self._by_digest.get(hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest())
        return session if session is not None and not _is_over(session) else None

    def is_authorised(self, session: Session, permission: str) -> bool:
        """Whether a session is still open, and may do what a permission says, such as `api:entries:read`.

        `permission`: three parts, and perhaps the identifier of a document; it is taken literally, without wildcards. A session
        that was found earlier is looked up again, since its rights may have changed. Raises Silent.
        """
        self._check()
        current = self._by_id.get(session.id)
        if current is None or _is_over(current):
            return False
        demand = _demand(permission)
        return all(_satisfies(each, demand) for each in (current.granted, *current.ceilings))

    def _check(self) -> None:
        """Raise Silent unless the server was heard of within the limit."""
        if self._heard is None:
            raise Silent(self._server.url, self._reason)
        silence = time.monotonic() - self._heard
        if silence > self._limit:
            raise Silent(self._server.url, f"nothing was heard of it for {silence:.0f} seconds")

    # --- how it follows the channel

    async def _follow(self, client: httpx.AsyncClient) -> None:
        """Follow the channel until cancelled. Whatever goes wrong is tried again, later and later."""
        async with client:
            while True:
                try:
                    with self._server.failures():
                        await self._connection(client)
                    self._lost("it ended the stream")
                except Refused as error:
                    self._heard = None  # its token is good no more: the list is not for this service
                    self._lost(str(error))
                except Unreachable as error:
                    self._lost(str(error))
                await asyncio.sleep(self._pause * (0.5 + random.random() / 2))  # noqa: S311 (no secret)
                self._pause = min(2 * self._pause, LONGEST_PAUSE)

    def _lost(self, reason: str) -> None:
        if reason != self._reason:
            _log.warning("the list of sessions is not told of changes: %s", reason)
        self._reason = reason

    async def _connection(self, client: httpx.AsyncClient) -> None:
        headers = self._server.headers()
        if self._after:
            headers["Last-Event-ID"] = self._after
        async with aconnect_sse(client, "GET", PATH, headers=headers) as source:
            response = source.response
            if response.status_code in LATER:
                raise httpx.StreamError(f"status {response.status_code}")
            if response.status_code != 200:
                await response.aread()
                raise refusal(response)
            response.stream = _Noted(response.stream, self._note)
            async for event in source.aiter_sse():
                if event.event != "message":
                    self._take(event.event, event.data)
                    self._after = event.id
                    self._note()

    def _note(self) -> None:
        """Note that the server was heard of. Until the first snapshot there is nothing to trust."""
        if self._after:
            self._heard, self._pause, self._reason = time.monotonic(), SHORTEST_PAUSE, ""

    def _take(self, kind: str, data: str) -> None:
        """Take over an event. After one that cannot be read, the next connection begins with a snapshot. Raises Stranger."""
        try:
            told = json.loads(data)
            if kind == "snapshot":
                sessions = [Session.of(each) for each in told["sessions"]]
                self._by_id, self._by_digest = {}, {}
                for session in sessions:
                    self._put(session)
            elif kind in ("login", "change"):
                self._put(Session.of(told))
            elif kind == "logout":
                self._drop(str(told["session"]))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            self._after, self._heard = "", None
            raise Stranger(self._server.url) from None

    def _put(self, session: Session) -> None:
        self._drop(session.id)
        self._by_id[session.id] = self._by_digest[session.digest] = session

    def _drop(self, id: str) -> None:
        known = self._by_id.pop(id, None)
        if known is not None and self._by_digest.get(known.digest) is known:
            del self._by_digest[known.digest]


class _Noted(httpx.AsyncByteStream):
    """Calls `note` for every piece of a stream, except for a greeting: a server sends it before it tells what was missed."""

    def __init__(self, stream: Any, note: Callable[[], None]) -> None:
        self._stream, self._note = stream, note

    async def __aiter__(self) -> Any:
        greeted = False
        async for piece in self._stream:
            if greeted or b"\n:" in piece:  # a comment, which is a heartbeat
                self._note()
            greeted = True
            yield piece

    async def aclose(self) -> None:
        await self._stream.aclose()


def _is_over(session: Session) -> bool:
    return session.expires is not None and time.time_ns() // 1_000_000 >= session.expires


def _demand(permission: str) -> Demand:
    """Return what a permission asks for. Its first parts are compared in lower case, the identifier of a document as it is."""
    parts = permission.split(":", _INSTANCE)
    lower = tuple(part.lower() for part in parts[:_INSTANCE])
    return Demand(lower, parts[_INSTANCE] if len(parts) > _INSTANCE else None)


def _satisfies(permissions: Iterable[Permission], demand: Demand) -> bool:
    return any(permission.satisfies(demand) for permission in permissions)


def _permissions(texts: Any) -> tuple[Permission, ...]:
    """Read permissions. A malformed one grants nothing, as in the server."""
    found = []
    for text in texts:
        with suppress(ValueError):
            found.append(Permission.parse(text))
    return tuple(found)
