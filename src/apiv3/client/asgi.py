"""Let the people and programs who are signed in at a server into another ASGI application."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from apiv3.client.errors import Silent
from apiv3.client.sessions import Session, SessionList

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

SESSION = "apiv3.session"
"""Where an application finds the session in its scope."""
_COOKIES = [
    re.compile(rb"(?:^|;)[ \t]*" + name + rb"=([\w-]{43})[ \t]*(?=;|$)", re.ASCII) for name in (b"__Host-session", b"session")
]
"""The server's cookie of a session, as it is over TLS, where no other host can plant one; and on plain HTTP."""
_BEARER = re.compile(rb"bearer +([\x21-\x7e]{1,4096})", re.IGNORECASE)
_PHRASES = {401: "unauthorized", 403: "forbidden", 503: "silent"}


class _Refusal(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


class SessionMiddleware:
    """Lets requests and websockets through to `app` that present the secret of an open session, and refuses all others.

    The secret is in the header Authorization, as a bearer, or in the cookie of the session. A refusal is JSON with `status`,
    `reason` and `message`: 401 without a session, 403 without the permission, 503 while the list of sessions is out of date.
    `permission`: what every request demands besides; empty: any session will do.

    The list follows its channel as long as the application's lifespan lasts.
    """

    def __init__(self, app: Application, sessions: SessionList, permission: str = "") -> None:
        self._app, self._sessions, self._permission = app, sessions, permission

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            async with self._sessions:
                await self._app(scope, receive, send)
            return
        try:
            scope[SESSION] = self._session(scope)
        except _Refusal as refusal:
            await _refuse(scope, refusal, receive, send)
            return
        await self._app(scope, receive, send)

    def _session(self, scope: Scope) -> Session:
        """Return the session of a request. Raises _Refusal."""
        try:
            secret = _secret(scope["headers"])
            session = None if secret is None else self._sessions.find(secret)
            if session is None:
                raise _Refusal(401, "Missing or bad credential: sign in, or send a token that is good")
            if self._permission and not self._sessions.is_authorised(session, self._permission):
                raise _Refusal(403, f"Missing permission {self._permission}")
        except Silent as error:
            raise _Refusal(503, str(error)) from None
        return session


def _secret(headers: list[tuple[bytes, bytes]]) -> str | None:
    """Return the secret that a request presents; None when there is none, or more than one."""
    authorizations = [value.strip() for name, value in headers if name.lower() == b"authorization"]
    if authorizations:
        found = [match[1] for match in map(_BEARER.fullmatch, authorizations) if match is not None]
    else:
        lines = [value for name, value in headers if name.lower() == b"cookie"]
        encrypted, plain = ([value for line in lines for value in cookie.findall(line)] for cookie in _COOKIES)
        found = encrypted or plain
    return found[0].decode("ascii") if len(found) == 1 and len(authorizations) <= 1 else None


async def _refuse(scope: Scope, refusal: _Refusal, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008, "reason": _PHRASES[refusal.status]})
        return
    body = {"status": refusal.status, "reason": _PHRASES[refusal.status], "message": refusal.message}
    headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
    if refusal.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if refusal.status == 503:
        headers.append((b"retry-after", b"5"))
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(body).encode()})
