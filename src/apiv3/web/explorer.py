"""Serve the OpenAPI description and an interactive page for it: Swagger UI, with all files from this server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import orjson

from apiv3.model.errors import BadOperation
from apiv3.web.assets import Asset
from apiv3.web.calls import Call
from apiv3.web.operation import Json
from apiv3.web.responses import JSON, Answer

_OURS = Path(__file__).with_name("explorer_files")
_DESCRIPTION = "openapi.json"
_SWAGGER = "flask_swagger_ui"
"""The package that carries the files of Swagger UI. It is never imported, so neither is Flask."""


class Explorer:
    """The endpoints. `describe`: makes the OpenAPI description; called once, at the first request."""

    def __init__(self, describe: Callable[[], Json]) -> None:
        self._describe = describe
        self._files = _files()
        self._made: dict[str, Asset] = {}
        self._making = asyncio.Lock()
        """Assets are made one at a time: compressing a file takes far more memory than the file."""

    async def description(self, call: Call) -> Answer:
        """Get this description of the server, as OpenAPI 3.1."""
        asset = await self._asset(_DESCRIPTION, lambda: Asset.of(orjson.dumps(self._describe()), JSON))
        return asset.whole(call)

    async def page(self, call: Call) -> Answer:
        """Show the interactive page: enter a token, send requests."""
        return await self._answer("index.html", call)

    async def file(self, call: Call) -> Answer:
        """Get a file of the interactive page."""
        return await self._answer(call.params[-1].decode("latin-1"), call)

    async def _answer(self, name: str, call: Call) -> Answer:
        if name not in self._files:
            raise BadOperation
        asset = await self._asset(name, partial(Asset.read, self._files[name]))
        return asset.answer(call)

    async def _asset(self, name: str, make: Callable[[], Asset]) -> Asset:
        """Return an asset, which is made in a thread at the first request for it, however many ask for it at once."""
        if name not in self._made:
            async with self._making:
                if name not in self._made:
                    self._made[name] = await asyncio.to_thread(make)
        return self._made[name]


def _files() -> dict[str, Path]:
    """Return name in the URL -> file. Only these are served, so no name can reach another file."""
    spec = find_spec(_SWAGGER)
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError(f"the package {_SWAGGER} is not installed")
    swagger = Path(spec.submodule_search_locations[0], "dist")
    theirs = ("swagger-ui.css", "swagger-ui-bundle.js", "favicon-32x32.png")
    ours = ("index.html", "explorer.css", "explorer.js")
    return {name: swagger / name for name in theirs} | {name: _OURS / name for name in ours}
