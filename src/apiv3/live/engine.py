"""The Engine.IO sessions of this process: open, find and close them."""

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
from apiv3.security.credentials import Credential
from apiv3.security.ledger import Budget

_WORKER = 8
"""Characters at the start of a session's id that name its worker."""


class Refused(Exception):
    """A request that the engine refuses, with the protocol's `code` and message. `status`: of the HTTP answer."""

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
    """The sessions of this worker or another one, by their ids. All methods raise Refused."""

    async def poll(self, sid: str) -> str:
        """Wait for packets for the client, and return them as a payload."""

    async def post(self, sid: str, payload: str) -> None:
        """Handle a payload from the client."""

    async def upgrade(self, sid: str, wire: Wire) -> None:
        """Let the client change from polling to a websocket, and serve it until it ends."""


class Engine:
    """The sessions of this process. `live`: the budget of live connections."""

    def __init__(self, rules: Rules, live: Budget, namespaces: Mapping[str, Namespace]) -> None:
        self.worker = token_hex(_WORKER // 2)
        self._rules, self._namespaces = rules, namespaces
        self._live = live
        self._sessions: dict[str, Session] = {}

    def open(self, version: int, address: str, upgrades: Sequence[str] = (), credential: Credential | None = None) -> Session:
        """Open a session; its first packet is the handshake. Raises TooManyRequests.

        `upgrades`: the transports to offer. `credential`: that of the person whose page connects, if it has one.
        """
        owner = ("session", network(address))
        if not self._live.take(owner):
            raise TooManyRequests
        session = Session(self.worker + token_urlsafe(16), version, address, self._rules, upgrades)
        session.credential = credential
        self._sessions[session.sid] = session
        session.on_close.append(lambda: self._forget(session.sid, owner))
        Connection(session, self._namespaces, self._rules.patience)
        return session

    def _forget(self, sid: str, owner: Hashable) -> None:
        del self._sessions[sid]
        self._live.give(owner)

    def close(self) -> None:
        """Close all sessions: waiting polls return, websockets close."""
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
        """Close the session of a client that violates the protocol, and return the error to raise."""
        session.close()
        return bad_request(str(error).capitalize())


def worker_of(sid: str) -> str:
    """Return the name of the worker that has a session."""
    return sid[:_WORKER]
