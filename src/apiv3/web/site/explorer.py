"""The OpenAPI description, and the page on which people read about the routes and try them: a table, and Swagger UI."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import orjson

from apiv3.security.oauth2.scopes import ScopeTable
from apiv3.web.assets import Asset
from apiv3.web.calls import Call
from apiv3.web.negotiation import Format
from apiv3.web.openapi.operations import DOCUMENTS
from apiv3.web.operation import Json
from apiv3.web.responses import JSON, Answer
from apiv3.web.router import Route
from apiv3.web.site.pages import PublicPage
from apiv3.web.socketio import PATH as SOCKET_IO

PATH = "/api3-docs"
LIVE, PAGES = "Live", "Pages"
"""Sections of the table for what OpenAPI cannot describe: Socket.IO, and pages for people."""


class Row(NamedTuple):
    """A row of the table: routes that differ only in the format share one. `formats`: the endings that the path may have.
    `scopes`: the scopes of OAuth2 each of which allows it.
    """

    route: Route
    formats: Sequence[str]
    scopes: Sequence[str]


class Explorer:
    """The endpoints. `describe`: makes the OpenAPI description. `table`: returns all routes. Each is called once."""

    def __init__(self, describe: Callable[[], Json], table: Callable[[], Sequence[Route]], scopes: ScopeTable) -> None:
        self._describe, self._table, self._scopes = describe, table, scopes
        self._description: Asset | None = None
        self._sections: Mapping[str, Sequence[Row]] = {}
        self._making = asyncio.Lock()
        self._page, self._redirect = PublicPage("explorer.html"), PublicPage("explorer-redirect.html")

    async def description(self, call: Call) -> Answer:
        """Get this description of the server, as OpenAPI 3.1."""
        async with self._making:
            if self._description is None:
                body = orjson.dumps(self._describe())
                self._description = await asyncio.to_thread(Asset.of, body, JSON)
        return self._description.answer(call)

    async def redirect(self, call: Call) -> Answer:
        """Show the page that hands the answer of the authorization endpoint to the interactive page, and closes."""
        return self._redirect.show(call)

    async def page(self, call: Call) -> Answer:
        """Show the interactive page: every route with the permission that it demands; enter a token, send requests."""
        if not self._sections:
            self._sections = _sections(self._table(), self._scopes)
        return self._page.show(call, sections=self._sections)


def _sections(table: Sequence[Route], scopes: ScopeTable) -> Mapping[str, Sequence[Row]]:
    """Group routes: the server, each collection, administration, people, live connections, pages."""
    groups = defaultdict(list)
    for route in table:
        groups[_section(route)].append(route)
    return {name: list(_rows(routes, scopes)) for name, routes in groups.items()}


def _section(route: Route) -> str:
    if route.operation is None:
        return LIVE if route.path == SOCKET_IO else PAGES
    return _stem(route.path).split("/")[3] if route.operation.tag == DOCUMENTS else route.operation.tag


def _rows(routes: Sequence[Route], scopes: ScopeTable) -> Iterator[Row]:
    paths = {(route.method, route.path) for route in routes}
    for route in routes:
        if _stem(route.path) != route.path and (route.method, _stem(route.path)) in paths:
            continue
        endings = [f".{form.extension}" for form in Format]
        formats = [each for each in endings if (route.method, f"{route.path}{each}") in paths]
        yield Row(route, formats, route.scopes(scopes))


def _stem(path: str) -> str:
    """Return the path without a format's file name extension at its end."""
    stem, _, ending = path.rpartition(".")
    return stem if ending in {form.extension for form in Format} else path
