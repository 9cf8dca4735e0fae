"""The Engine.IO sessions of this process: opened, found, and closed."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from secrets import token_hex, token_urlsafe
from typing import Protocol

from apiv3.live.connections import Connection, Namespace
from apiv3.live.packets import ProtocolError
from apiv3.live.sessions import Rules, Session
from apiv3.live.wires import Wire
from apiv3.model.errors import TooManyRequests
from apiv3.security.addresses import network
from apiv3.security.ledger import Account

_WORKER = 8
"""Characters of a session's id that name the worker it is at."""


class Refused(Exception):
    """A request that the engine refuses, with the protocol's own `code` and message."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.status = 403 if code == 4 else 400


def unknown_transport() -> Refused:
    return Refused(0, "Transport unknown")


def unknown_session() -> Refused:
    return Refused(1, "Session ID unknown")


def bad_method() -> Refused:
    return Refused(2, "Bad handshake method")


def bad_request(reason: str = "Bad request") -> Refused:
    return Refused(3, reason)


def forbidden() -> Refused:
    return Refused(4, "Forbidden")


def unsupported_version() -> Refused:
    return Refused(5, "Unsupported protocol version")


class Sessions(Protocol):
    """Sessions by their ids, at this worker or at another one. All raise Refused."""

    async def poll(self, sid: str) -> str:
        """The payload of what is there for the client; waits for it."""

    async def post(self, sid: str, payload: str) -> None:
        """What the client sends."""

    async def upgrade(self, sid: str, wire: Wire) -> None:
        """A websocket beside the client's polling, until it ends."""


class Engine:
    """The sessions of this process. `live`: the account of live connections."""

    def __init__(self, rules: Rules, live: Account, namespaces: Mapping[str, Namespace]) -> None:
        self.worker = token_hex(_WORKER // 2)
        self._rules, self._namespaces = rules, namespaces
        self._live = live
        self._sessions: dict[str, Session] = {}

    def open(self, version: int, address: str, upgrades: Sequence[str] = ()) -> Session:
        """A new session, with the greeting waiting in it. `upgrades`: what its client may go on to. Raises TooManyRequests."""
        owner = ("session", network(address))
        if not self._live.take(owner):
            raise TooManyRequests
        session = Session(self.worker + token_urlsafe(16), version, address, self._rules, upgrades)
        self._sessions[session.sid] = session
        session.on_close.append(lambda: self._forget(session.sid, owner))
        Connection(session, self._namespaces, self._rules.patience)
        return session

    def _forget(self, sid: str, owner: Hashable) -> None:
        del self._sessions[sid]
        self._live.give(owner)

    def close(self) -> None:
        """End all sessions: polls return, websockets close."""
        for session in list(self._sessions.values()):
            session.close()

    async def poll(self, sid: str) -> str:
        session = self._find(sid)
        try:
            return await session.poll()
        except ProtocolError as error:
            raise self._break(session, error) from error

    async def post(self, sid: str, payload: str) -> None:
        session = self._find(sid)
        try:
            session.post(payload)
        except ProtocolError as error:
            raise self._break(session, error) from error

    async def upgrade(self, sid: str, wire: Wire) -> None:
        session = self._find(sid)
        try:
            await session.upgrade(wire)
        except ProtocolError as error:
            raise bad_request(str(error)) from error

    def _find(self, sid: str) -> Session:
        try:
            return self._sessions[sid]
        except KeyError:
            raise unknown_session() from None

    def _break(self, session: Session, error: ProtocolError) -> Refused:
        """Who does not keep to the protocol loses the session."""
        session.close()
        return bad_request(str(error).capitalize())


def worker_of(sid: str) -> str:
    """The worker at which a session is."""
    return sid[:_WORKER]
