"""Many devices at once, and one that says too much."""

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from apiv3.client.devices import Device as Client
from apiv3.client.devices import pauses
from apiv3.client.devices.folder import Folder, Hub
from tests.support.devices import Connection, Device, make_device, raw, text, told
from tests.support.factories import FreshServer
from tests.support.server import LiveServer
from tests.support.waiting import PATIENCE, until

DEVICES = 100
LINES = 500
"""Lines of a log in one message."""


async def test_a_hub_that_starts_again_under_many_devices_rejects_none(
    fresh_server: FreshServer, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They come back in their own time; a hub that cannot look a key up yet never says that it does not know it."""
    monkeypatch.setattr(pauses, "BOUNDS", {**pauses.BOUNDS, "lost": (0.5, 2.0)})
    server = await asyncio.to_thread(fresh_server, database)
    hub_key = raw((await asyncio.to_thread(make_device, server)).hub_key)
    met, last = Counter[str](), dict[int, str]()

    async def open_one(number: int) -> None:
        def note(status: str, _: Any) -> None:
            met[status] += 1
            last[number] = status

        folder = await asyncio.to_thread(_enrolled, server, tmp_path / str(number), hub_key)
        await stack.enter_async_context(Client.open(folder, on_status=note))

    def are_all_there() -> bool:
        return [*last.values()] == ["connected"] * DEVICES

    async with AsyncExitStack() as stack:
        await asyncio.gather(*(open_one(number) for number in range(DEVICES)))
        for stop in (server.kill, server.stop):
            await until(are_all_there)
            await asyncio.to_thread(stop)
            await until(lambda: "connected" not in last.values())
            await asyncio.to_thread(server.start)
        await until(are_all_there)
    assert set(met) == {"connected", "lost"}
    assert met["connected"] == 3 * DEVICES


def _enrolled(server: LiveServer, path: Path, hub_key: bytes) -> Path:
    """The folder of a device that the hub knows already."""
    folder = Folder(path)
    folder.make()
    body = {"name": f"device {path.name}", "roles": [], "notes": "", "public_key": text(folder.keys().public)}
    folder.belong_to(Hub(server.url, hub_key, server.admin("POST", "/devices", body)["_id"]))
    return path


async def test_a_command_gets_through_while_the_log_is_flooded(hub: LiveServer, device: Device) -> None:
    """The flood does not end before the command has come."""
    over = asyncio.Event()
    async with device.connected() as connection, asyncio.timeout(PATIENCE):
        flood = asyncio.create_task(_flood(connection, over))
        given = await told(hub, "command", device.name, "restart")
        assert (await connection.told("command"))["body"]["command"] == given["command"]
        over.set()
        for _ in range(await flood):
            assert (await connection.told("ack"))["body"] == {}


async def _flood(connection: Connection, over: asyncio.Event) -> int:
    """Send log after log without waiting for an answer, as a device in a crash loop does; return their number."""
    lines, sent = [{"ts": number, "level": "error", "text": "crash " * 10} for number in range(LINES)], 0
    while not over.is_set():
        await connection.send("log", {"lines": lines})
        sent += 1
    return sent
