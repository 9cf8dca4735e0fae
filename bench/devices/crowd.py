"""Devices and HTTP clients that send the same documents, each on a connection of its own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from email.utils import formatdate
from itertools import count
from typing import Any, Self, TypeVar

import httpx
import orjson
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from apiv3.noise import KeyPair
from bench.documents import COLLECTION, FIVE_MINUTES, entry, identifier
from bench.load import WrongAnswer
from tests.support.devices import Connection

AT_ONCE = 16
"""Devices that shake hands at the same time."""
REJECTED = 4401
_T = TypeVar("_T")
_numbers = count()


@dataclass(frozen=True, slots=True)
class Key:
    """The subject of a device, and its key."""

    id: str
    keys: KeyPair


@dataclass(slots=True)
class Crowd:
    """Connected devices. `waits`: the seconds that each took to connect."""

    hub_key: bytes
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)
    connections: dict[str, Connection] = field(default_factory=dict)
    waits: list[float] = field(default_factory=list)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stack.aclose()

    async def gather(self, port: int, devices: Sequence[Key]) -> float:
        """Connect devices, some at a time, each until the hub has accepted it. Return the seconds for all."""
        started, coming = time.perf_counter(), iter(devices)

        async def enter() -> None:
            for device in coming:
                self.waits.append(await self._enter(port, device))

        await asyncio.gather(*(enter() for _ in range(AT_ONCE)))
        return time.perf_counter() - started

    async def _enter(self, port: int, device: Key) -> float:
        started = time.perf_counter()
        url, names = f"ws://127.0.0.1:{port}/api/v3/hub", [Subprotocol("apiv3.noise.1")]
        opening = connect(url, subprotocols=names, proxy=None, compression=None, ping_interval=None, open_timeout=60)
        connection = Connection(await self.stack.enter_async_context(opening))
        await connection.shake_hands(device.keys, self.hub_key)
        await connection.told("time")
        self.connections[device.id] = connection
        return time.perf_counter() - started


def documents(number: int) -> list[dict[str, Any]]:
    """Return documents that nobody has sent before."""
    chosen = [next(_numbers) for _ in range(number)]
    return [entry(identifier(each), 1_000_000_000_000 + each * FIVE_MINUTES) for each in chosen]


async def send_message(connection: Connection, number: int) -> None:
    """Send documents as a message, and wait for the answer. Raise WrongAnswer unless all are stored."""
    answer = await connection.ask("data", {"collection": COLLECTION, "documents": documents(number)})
    _check(answer, answer["body"].get("results", ()), number)


async def send_bulk(client: HttpClient, number: int) -> None:
    """Send documents in a bulk request, and wait for the answer. Raise WrongAnswer unless all are stored."""
    answer = await client.post(f"/api/v3/{COLLECTION}/bulk", orjson.dumps(documents(number)))
    _check(answer, answer.get("result", ()), number)


def _check(answer: Any, results: Any, number: int) -> None:
    if [each.get("status") for each in results] != [201] * number:
        raise WrongAnswer(f"documents were not stored: {str(answer)[:300]}")


class HttpClient:
    """A keep-alive connection that costs the load generator as little as a websocket does."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, token: str) -> None:
        self._reader, self._writer, self._token = reader, writer, token

    @classmethod
    async def open(cls, port: int, token: str) -> Self:
        return cls(*await asyncio.open_connection("127.0.0.1", port), token)

    def close(self) -> None:
        self._writer.close()

    async def post(self, path: str, body: bytes) -> Any:
        """Send JSON, and return the JSON of the answer."""
        head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {self._token}\r\n"
        head += f"Date: {formatdate(usegmt=True)}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        self._writer.write(head.encode() + body)
        lines = (await self._reader.readuntil(b"\r\n\r\n")).lower().split(b"\r\n")
        [length] = [int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length:")]
        return orjson.loads(await self._reader.readexactly(length))


async def round_of(send: Callable[[_T, int], Awaitable[None]], senders: Sequence[_T], number: int, seconds: float) -> float:
    """Let each sender send again and again. Return the messages or requests a second."""
    started, done = time.perf_counter(), 0

    async def work(sender: _T) -> None:
        nonlocal done
        while time.perf_counter() - started < seconds:
            await send(sender, number)
            done += 1

    await asyncio.gather(*(work(each) for each in senders))
    return done / (time.perf_counter() - started)


async def cut(connection: Connection, port: int, token: str, device: str) -> float:
    """Revoke a device by a server, and return the seconds until its connection is cut. Raise WrongAnswer."""
    url, headers = f"http://127.0.0.1:{port}/api/v2/authorization/devices/{device}/revoke", {"Authorization": f"Bearer {token}"}
    waiting = asyncio.create_task(connection.closed())
    async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
        started = time.perf_counter()
        ended = asyncio.get_running_loop().create_future()
        waiting.add_done_callback(lambda _: ended.set_result(time.perf_counter()))
        (await client.post(url, headers=headers)).raise_for_status()
        moment = await ended
    if waiting.result() != REJECTED:
        raise WrongAnswer(f"a revoked device was told {waiting.result()}")
    return float(moment - started)
