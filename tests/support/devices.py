"""Devices as programs of others would be: a key, the handshake, envelopes. They know the server by the contract alone."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import httpx
import websockets
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from apiv3.noise import Channel, Initiator, KeyPair
from tests.support.commands import here
from tests.support.server import LiveServer
from tests.support.waiting import PATIENCE

ENROL = "/api/v3/hub/enrol"
_numbers = count()


def text(key: bytes) -> str:
    return base64.urlsafe_b64encode(key).rstrip(b"=").decode()


def raw(key: str) -> bytes:
    return base64.urlsafe_b64decode(key + "=" * (-len(key) % 4))


def pairing(code: str) -> dict[str, str]:
    """The parts of a pairing code."""
    assert code.startswith("apiv3:1:")
    parts: dict[str, str] = json.loads(raw(code.removeprefix("apiv3:1:")))
    return parts


def code_at(url: str, code: str) -> str:
    """A pairing code for an address where the server really is, which its settings do not say."""
    return "apiv3:1:" + text(json.dumps({**pairing(code), "url": url}).encode())


def enrol(server: LiveServer, code: str, public_key: str, **options: Any) -> httpx.Response:
    body = {"code": code, "public_key": public_key}
    return httpx.post(server.url + ENROL, json=body, trust_env=False, verify=False, timeout=PATIENCE, **options)


def command_line(server: LiveServer, *arguments: str) -> Any:
    """What `apiv3 device ...` prints as JSON."""
    done = here(server.installation, "device", *arguments, "--json")
    assert done.status == 0, done.errors
    return json.loads(done.output)


@dataclass
class Device:
    """A device that is enrolled, with its key and what it knows of the hub."""

    server: LiveServer
    id: str
    name: str
    hub_key: str
    keys: KeyPair = field(default_factory=KeyPair.generate)

    @asynccontextmanager
    async def connected(self, **options: Any) -> AsyncIterator[Connection]:
        """A connection after its handshake."""
        async with self.socket() as socket:
            connection = Connection(socket)
            await connection.shake_hands(self.keys, raw(self.hub_key), **options)
            yield connection

    @asynccontextmanager
    async def socket(self, **options: Any) -> AsyncIterator[ClientConnection]:
        async with open_socket(self.server, **options) as socket:
            yield socket


@asynccontextmanager
async def open_socket(server: LiveServer, *subprotocols: str, **options: Any) -> AsyncIterator[ClientConnection]:
    """A websocket to the hub before its handshake."""
    url = server.url.replace("http", "ws", 1) + "/api/v3/hub"
    if url.startswith("wss"):
        options["ssl"] = ssl._create_unverified_context()
    names = [Subprotocol(name) for name in subprotocols or ("apiv3.noise.1",)]
    async with connect(url, subprotocols=names, max_size=None, proxy=None, compression=None, **options) as socket:
        yield socket


class Connection:
    """An encrypted connection. `said`: what the hub has sent and nobody has asked for yet."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.channel: Channel
        self.challenge: dict[str, Any] = {}
        self.said: list[dict[str, Any]] = []

    async def shake_hands(self, keys: KeyPair, hub_key: bytes, software: str = "test/1", version: int = 1) -> None:
        handshake = Initiator(keys, hub_key)
        await self.socket.send(handshake.write())
        self.challenge = json.loads(handshake.read(await self._frame()))
        await self.socket.send(handshake.write(json.dumps({"v": version, "software": software}).encode()))
        self.channel = handshake.channel()

    async def send(self, type: str, body: Any, *, id: str | None = None, ts: int | None = None) -> str:
        """Send an envelope, and return its id."""
        name = id or str(uuid.uuid4())
        moment = round(time.time() * 1000) if ts is None else ts
        await self.send_raw({"v": 1, "type": type, "id": name, "ts": moment, "body": body})
        return name

    async def send_raw(self, value: Any) -> None:
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        await self.socket.send(self.channel.encrypt(data))

    async def ask(self, type: str, body: Any, **options: Any) -> dict[str, Any]:
        """Send an envelope, and return the answer to it."""
        name = await self.send(type, body, **options)
        return await self.wait_for(lambda said: said.get("re") == name)

    async def told(self, type: str) -> dict[str, Any]:
        """The next envelope of this type that the hub sends."""
        return await self.wait_for(lambda said: said["type"] == type)

    async def wait_for(self, suits: Any) -> dict[str, Any]:
        for at, before in enumerate(self.said):
            if suits(before):
                return self.said.pop(at)
        while True:
            said: dict[str, Any] = json.loads(self.channel.decrypt(await self._frame()))
            if suits(said):
                return said
            self.said.append(said)

    async def closed(self) -> int:
        """Wait for the end of the connection, and return its code."""
        async with asyncio.timeout(PATIENCE):
            try:
                while True:
                    await self.socket.recv()
            except websockets.ConnectionClosed as end:
                return -1 if end.rcvd is None else end.rcvd.code

    async def _frame(self) -> bytes:
        async with asyncio.timeout(PATIENCE):
            frame = await self.socket.recv()
        assert isinstance(frame, bytes)
        return frame


async def told(server: LiveServer, *arguments: str) -> Any:
    """What `apiv3 device ...` prints as JSON, beside the event loop of a test."""
    return await asyncio.to_thread(command_line, server, *arguments)


async def new_device(server: LiveServer, *roles: str) -> Device:
    """A device that was added by the command line and has enrolled itself."""
    return await asyncio.to_thread(make_device, server, *roles)


def make_device(server: LiveServer, *roles: str) -> Device:
    name = f"rig {next(_numbers)} {server.port}"
    made = command_line(server, "add", name, *(option for role in roles for option in ("--role", role)))
    parts = pairing(made["pairing_code"])
    found = Device(server, made["_id"], name, parts["hub_key"])
    answer = enrol(server, parts["code"], text(found.keys.public))
    assert answer.status_code == 200, answer.text
    return found


def reading(number: int, **fields: Any) -> Mapping[str, Any]:
    """A reading of a sensor, one for each number."""
    return {"date": 1_700_000_000_000 + 300_000 * number, "app": "rig", "device": "g6", "type": "sgv", "sgv": 100} | fields
