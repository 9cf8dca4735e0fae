"""The one way through the server: every request of every route, from the first byte to the access log.

A pure ASGI route for Starlette's router. Endpoints return an Answer or raise; this is the only place that sends.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from itertools import count
from secrets import token_hex
from typing import Any

from starlette.middleware.cors import CORSMiddleware
from starlette.routing import BaseRoute, Match, Router
from starlette.types import ASGIApp

from apiv3.model.errors import ApiError, BadOperation
from apiv3.security.audit import AccessLog
from apiv3.security.calls import Call, Receive, Scope, Send
from apiv3.security.floods import InFlight
from apiv3.security.gate import Gate
from apiv3.security.headers import common_headers
from apiv3.web.requests import Disconnected
from apiv3.web.responses import Answer, failure, json_answer, send_answer
from apiv3.web.routes import Route, Table

__all__ = ["ASGIApp", "Api", "asgi_app"]

_log = logging.getLogger(__name__)


class Api(BaseRoute):
    """All routes of the table behind the gate."""

    def __init__(self, routes: Sequence[Route], gate: Gate, in_flight: InFlight, access_log: AccessLog) -> None:
        self.routes = tuple(routes)
        self._table, self._gate, self._in_flight, self._access_log = Table(routes), gate, in_flight, access_log
        self._ids = (f"{prefix}{number:x}" for prefix in (token_hex(4),) for number in count(1))

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        return (Match.FULL if scope["type"] == "http" else Match.NONE), {}

    def url_path_for(self, name: str, /, **path_params: Any) -> Any:
        raise NotImplementedError("routes have no names")

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        call = Call(scope, receive, next(self._ids))
        try:
            answer = await self._answer(call)
        except ApiError as error:
            answer = failure(error)
        except Disconnected:
            answer = Answer(499)
        except Exception:
            _log.exception("request %s failed", call.id)
            answer = json_answer({"status": 500, "message": f"Internal error, request {call.id}"}, 500)
        self._access_log.write(call, answer.status, time.perf_counter() - started)
        if answer.status != 499:
            await send_answer(send, answer, common_headers(call), bodiless=call.method == "HEAD")

    async def _answer(self, call: Call) -> Answer:
        self._gate.locate(call)
        call.check_headers()
        methods, call.params = self._table.find(call.path)
        route = methods.get(call.method)
        if route is None:
            return _options(methods, call)
        with self._in_flight.of(call.address):
            call.principal = await self._gate.admit(call, route.access)
            if call.principal.name is None:
                return await route.handler(call)
            with self._in_flight.of(("subject", call.principal.name)):
                return await route.handler(call)


def _options(methods: Any, call: Call) -> Answer:
    """OPTIONS says what a path takes; any other method or path that is not there is told so, without any check."""
    if call.method != "OPTIONS" or not methods:
        raise BadOperation
    allowed = ", ".join([*methods, "OPTIONS"])
    return Answer(204, headers=((b"allow", allowed.encode()),))


def asgi_app(api: Api, lifespan: Callable[[], AbstractAsyncContextManager[None]], origins: Sequence[str]) -> ASGIApp:
    """The whole application. Pages of `origins` may call it: with tokens in a header or the query, never with cookies."""
    router = Router(routes=[api], lifespan=lambda _app: lifespan())
    if not origins:
        return router
    return CORSMiddleware(
        router,
        allow_origins=origins,
        allow_methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"],
        allow_headers=["Authorization", "Content-Type", "Date", "If-Modified-Since", "If-Unmodified-Since", "Last-Modified"],
        expose_headers=["ETag", "Last-Modified", "Location", "Retry-After", "X-Request-Id"],
        max_age=86_400,
    )
