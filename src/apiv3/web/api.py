"""The ASGI application: take every request through the gate to its endpoint, send the answer, and write the access log.

Endpoints return an Answer or raise an ApiError. This module sends the answer, unless it is a stream (`web/streams.py`) or
the request became a websocket (`web/websockets.py`).
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from itertools import count
from secrets import token_hex
from typing import Any

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.routing import Router
from starlette.types import ASGIApp

from apiv3.model import timestamps
from apiv3.model.errors import (
    ApiError,
    BadOperation,
    MissingPermission,
    NotSecure,
    OlderProtocol,
    ShuttingDown,
    SignInNeeded,
    TooManyRequests,
)
from apiv3.security.gate import Access, Gate
from apiv3.security.ledger import Ledger
from apiv3.security.oauth2.scopes import ScopeTable
from apiv3.security.permissions import Demand
from apiv3.storage.contracts import SMALL
from apiv3.web.access_log import AccessLog
from apiv3.web.bodies import Disconnected, Limits, read_body
from apiv3.web.calls import Call, Receive, Scope, Send
from apiv3.web.complaints import Complaints
from apiv3.web.compression import Compression
from apiv3.web.headers import NO_STORE, common_headers, is_open, is_page
from apiv3.web.next_page import way_in
from apiv3.web.proxies import Proxies
from apiv3.web.redaction import masked
from apiv3.web.redirect import https_address, to_https
from apiv3.web.responses import Answer, failure, send_answer
from apiv3.web.router import Route, RouteTable
from apiv3.web.server.connections import ENDING
from apiv3.web.site.errors import error_page, wants_page
from apiv3.web.streams import send_stream
from apiv3.web.websockets import WebSocket

__all__ = ["ASGIApp", "Api", "lifespan", "with_cors"]

_log = logging.getLogger(__name__)
_APIV1 = re.compile(rb"/+api/+v1(/|\.json|$)", re.IGNORECASE)
"""Paths of the older protocol. Some have a second slash: apps send it when their server address ends with one."""
_COUNTED = 16_384
"""Bytes above which an answer counts until its client has received it; the system buffers about as many."""
_ANY_PAGE = Access(page=True, public=True)
"""What is asked of a page that there is not."""
LARGEST_FORM = 65_536
"""Most bytes of a form."""
_NOBODY_THERE = Answer(499)
"""The client has disconnected. This answer is logged, but never sent."""
_PREFLIGHT = ((b"access-control-allow-headers", b"authorization, content-type"), (b"access-control-max-age", b"86400"))
"""What pages of any site may send to the endpoints of OAuth2 that are open to them."""
_ALLOWED_HEADERS = (
    "Authentication-Token",
    "Authorization",
    "Content-Type",
    "Date",
    "If-Modified-Since",
    "If-Unmodified-Since",
    "Last-Event-ID",
    "Last-Modified",
)
"""Request headers that pages of other sites may send (CORS)."""


class Api:
    """ASGI application that serves `routes` behind the gate.

    `others` is the ASGI application for everything that is neither HTTP nor a websocket, such as the lifespan.
    `scopes`: those of OAuth2, for its errors. `public_url`: the URL under which people reach the server; empty: unknown.
    """

    def __init__(
        self,
        routes: Sequence[Route],
        gate: Gate,
        proxies: Proxies,
        ledger: Ledger,
        limits: Limits,
        access_log: AccessLog,
        others: ASGIApp,
        scopes: ScopeTable,
        public_url: str = "",
    ) -> None:
        self._routes, self._gate, self._ledger, self._access_log = RouteTable(routes), gate, ledger, access_log
        self._proxies, self._complaints, self._others, self._public_url = proxies, Complaints(proxies), others, public_url
        self._limits, self._scopes = limits, scopes
        self._compression = Compression()
        self._ids = map(f"{token_hex(4)}{{:x}}".format, count(1))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            call = Call(scope, receive, next(self._ids))
            answer = await self._attempt(call, self._answer(call, send))
            try:
                if answer is not _NOBODY_THERE and answer.stream is None:
                    await send_answer(send, answer, common_headers(call), bodiless=call.method == "HEAD")
            finally:
                if answer.pieces is not None:
                    answer.pieces.release()
                if call.on_sent is not None:
                    call.on_sent()
        elif scope["type"] == "websocket":
            call = Call({**scope, "method": "GET"}, receive, next(self._ids))
            socket = WebSocket(receive, send)
            answer = await self._attempt(call, self._talk(call, socket))
            if socket.accepted:
                await socket.close()
            elif answer is not _NOBODY_THERE:
                await socket.refuse(answer, common_headers(call))
        else:
            await self._others(scope, receive, send)

    async def _attempt(self, call: Call, work: Awaitable[Answer]) -> Answer:
        """Run the request, turn exceptions into an Answer, and write a line to the access log.

        Raises CancelledError when the request is cancelled while the server keeps running.
        """
        started = time.perf_counter()
        try:
            answer = await work
        except SignInNeeded as error:
            answer = self._way_in(call, error)
        except ApiError as error:
            self._complaints.note(call, error)
            answer = self._refusal(call, error)
        except Disconnected:
            answer = _NOBODY_THERE
        except asyncio.CancelledError:
            if ENDING not in call.scope:
                raise
            answer = self._refusal(call, ShuttingDown())
        except Exception:
            _log.exception("request %s failed", call.id)
            answer = self._refusal(call, ApiError(f"Internal error, request {call.id}"))
        finally:
            if call.on_end is not None:
                call.on_end()
        self._access_log.write(call, answer.status, time.perf_counter() - started)
        return answer

    def _way_in(self, call: Call, error: SignInNeeded) -> Answer:
        """Send a browser that asks for a page to the form for signing in; refuse a call of the API."""
        if call.read_form is None:
            return failure(error)
        page, query = call.path, b"?" + call.scope["query_string"]
        while "GET" not in self._routes.find(page)[0]:  # the way back from a form is the page that shows it
            page, query = page.rpartition(b"/")[0] or b"/", b""
        return way_in((page + query.rstrip(b"?")).decode("latin-1"), lost=not call.is_safe)

    def _refusal(self, call: Call, error: ApiError) -> Answer:
        """Return the answer for an error: a page for people who navigate, which leads to HTTPS if that is all it lacks.

        Clients log what they are answered, so the message repeats no secret that was sent where it does not belong.
        """
        if error.message is not None:
            error.message = masked(error.message)
        if isinstance(error, NotSecure) and is_page(call.path):
            base = https_address(self._public_url, call.headers.get(b"host"))
            if base is not None:
                return to_https(call.scope, base)
        if wants_page(call):
            return error_page(call, error)
        answer = failure(error)
        if isinstance(error, MissingPermission) and call.identity is not None and call.identity.bearer is not None:
            scope = self._scopes.allowing(Demand(tuple(error.permission.split(":"))))[0]
            wanted = f'Bearer error="insufficient_scope", scope="{scope}"'
            answer = answer._replace(headers=(*answer.headers, (b"www-authenticate", wanted.encode())))
        return answer._replace(headers=(*answer.headers, NO_STORE)) if is_page(call.path) else answer

    async def _answer(self, call: Call, send: Send) -> Answer:
        call.locate(self._proxies)
        call.check_headers()
        methods, call.params = self._routes.find(call.path)
        route = methods.get(call.method)
        if route is None:
            if wants_page(call):  # the page that says so is in the frame of whoever is signed in
                await self._gate.admit(call, _ANY_PAGE)
            return _options(methods, call)
        if route.access.page:
            call.read_form = partial(read_body, call, LARGEST_FORM, self._limits.patience, self._limits.memory)
        if route.waits:
            await self._gate.admit(call, route.access)
            return await self._run(call, route, send)
        place, requests = call.origin.place, self._ledger.requests
        if not requests.take(place):
            await requests.wait(place)
        try:
            await self._gate.admit(call, route.access)
            return await self._handle(call, route, send)
        finally:
            requests.give(place)

    async def _talk(self, call: Call, socket: WebSocket) -> Answer:
        call.locate(self._proxies)
        call.check_headers()
        route = self._routes.find(call.path)[0].get("GET")
        if route is None or route.talk is None:
            raise BadOperation
        await self._gate.admit(call, route.access)
        return await route.talk(call, socket)

    async def _handle(self, call: Call, route: Route, send: Send) -> Answer:
        """Run the endpoint, and count it as a request of the subject while it runs; anonymous calls are not counted.

        Raises TooManyRequests when the subject has too many requests under way.
        """
        run = self._page if route.pages else self._run
        if call.principal.name is None:
            return await run(call, route, send)
        subject, requests = ("subject", call.principal.name), self._ledger.requests
        if not requests.take(subject):
            await requests.wait(subject)
        try:
            return await run(call, route, send)
        finally:
            requests.give(subject)

    async def _page(self, call: Call, route: Route, send: Send) -> Answer:
        """Run the endpoint, and reserve memory for a page of documents until the client has received it.

        Raises TooManyRequests when too many wait for memory already, or when it does not become free in time.
        """
        owner, answers, kept = call.principal.name or call.origin.place, self._ledger.answers, 0
        if not answers.take(owner, SMALL):
            await answers.wait(owner, SMALL)
        try:
            answer = await self._run(call, route, send)
            if len(answer.body) > _COUNTED:
                kept = min(len(answer.body), SMALL)
                call.on_sent = partial(answers.give, owner, kept)
        finally:
            answers.give(owner, SMALL - kept)
        return answer

    async def _run(self, call: Call, route: Route, send: Send) -> Answer:
        """Run the endpoint, and compress its answer. Send a stream at once, and count it as a live connection until it ends.

        Raises TooManyRequests when the address has too many live connections.
        """
        answer = await route.handler(call)
        if answer.stream is None:
            coding = self._compression.coding(call, answer)
            return answer if coding is None else await self._compression.compress(answer, coding)
        stream, live = ("stream", call.origin.place), self._ledger.live
        if not live.take(stream):
            raise TooManyRequests
        try:
            await send_stream(call, send, answer, answer.stream)
        finally:
            live.give(stream)
        return answer


def _options(methods: Any, call: Call) -> Answer:
    """Answer OPTIONS with the methods of the path, without any check of credentials.

    Raises BadOperation (OlderProtocol for paths of API v1) for an unknown path, or a method that the path does not have.
    """
    if call.method != "OPTIONS" or not methods:
        raise OlderProtocol if _APIV1.match(call.path) else BadOperation
    allowed = ", ".join([*methods, "OPTIONS"]).encode()
    preflight = ((b"access-control-allow-methods", allowed), *_PREFLIGHT) if is_open(call.path) else ()
    return Answer(204, headers=((b"allow", allowed), *preflight))


def lifespan(running: Callable[[], AbstractAsyncContextManager[Mapping[str, Any]]]) -> ASGIApp:
    """Return an ASGI application for the lifespan: it enters `running` when the server starts and leaves it when it ends.

    The mapping that `running` yields becomes the lifespan's state, which the connections read.
    """
    return Router(lifespan=lambda _app: running())


class _Cors(CORSMiddleware):
    """CORS for the API and the live channels. Pages for people are never for other sites; OAuth2 has rules of its own.

    Adds the header Date to the preflight answers, which Starlette sends without passing through `Api`.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_ours = scope.get("raw_path", b"").startswith((b"/api/", b"/socket.io"))
        await (super().__call__ if is_ours else self.app)(scope, receive, send)

    def preflight_response(self, request_headers: Headers) -> Response:
        response = super().preflight_response(request_headers)
        response.headers["date"] = timestamps.http_date(int(time.time())).decode()
        return response


def with_cors(app: ASGIApp, origins: Sequence[str]) -> ASGIApp:
    """Let pages of `origins` call the application (CORS), with tokens in a header or the query, never with cookies."""
    if not origins:
        return app
    return _Cors(
        app,
        allow_origins=origins,
        allow_methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"],
        allow_headers=_ALLOWED_HEADERS,
        expose_headers=["ETag", "Last-Modified", "Location", "Retry-After", "X-Request-Id"],
        max_age=86_400,
    )
