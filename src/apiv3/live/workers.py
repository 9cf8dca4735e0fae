"""Several workers behind one port: pass a request for a session on to the worker that has it.

Each worker listens on its own Unix socket, in a directory that only this user can enter. A request that arrives there has
passed the checks of the worker that received it. The session keeps the client's address from when it was opened.
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
"""The environment variable in which `apiv3 serve` passes the directory of the sockets to its workers."""
_REQUEST_TIMEOUT = 10.0
"""Seconds in which a worker must send its request."""
_STALLED = 60.0
"""Seconds after which a client that does not read is disconnected."""
_LARGEST_ANSWER = 2**31


class Remote:
    """The sessions of another worker. `socket`: where it listens. `pipes`: the open pipes to other workers."""

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
        """Send a request to the worker. Raises Refused when it has ended."""
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
    """Return a worker's answer: `+` and the result, or `-`, a code and a message, which raises Refused, as does its end."""
    answer = await pipe.receive()
    if answer is None:
        raise unknown_session()
    if answer.startswith("-"):
        raise Refused(int(answer[1]), answer[2:])
    return answer[1:]


async def _copy(source: Wire, target: Wire) -> None:
    """Copy texts until the source ends. Raises TimeoutError, an OSError, if the target does not read for `_STALLED` seconds."""
    while (text := await source.receive()) is not None:
        async with asyncio.timeout(_STALLED):
            await target.send(text)


async def _telling(pipe: Pipe, work: Awaitable[None]) -> None:
    """Await `work`, and send a refusal to the worker that asked. Raises OSError when it has disconnected."""
    try:
        await work
    except Refused as error:
        await pipe.send(f"-{error.code}{error}")


async def _departure(pipe: Pipe) -> None:
    await pipe.receive()


class Workers:
    """The workers of one server. `folder`: the directory of their sockets; None: there is only this worker."""

    def __init__(self, engine: Engine, folder: Path | None) -> None:
        self._engine = engine
        self._pipes: set[Pipe] = set()
        self._folder = folder if sys.platform != "win32" else None

    def of(self, sid: str) -> Sessions:
        """Return the sessions of the worker that has this one. Raises Refused for an id that no worker here has made."""
        worker = worker_of(sid)
        if worker == self._engine.worker:
            return self._engine
        if self._folder is None or not (len(worker) == len(self._engine.worker) and set(worker) <= set("0123456789abcdef")):
            raise unknown_session()
        return Remote(self._folder / worker, self._pipes)

    def close(self) -> None:
        """Close all pipes to other workers."""
        for pipe in tuple(self._pipes):
            pipe.close()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Accept requests from other workers for the length of a block."""
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
            pass  # the other worker answers its client
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
