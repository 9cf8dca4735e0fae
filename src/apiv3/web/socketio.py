"""The endpoints of Socket.IO's URL: check polling requests and websockets, and pass them to the worker with their session."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any

from apiv3.live.engine import Engine, Refused, bad_method, bad_request, forbidden, unknown_transport, unsupported_version
from apiv3.live.packets import LARGEST, VERSIONS
from apiv3.live.workers import Workers
from apiv3.model.errors import TooManyRequests
from apiv3.security.credentials import Credential
from apiv3.security.ledger import Budget
from apiv3.web.bodies import Disconnected, read_body
from apiv3.web.calls import Call
from apiv3.web.origins import is_own
from apiv3.web.responses import Answer, json_answer
from apiv3.web.streams import departure
from apiv3.web.websockets import WebSocket

PATH = "/socket.io"
_TEXT = b"text/plain; charset=UTF-8"


class SocketIo:
    """The endpoints.

    `origins`: the origins whose pages may connect, besides this server's own. `live`: the budget of live connections.
    `patience`: seconds in which a client must send a payload. `bodies`: the budget of bytes for request bodies.
    """

    def __init__(
        self, engine: Engine, workers: Workers, origins: Sequence[str], live: Budget, patience: float, bodies: Budget
    ) -> None:
        self._engine, self._workers, self._origins = engine, workers, frozenset(origins)
        self._live = live
        self._patience, self._bodies = patience, bodies

    async def poll(self, call: Call) -> Answer:
        """Open a Socket.IO session, or wait for its next messages (long polling)."""
        try:
            sid = self._check(call, "polling")
            if call.method != "GET":
                raise bad_method()
            if sid is None:
                payload = await self._engine.open(_version(call), call.address, ["websocket"], _session(call)).poll()
            else:
                payload = await _unless_gone(call, self._workers.of(sid).poll(sid))
        except Refused as error:
            return _refusal(error)
        return Answer(200, payload.encode(), _TEXT)

    async def post(self, call: Call) -> Answer:
        """Send messages of a Socket.IO session (long polling)."""
        try:
            sid = self._check(call, "polling")
            if sid is None:
                raise bad_method()
            body = await read_body(call, LARGEST, self._patience, self._bodies)
            await self._workers.of(sid).post(sid, _decoded(body))
        except Refused as error:
            return _refusal(error)
        return Answer(200, b"ok", _TEXT)

    async def talk(self, call: Call, socket: WebSocket) -> Answer:
        """Serve a websocket until it ends. Raises TooManyRequests when the address has too many live connections."""
        owner = ("websocket", call.origin.place)
        if not self._live.take(owner):
            raise TooManyRequests
        try:
            await self._talk(call, socket)
        except Refused as error:
            return _refusal(error)
        finally:
            self._live.give(owner)
        return Answer(101)

    async def _talk(self, call: Call, socket: WebSocket) -> None:
        sid = self._check(call, "websocket")
        if sid is not None:
            await self._workers.of(sid).upgrade(sid, socket)
            return
        session = self._engine.open(_version(call), call.address, (), _session(call))
        try:
            await socket.accept()
            await session.carry(socket)
        finally:
            session.close()

    def _check(self, call: Call, transport: str) -> str | None:
        """Return the id of the session, None for a request to open one. Raises Refused, BadRequest."""
        if not self._is_welcome(call):
            raise forbidden()
        if call.query.one("transport") != transport:
            raise unknown_transport()
        if call.query.all("j"):
            raise bad_request("JSONP is not supported")
        return call.query.one("sid")

    def _is_welcome(self, call: Call) -> bool:
        """Whether the page that sends the request may connect, by the header Origin. CORS does not stop browsers from opening
        websockets (RFC 6455, section 10.2).
        """
        origin = call.header(b"origin")
        if origin is None or "*" in self._origins or origin.lower() in self._origins:
            return True
        return is_own(origin, call.headers, proxied=call.is_proxied)


async def _unless_gone(call: Call, work: Coroutine[Any, Any, str]) -> str:
    """Return the result of `work`. Raises Disconnected when the client disconnects before, and cancels `work`."""
    tasks = asyncio.create_task(work), asyncio.create_task(departure(call.receive))
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if tasks[0].done():
            return tasks[0].result()
        raise Disconnected
    finally:
        for task in tasks:
            task.cancel()


def _session(call: Call) -> Credential | None:
    """Return the session of the person whose page connects. Pages of other sites cannot use it, even welcome ones."""
    value = None if call.is_foreign else call.session
    return None if value is None else Credential(value, "session", call.address)


def _version(call: Call) -> int:
    try:
        return VERSIONS[call.query.one("EIO") or ""]
    except KeyError:
        raise unsupported_version() from None


def _decoded(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError:
        raise bad_request("Malformed, or binary") from None


def _refusal(error: Refused) -> Answer:
    return json_answer({"code": error.code, "message": str(error)}, error.status)
