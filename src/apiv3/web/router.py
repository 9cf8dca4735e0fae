"""A route, and how the one for a path is found."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from apiv3.model.errors import NotAcceptable
from apiv3.security.gate import Access
from apiv3.web.calls import Call
from apiv3.web.operation import Operation
from apiv3.web.responses import Answer
from apiv3.web.websockets import WebSocket

Handler = Callable[[Call], Awaitable[Answer]]
Talk = Callable[[Call, WebSocket], Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class Route:
    """One method of one URL. `operation`: what the OpenAPI description says about it; None for Socket.IO's, for which it has
    no words. `waits`: its requests may stay for long, and are counted elsewhere. `talk`: takes websockets.
    """

    method: str
    path: str
    handler: Handler
    access: Access
    operation: Operation | None = None
    waits: bool = False
    talk: Talk | None = None

    @property
    def summary(self) -> str:
        """What it does: the first line of the handler's docstring."""
        function = self.handler.func if isinstance(self.handler, partial) else self.handler
        return (function.__doc__ or "").partition("\n")[0]

    @property
    def permission(self) -> str:
        """What it demands, for people."""
        if self.access.public:
            return "none"
        return " or ".join(demand.name for demand in self.access.demands) or "any subject"


Found = tuple[Mapping[str, Route], tuple[bytes, ...]]
"""The routes of a path by their methods, and the path's parameters."""


class RouteTable:
    """Finds the methods of a path: whole paths first, then those with a parameter, by what stands before it.

    A few look-ups in dictionaries, however many routes there are.
    """

    def __init__(self, table: Sequence[Route]) -> None:
        whole: dict[bytes, dict[str, Route]] = {}
        self._before: dict[bytes, dict[str, Route]] = {}
        self._round: dict[bytes, dict[bytes, dict[str, Route]]] = {}
        """What stands after a parameter -> what stands before it -> the methods."""
        for route in table:
            before, brace, rest = route.path.encode().partition(b"{")
            after = rest.partition(b"}")[2]
            place = self._round.setdefault(after, {}) if after else self._before if brace else whole
            methods = place.setdefault(before, {})
            methods[route.method] = route
            if route.method == "GET":
                methods["HEAD"] = route
        self._whole = {path: self._complete(path, methods) for path, methods in whole.items()}
        self._unserved = {path: _unserved(methods["GET"]) for path, methods in whole.items() if path + b".json" in whole}
        """What comes in formats: `/entries.ttf` is asked for in one that there is not."""

    def _complete(self, path: bytes, methods: dict[str, Route]) -> Found:
        """A path that only takes something in leaves the rest to a document of that name: `GET /entries/bulk` reads one."""
        if "GET" in methods:
            return methods, ()
        others, parameters = self._with_parameter(path) or ({}, ())
        return {**others, **methods}, parameters

    def find(self, path: bytes) -> Found:
        """Method -> route, and the path's parameters; no routes for a path that is not there.

        A slash at the end changes nothing: that is how the field's servers take it.
        """
        found = self._find(path)
        if found is None and len(path) > 1 and path.endswith(b"/"):
            found = self._find(path[:-1])
        return found or ({}, ())

    def _find(self, path: bytes) -> Found | None:
        return self._whole.get(path) or self._with_parameter(path) or self._with_an_ending(path)

    def _with_an_ending(self, path: bytes) -> Found | None:
        stem, _, ending = path.partition(b".")
        return self._unserved.get(stem) if ending else None

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
    """In a format that nobody serves: refused to whoever could have had it in another one."""
    refusing = replace(route, handler=_refuse, operation=None)
    return {"GET": refusing, "HEAD": refusing}, ()


async def _refuse(_call: Call) -> Answer:
    raise NotAcceptable
