"""The page `/`, for people: the version of the server and all its routes."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from html import escape

from apiv3 import __version__
from apiv3.web.assets import Asset
from apiv3.web.calls import Call
from apiv3.web.negotiation import Format
from apiv3.web.openapi.operations import DOCUMENTS, PEOPLE
from apiv3.web.responses import Answer
from apiv3.web.router import Route
from apiv3.web.socketio import PATH as SOCKET_IO

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>apiv3</title>
<style>
:root {{ color-scheme: light dark; --ink: #1c2733; --quiet: #566575; --paper: #fff; --panel: #f4f6f9; --line: #d5dce4;
  --accent: #0b6bcb; --read: #0b6bcb; --write: #18794e; --change: #8a5200; --remove: #c62a2f; }}
@media (prefers-color-scheme: dark) {{ :root {{ --ink: #e6ebf0; --quiet: #a3b1bf; --paper: #1c2022; --panel: #262b30;
  --line: #3b444d; --accent: #4a9df0; --read: #6cb2f5; --write: #4cc38a; --change: #f0b457; --remove: #ff8589; }} }}
* {{ box-sizing: border-box; }}
body {{ margin: 0 auto; max-width: 66rem; padding: 2rem 1.25rem 4rem; font: 16px/1.55 system-ui, sans-serif;
  background: var(--paper); color: var(--ink); }}
h1 {{ margin: 0 0 .5rem; font-size: 1.9rem; line-height: 1.2; }}
h2 {{ margin: 2.5rem 0 .75rem; font-size: 1.25rem; scroll-margin-top: 1rem; }}
p {{ max-width: 46rem; }}
a {{ color: var(--accent); }}
a:focus-visible {{ outline: 2px solid var(--accent); outline-offset: 2px; }}
code {{ font: .92em ui-monospace, monospace; overflow-wrap: anywhere; }}
.note {{ padding: .2rem 1.1rem; background: var(--panel); border: 1px solid var(--line); border-radius: .6rem; }}
.note p {{ max-width: none; }}
nav {{ display: flex; flex-wrap: wrap; gap: .5rem; margin: 1.5rem 0 0; }}
nav a {{ padding: .2rem .75rem; border: 1px solid var(--line); border-radius: 1rem; text-decoration: none; }}
nav a:hover {{ background: var(--panel); }}
table {{ width: 100%; border-collapse: collapse; table-layout: fixed; font-size: .92rem; }}
th, td {{ padding: .5rem .75rem .5rem 0; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line); }}
th {{ color: var(--quiet); font-weight: 600; font-size: .82rem; }}
th:nth-child(1) {{ width: 5rem; }}
th:nth-child(2) {{ width: 34%; }}
th:nth-child(3) {{ width: 24%; }}
td:nth-child(1) {{ font: 600 .85rem/1.8 ui-monospace, monospace; }}
td:nth-child(3) {{ color: var(--quiet); }}
.GET {{ color: var(--read); }}
.POST {{ color: var(--write); }}
.PUT, .PATCH {{ color: var(--change); }}
.DELETE {{ color: var(--remove); }}
.formats {{ color: var(--quiet); white-space: nowrap; }}
@media (max-width: 44rem) {{
  body {{ padding-top: 1.25rem; }}
  thead {{ display: none; }}
  table, tbody {{ display: block; }}
  tr {{ display: grid; grid-template-columns: 4.5rem 1fr; padding: .6rem 0; border-bottom: 1px solid var(--line); }}
  td {{ padding: 0; border: 0; min-width: 0; }}
  td:nth-child(n + 3) {{ grid-column: 2; }}
}}
</style>
</head>
<body>
<h1>apiv3</h1>
<p>A data API for people who live with diabetes: glucose entries, treatments, device status, profiles, food and settings,
over the protocol of Nightscout's APIv3. This server runs version {version}.</p>
<p><a href="/api3-docs">Try the API in the browser</a>, or read its <a href="/api/v3/openapi.json">OpenAPI description</a>.</p>
<div class="note">
<p>Calls need an access token in the query (<code>?token=…</code>) or, better, a JWT in the header
(<code>Authorization: Bearer …</code>), and the client's time (<code>Date</code> header or <code>now</code> in the query).
Exchange a token for a JWT at <code>/api/v2/authorization/request/{{accessToken}}</code>.
The person who runs this server issues the tokens.</p>
</div>
<nav aria-label="Routes">
{links}
</nav>
{sections}
</body>
</html>
"""
_SECTION = """<h2 id="{name}">{name}</h2>
<table>
<thead><tr><th>Method</th><th>URL</th><th>Permission</th><th>What it does</th></tr></thead>
<tbody>
{rows}
</tbody>
</table>"""
_ROW = (
    '<tr><td class="{method}">{method}</td><td><code>{path}</code>{formats}</td>'
    "<td><code>{permission}</code></td><td>{summary}</td></tr>"
)
HTML = b"text/html; charset=utf-8"


class Pages:
    """The endpoint. `table`: returns all routes; called once, at the first request."""

    def __init__(self, table: Callable[[], Sequence[Route]]) -> None:
        self._table = table
        self._page: Asset | None = None

    async def welcome(self, call: Call) -> Answer:
        """Show this page: the server's version, and every route with the permission that it demands."""
        if self._page is None:
            self._page = Asset.of(_page(self._table()), HTML)
        return self._page.whole(call)


def _page(table: Sequence[Route]) -> bytes:
    groups = _groups(table)
    links = "\n".join(f'<a href="#{name}">{name}</a>' for name in groups)
    sections = "\n".join(_SECTION.format(name=name, rows="\n".join(_rows(routes))) for name, routes in groups.items())
    return _PAGE.format(version=escape(__version__), links=links, sections=sections).encode()


def _groups(table: Sequence[Route]) -> Mapping[str, Sequence[Route]]:
    """Group routes by section of the page: the server, each collection, administration, live connections."""
    groups = defaultdict(list)
    for route in table:
        groups[_group(route)].append(route)
    return groups


def _group(route: Route) -> str:
    if route.operation is None:
        return "Live" if route.path == SOCKET_IO else PEOPLE
    return _stem(route.path).split("/")[3] if route.operation.tag == DOCUMENTS else route.operation.tag


def _rows(routes: Sequence[Route]) -> Iterator[str]:
    """Yield a table row for each route; routes that differ only in the format share one."""
    paths = {(route.method, route.path) for route in routes}
    for route in routes:
        if _stem(route.path) != route.path and (route.method, _stem(route.path)) in paths:
            continue
        formats = [f".{form.extension}" for form in Format if (route.method, f"{route.path}.{form.extension}") in paths]
        yield _ROW.format(
            method=route.method,
            path=escape(route.path),
            formats=f' <span class="formats">{_code(formats)}</span>' if formats else "",
            permission=escape(route.permission),
            summary=re.sub("`([^`]+)`", r"<code>\1</code>", escape(route.summary)),
        )


def _code(texts: Sequence[str]) -> str:
    return " ".join(f"<code>{escape(text)}</code>" for text in texts)


def _stem(path: str) -> str:
    """Return the path without a format's file name extension at its end."""
    stem, _, ending = path.rpartition(".")
    return stem if ending in {form.extension for form in Format} else path
