"""Files of the pages, under names that hold a digest of the content: browsers may keep them for ever.

The files stand in `web/static`, and those of Swagger UI in the package that carries them.
"""

from __future__ import annotations

import asyncio
from functools import cache
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path

from apiv3.model.errors import BadOperation
from apiv3.web.assets import VARY, Asset
from apiv3.web.calls import Call
from apiv3.web.responses import Answer

PREFIX = "/static/"
"""Where the files are; the name follows."""
_FOLDER = Path(__file__).parents[1] / "static"
_SWAGGER = "flask_swagger_ui"
"""The package that carries the files of Swagger UI. It is never imported, so neither is Flask."""
_FOR_GOOD = (b"cache-control", b"public, max-age=31536000, immutable")
"""A file of another content has another name (RFC 8246)."""


class StaticFiles:
    """The endpoint."""

    def __init__(self) -> None:
        self._made: dict[str, Asset] = {}
        self._making = asyncio.Lock()
        """Assets are made one at a time: compressing a file takes far more memory than the file."""

    async def file(self, call: Call) -> Answer:
        """Get a file of the pages."""
        name = _plain(call.params[-1].decode("latin-1"))
        if name not in self._made:
            async with self._making:
                if name not in self._made:
                    self._made[name] = await asyncio.to_thread(Asset.read, _files()[name])
        return self._made[name].answer(call, VARY, _FOR_GOOD)


@cache
def static(name: str) -> str:
    """Return the path of a file: `/static/site.0123456789ab.css` for `site.css`. Raises KeyError for an unknown name."""
    file = _files()[name]
    return f"{PREFIX}{file.stem}.{sha256(file.read_bytes()).hexdigest()[:12]}{file.suffix}"


def _plain(name: str) -> str:
    """Return the name of a file without its digest. Raises BadOperation for an unknown name or another digest."""
    stem, _, rest = name.rpartition(".")
    plain = f"{stem.rpartition('.')[0]}.{rest}"
    if plain not in _files() or static(plain) != f"{PREFIX}{name}":
        raise BadOperation
    return plain


@cache
def _files() -> dict[str, Path]:
    """Return name -> file. Only these are served, so no name can reach another file."""
    spec = find_spec(_SWAGGER)
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError(f"the package {_SWAGGER} is not installed")
    swagger = Path(spec.submodule_search_locations[0], "dist")
    theirs = ("swagger-ui.css", "swagger-ui-bundle.js")
    return {name: swagger / name for name in theirs} | {file.name: file for file in _FOLDER.iterdir()}
