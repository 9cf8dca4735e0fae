"""Pages for people: what runs here, and what it understands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape

from apiv3 import __version__
from apiv3.security.calls import Call
from apiv3.web.responses import Answer
from apiv3.web.router import Route

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>apiv3</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 3rem auto; padding: 0 1rem; }}
table {{ border-collapse: collapse; width: 100%; font-size: .9rem; }}
th, td {{ text-align: left; padding: .35rem .6rem; border-bottom: 1px solid #8884; vertical-align: top; }}
code {{ font-family: ui-monospace, monospace; overflow-wrap: anywhere; }}
td:first-child {{ white-space: nowrap; }}
</style>
</head>
<body>
<h1>apiv3</h1>
<p>A data API for people who live with diabetes: glucose entries, treatments, device status, profiles, food and settings,
over the protocol of Nightscout's APIv3. This server runs version {version}.</p>
<p>Calls need an access token in the query (<code>?token=…</code>) or, better, a JWT in the header
(<code>Authorization: Bearer …</code>), and the client's time (<code>Date</code> header or <code>now</code> in the query).
Trade a token for a JWT at <code>/api/v2/authorization/request/{{accessToken}}</code>.
Tokens come from whoever runs this server.</p>
<p><a href="/api3-docs">Try the API in the browser</a>, or read its <a href="/api/v3/openapi.json">OpenAPI description</a>.</p>
<h2>Routes</h2>
<table>
<thead><tr><th>Method</th><th>URL</th><th>Permission</th><th></th></tr></thead>
<tbody>
{rows}
</tbody>
</table>
</body>
</html>
"""
HTML = b"text/html; charset=utf-8"


class Pages:
    """`table`: gives the routes, once they are known."""

    def __init__(self, table: Callable[[], Sequence[Route]]) -> None:
        self._table = table

    async def welcome(self, _call: Call) -> Answer:
        """This page: what runs here, and every route with the permission that it demands."""
        rows = "\n".join(
            f"<tr><td>{route.method}</td><td><code>{escape(route.path)}</code></td>"
            f"<td><code>{escape(route.permission)}</code></td><td>{escape(route.summary)}</td></tr>"
            for route in self._table()
        )
        return Answer(200, _PAGE.format(version=escape(__version__), rows=rows).encode(), HTML)
