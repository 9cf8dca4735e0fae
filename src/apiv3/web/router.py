"""Routes, and the table that finds the route of a path."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from apiv3.model.errors import NotAcceptable
from apiv3.model.grants import Scopes
from apiv3.security.gate import Access
from apiv3.security.oauth2.scopes import ScopeTable
from apiv3.web.calls import Call
from apiv3.web.operation import Operation
from apiv3.web.responses import Answer
from apiv3.web.websockets import WebSocket

Handler = Callable[[Call], Awaitable[Answer]]
Talk = Callable[[Call, WebSocket], Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class Route:
    """One method of one URL.

    `path`: with at most one parameter in braces: a segment, or with `...` after its name all that follows. `handler`: the
    endpoint. `access`: who may use it. `operation`: its part of the OpenAPI description; None for Socket.IO, which OpenAPI
    cannot describe, and for pages. `waits`: whether its
    requests stay open for long, so that they do not count as requests under way. `pages`: whether it answers with a list of
    documents. `talk`: the endpoint for websockets, if it accepts them.
    """

    method: str
    path: str
    handler: Handler
    access: Access
    operation: Operation | None = None
    waits: bool = False
    pages: bool = False
    talk: Talk | None = None

    @property
    def summary(self) -> str:
        """A sentence about what the route does: the first line of the handler's docstring."""
        function = self.handler.func if isinstance(self.handler, partial) else self.handler
        return (function.__doc__ or "").partition("\n")[0]

    @property
    def permission(self) -> str:
        """The permission that the route demands, as a text for people."""
        if self.access.public:
            return "none"
        anybody = "any person" if self.access.page else "any subject"
        return " or ".join(demand.name for demand in self.access.demands) or anybody

    def scopes(self, table: ScopeTable) -> Scopes:
        """Return the scopes of OAuth2 that allow the route's first permission, each by itself; none if it demands nothing."""
        demands = self.access.demands
        return table.allowing(demands[0]) if demands and not self.access.page else ()


Found = tuple[Mapping[str, Route], tuple[bytes, ...]]
"""Method -> route for a path, and the path's parameters, percent-encoded."""


class RouteTable:
    """Finds the routes of a path: first those without a parameter, then those with one, by the text before it; last those whose
    parameter is all that follows.

    This takes a few dictionary lookups, however many routes there are.
    """

    def __init__(self, table: Sequence[Route]) -> None:
        whole: dict[bytes, dict[str, Route]] = {}
        self._before: dict[bytes, dict[str, Route]] = {}
        self._round: dict[bytes, dict[bytes, dict[str, Route]]] = {}
        """Text after the parameter -> text before it -> method -> route."""
        self._rest: dict[bytes, dict[str, Route]] = {}
        for route in table:
            before, brace, rest = route.path.encode().partition(b"{")
            name, _, after = rest.partition(b"}")
            others = self._rest if name.endswith(b"...") else self._before if brace else whole
            place = self._round.setdefault(after, {}) if after else others
            methods = place.setdefault(before, {})
            methods[route.method] = route
            if route.method == "GET":
                methods["HEAD"] = route
        self._whole = {path: self._complete(path, methods) for path, methods in whole.items()}
        self._unserved = {path: _unserved(methods["GET"]) for path, methods in whole.items() if path + b".json" in whole}
        """Paths that can be followed by a format, with routes that refuse unknown formats, as in `/entries.ttf`."""

    def _complete(self, path: bytes, methods: dict[str, Route]) -> Found:
        """Add the methods of the route with a parameter to a path without GET: `GET /entries/bulk` reads a document."""
        if "GET" in methods:
            return methods, ()
        others, parameters = self._with_parameter(path) or ({}, ())
        return {**others, **methods}, parameters

    def find(self, path: bytes) -> Found:
        """Return the routes of a path by method, and the path's parameters; no routes for an unknown path.

        A slash at the end is ignored, as Nightscout does.
        """
        found = self._find(path)
        if found is None and len(path) > 1 and path.endswith(b"/"):
            found = self._find(path[:-1])
        return found or ({}, ())

    def _find(self, path: bytes) -> Found | None:
        return self._whole.get(path) or self._with_parameter(path) or self._with_an_ending(path) or self._with_the_rest(path)

    def _with_an_ending(self, path: bytes) -> Found | None:
        stem, _, ending = path.partition(b".")
        return self._unserved.get(stem) if ending else None

    def _with_the_rest(self, path: bytes) -> Found | None:
        for before, methods in self._rest.items():
            if path.startswith(before) and path != before:
                return methods, (path[len(before) :],)
        return None

    def _with_parameter(self, path: bytes) -> Found | None:
        cut = path.rfind(b"/") + 1
        methods = self._before.get(path[:cut])
        if methods is not None:
            return (methods, (path[cut:],)) if cut < len(path) else None
        return self._with_parameter_inside(path)

    def _with_parameter_inside(self, path: bytes) -> Found | None:
        for after, places in self._round.items():
            end = len(path) - len(after)
            cut = path.rfind(b"/", 0, end) + 1
            methods = places.get(path[:cut]) if path.endswith(after) else None
            if methods is not None and cut < end:
                return methods, (path[cut:end],)
        return None


def _unserved(route: Route) -> Found:
    """Return routes that refuse an unknown format with 406, after the same checks as `route`."""
    refusing = replace(route, handler=_refuse, operation=None)
    return {"GET": refusing, "HEAD": refusing}, ()


async def _refuse(_call: Call) -> Answer:
    raise NotAcceptable
