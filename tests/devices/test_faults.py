"""Everything goes wrong at once, and every reading arrives exactly once."""

import asyncio
import json
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from apiv3.client.devices import Device, connection, enrol, pauses
from apiv3.client.devices.folder import Folder
from tests.support.devices import command_line, pairing, text
from tests.support.factories import FreshServer
from tests.support.faults import faulty_way

READINGS = 150


async def test_every_reading_arrives_exactly_once(
    fresh_server: FreshServer, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pieces of what is sent vanish, come twice, come late or changed; connections are cut; the server, of two processes, is
    killed twice; and the device's own clock begins in 1970. No document has an identifier by which the server could notice that
    it has come twice: its time of change would tell."""
    monkeypatch.setattr(pauses, "BOUNDS", dict.fromkeys(pauses.BOUNDS, (0.05, 0.2)))
    monkeypatch.setattr(connection, "PING", 0.5)
    server = await asyncio.to_thread(partial(fresh_server, database, workers=2))
    added = await asyncio.to_thread(command_line, server, "add", "station", "--role", "writer")
    parts = {**pairing(added["pairing_code"]), "url": server.url}
    await enrol(tmp_path, "apiv3:1:" + text(json.dumps(parts).encode()))
    monkeypatch.setattr(time, "time_ns", lambda: 0)
    async with faulty_way(server.port, seed=7) as way:
        folder = Folder(tmp_path)
        folder.belong_to(folder.hub()._replace(url=f"http://127.0.0.1:{way.port}"))
        async with Device.open(tmp_path, "station/1") as device:
            for number in range(READINGS):
                await device.send("entries", [reading(number)])
                if number in (50, 100):
                    await asyncio.to_thread(server.kill)
                    await asyncio.to_thread(server.start)
                await asyncio.sleep(0.01)
            async with asyncio.timeout(240):
                await device.drained()
            assert await device.set_aside() == []
    client = server.client(await asyncio.to_thread(server.subject, "reader", "api:entries:read"))
    answer = await asyncio.to_thread(partial(client.get, "/api/v3/entries", params={"limit": "1000", "sort": "date"}))
    found = answer.json()["result"]
    assert [each["sgv"] for each in found] == [40 + number for number in range(READINGS)]
    assert [each["sgv"] for each in found if each["srvModified"] != each["srvCreated"]] == []
    assert all(way.met.values()), way.met


def reading(number: int) -> dict[str, Any]:
    moment = 1_790_000_000_000 + 300_000 * number
    return {"type": "sgv", "app": "tests", "device": "station", "sgv": 40 + number, "date": moment}
