"""A route, and how the one for a path is found."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from apiv3.security.calls import Call
from apiv3.security.gate import Access
from apiv3.web.responses import Answer
from apiv3.web.websockets import WebSocket

Handler = Callable[[Call], Awaitable[Answer]]
Talk = Callable[[Call, WebSocket], Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class Route:
    """One method of one URL. `waits`: its requests may stay for long, and are counted elsewhere. `talk`: takes websockets."""

    method: str
    path: str
    handler: Handler
    access: Access
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


def demanded(table: Sequence[Route]) -> list[str]:
    """Every permission that is demanded anywhere, sorted."""
    return sorted({demand.name for route in table for demand in route.access.demands})


class Table:
    """Finds the methods of a path: whole paths first, then those with a parameter, by what stands before it.

    Two look-ups in dictionaries, however many routes there are.
    """

    def __init__(self, table: Sequence[Route]) -> None:
        self._whole: dict[bytes, dict[str, Route]] = {}
        self._with_parameter: dict[tuple[bytes, bytes], dict[str, Route]] = {}
        for route in table:
            before, brace, rest = route.path.encode().partition(b"{")
            after = rest.partition(b"}")[2]
            methods = self._with_parameter.setdefault((before, after), {}) if brace else self._whole.setdefault(before, {})
            methods[route.method] = route
            if route.method == "GET":
                methods["HEAD"] = route
        self._endings = tuple({after for _, after in self._with_parameter if after})

    def find(self, path: bytes) -> tuple[Mapping[str, Route], tuple[bytes, ...]]:
        """Method -> route, and the path's parameters; no routes for a path that is not there.

        A slash at the end changes nothing: that is how the field's servers take it.
        """
        if len(path) > 1 and path.endswith(b"/"):
            path = path[:-1]
        whole = self._whole.get(path)
        if whole is not None:
            return whole, ()
        if path.endswith(self._endings):
            ending = next(ending for ending in self._endings if path.endswith(ending))
            if found := self._find(path[: -len(ending)], ending):
                return found
        return self._find(path, b"") or ({}, ())

    def _find(self, path: bytes, ending: bytes) -> tuple[Mapping[str, Route], tuple[bytes, ...]] | None:
        cut = path.rfind(b"/") + 1
        methods = self._with_parameter.get((path[:cut], ending))
        parameter = path[cut:]
        return (methods, (parameter,)) if methods and parameter else None
