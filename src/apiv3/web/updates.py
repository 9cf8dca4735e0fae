"""The files of the apt repository, for devices that fetch software updates."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from urllib.parse import unquote

from apiv3.model.errors import NotFound
from apiv3.updates.repository import Repository
from apiv3.web.calls import Call
from apiv3.web.responses import PIECE, Answer

PREFIX = "/updates/"
_TYPES = {".deb": b"application/vnd.debian.binary-package", ".gz": b"application/gzip"}
_TEXT = b"text/plain; charset=utf-8"


class Updates:
    """Serves the repository, as apt asks for it."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository

    async def file(self, call: Call) -> Answer:
        """Get a file of the apt repository of software updates."""
        path = self._repository.find(unquote(call.params[0]))
        try:
            if path is None:
                raise FileNotFoundError
            if path.suffix == ".deb":  # none is ever changed once it is published, so its size holds
                size = (b"content-length", b"%d" % path.stat().st_size)
                return Answer(200, b"", _TYPES[".deb"], (size,), _pieces(path))
            return Answer(200, await asyncio.to_thread(path.read_bytes), _TYPES.get(path.suffix, _TEXT))
        except FileNotFoundError as error:
            raise NotFound from error


async def _pieces(path: Path) -> AsyncGenerator[bytes, None]:
    with await asyncio.to_thread(path.open, "rb") as file:
        while piece := await asyncio.to_thread(file.read, PIECE):
            yield piece
