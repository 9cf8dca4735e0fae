"""Several workers behind one port: a request for a session of another worker is passed on to it.

Each worker listens on a socket of its own in a directory that only this user can enter. Whoever asks there has passed the
checks of the worker that it came to; the session has the address of the client from when it was opened.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from pathlib import Path

from apiv3.live.engine import Engine, Refused, Sessions, bad_request, unknown_session, worker_of
from apiv3.live.packets import LARGEST, ProtocolError
from apiv3.live.wires import Pipe, Wire, until_one_ends

FOLDER = "APIV3_WORKERS"
"""The variable in which `apiv3 serve` tells its workers where to listen."""
_REQUEST_TIMEOUT = 10.0
"""Seconds in which a worker takes a request."""
_STALLED = 60.0
"""Seconds after which a client that does not read is given up."""
_LARGEST_ANSWER = 2**31


class Remote:
    """The sessions of another worker."""

    def __init__(self, socket: Path, pipes: set[Pipe]) -> None:
        self._socket, self._pipes = socket, pipes

    async def poll(self, sid: str) -> str:
        async with self._asking(f"poll {sid}") as pipe:
            return await _answer(pipe)

    async def post(self, sid: str, payload: str) -> None:
        async with self._asking(f"post {sid}", payload) as pipe:
            await _answer(pipe)

    async def upgrade(self, sid: str, wire: Wire) -> None:
        async with self._asking(f"upgrade {sid}") as pipe:
            await _answer(pipe)
            await wire.accept()
            await until_one_ends(_copy(wire, pipe), _copy(pipe, wire))

    @asynccontextmanager
    async def _asking(self, *request: str) -> AsyncIterator[Pipe]:
        """Raises Refused when the worker is no more."""
        try:
            reader, writer = await asyncio.open_unix_connection(self._socket)
        except OSError:
            raise unknown_session() from None
        pipe = Pipe(reader, writer, _LARGEST_ANSWER)
        self._pipes.add(pipe)
        try:
            for text in request:
                await pipe.send(text)
            yield pipe
        except OSError:
            raise unknown_session() from None
        finally:
            self._pipes.discard(pipe)
            pipe.close()


async def _answer(pipe: Pipe) -> str:
    """`+` and what was asked for, or `-`, a code and a message. Raises Refused; so does the end of the worker."""
    answer = await pipe.receive()
    if answer is None:
        raise unknown_session()
    if answer.startswith("-"):
        raise Refused(int(answer[1]), answer[2:])
    return answer[1:]


async def _copy(source: Wire, target: Wire) -> None:
    """Raises TimeoutError, which is an OSError, when the target takes nothing: it would never hear of the source's end."""
    while (text := await source.receive()) is not None:
        async with asyncio.timeout(_STALLED):
            await target.send(text)


async def _telling(pipe: Pipe, work: Awaitable[None]) -> None:
    """Do it; who asked is told when it is refused. Raises OSError when they have left."""
    try:
        await work
    except Refused as error:
        await pipe.send(f"-{error.code}{error}")


async def _departure(pipe: Pipe) -> None:
    await pipe.receive()


class Workers:
    """The workers of one server. `folder`: where they listen; None: there is only this one."""

    def __init__(self, engine: Engine, folder: Path | None) -> None:
        self._engine = engine
        self._pipes: set[Pipe] = set()
        self._folder = folder if sys.platform != "win32" else None

    def of(self, sid: str) -> Sessions:
        """Where a session is. Raises Refused for an id that no worker of this server has made."""
        worker = worker_of(sid)
        if worker == self._engine.worker:
            return self._engine
        if self._folder is None or not (len(worker) == len(self._engine.worker) and set(worker) <= set("0123456789abcdef")):
            raise unknown_session()
        return Remote(self._folder / worker, self._pipes)

    def close(self) -> None:
        """Wait for other workers no more."""
        for pipe in tuple(self._pipes):
            pipe.close()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Take what other workers pass on."""
        if self._folder is None:
            yield
            return
        place = self._folder / self._engine.worker
        server = await asyncio.start_unix_server(self._serve, place)
        try:
            yield
        finally:
            server.close()
            place.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pipe = Pipe(reader, writer, LARGEST)
        try:
            await _telling(pipe, self._handle(pipe))
        except (ProtocolError, TimeoutError, OSError):
            pass  # it is the other worker's turn to tell its client
        finally:
            pipe.close()

    async def _handle(self, pipe: Pipe) -> None:
        async with asyncio.timeout(_REQUEST_TIMEOUT):
            verb, _, sid = (await pipe.receive() or "").partition(" ")
            payload = await pipe.receive() if verb == "post" else None
        if verb == "poll":
            await until_one_ends(_telling(pipe, self._poll(pipe, sid)), _departure(pipe))
        elif verb == "post" and payload is not None:
            await self._engine.post(sid, payload)
            await pipe.send("+")
        elif verb == "upgrade":
            await self._engine.upgrade(sid, pipe)
        else:
            raise bad_request()

    async def _poll(self, pipe: Pipe, sid: str) -> None:
        await pipe.send("+" + await self._engine.poll(sid))
