"""What ends a connection, whichever process has it."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from functools import partial

import pytest
import websockets

from tests.support.devices import Connection, Device, new_device, raw, told
from tests.support.factories import FreshServer
from tests.support.server import LiveServer
from tests.support.storage import execute
from tests.support.waiting import until

ENDS: dict[str, Callable[[LiveServer, Device], Awaitable[object]]] = {
    "revoked": lambda hub, device: told(hub, "revoke", device.name),
    "disabled": lambda hub, device: told(hub, "change", device.name, "--disable"),
    "removed": lambda hub, device: told(hub, "remove", device.name),
    "removed as a subject": lambda hub, device: asyncio.to_thread(hub.admin, "DELETE", f"/subjects/{device.id}"),
}


@pytest.mark.parametrize("end", ENDS)
async def test_who_may_no_longer_be_there_is_cut_off(hub: LiveServer, end: str) -> None:
    """By the command line, so that no process of the server hears of it but by the database."""
    device = await new_device(hub)
    async with device.connected() as connection:
        assert (await connection.ask("state", {"name": "x", "value": 1}))["type"] == "ack"
        await ENDS[end](hub, device)
        assert await connection.closed() == 4401
    async with device.socket() as socket:
        connection = Connection(socket)
        await connection.shake_hands(device.keys, raw(device.hub_key))
        assert await connection.closed() == 4401


async def test_a_device_that_is_enabled_again_keeps_its_key(hub: LiveServer, device: Device) -> None:
    await told(hub, "change", device.name, "--disable")
    await told(hub, "change", device.name, "--enable")
    async with device.connected() as connection:
        assert (await connection.ask("state", {"name": "x", "value": 1}))["type"] == "ack"


async def test_a_new_connection_ends_the_one_before(hub: LiveServer, device: Device) -> None:
    """In the same process and in the other one, and over again: eight connections meet both."""
    for _ in range(4):
        async with device.connected() as first, device.connected() as second:
            assert await first.closed() == 4409
            assert (await second.ask("state", {"name": "x", "value": 1}))["type"] == "ack"
    shown = await told(hub, "show", device.name)
    assert shown["displaced"] is not None


async def test_what_is_cleaned_up_late_leaves_the_new_connection_alone(hub: LiveServer, device: Device) -> None:
    async with device.connected() as first, device.connected() as second:
        await first.closed()
        await asyncio.sleep(1)  # the first one's process has noted its end by now
        assert (await second.ask("state", {"name": "x", "value": 1}))["type"] == "ack"
        assert (await told(hub, "show", device.name))["connected"] is True
    await until_disconnected(hub, device)


async def until_disconnected(hub: LiveServer, device: Device) -> None:
    url = hub.installation.database_url
    await until(lambda: execute(url, "SELECT connection FROM devices WHERE id = ?", device.id)[0][0] is None)


async def test_nothing_brings_a_removed_device_back(hub: LiveServer) -> None:
    device = await new_device(hub)
    url = hub.installation.database_url
    async with device.connected() as connection:
        await connection.ask("log", {"lines": [{"ts": 1, "level": "info", "text": "x"}]})
        execute(url, "INSERT INTO offers (package, device, version) VALUES ('rig', ?, '1.0')", device.id)
        await told(hub, "remove", device.name)
        await connection.closed()
    await asyncio.sleep(1)  # the end of the connection has been noted by now
    owned = ("device_messages", "device_records", "device_commands", "offers")
    for table, column in (("devices", "id"), ("subjects", "id"), *((table, "device") for table in owned)):
        assert execute(url, f"SELECT count(*) FROM {table} WHERE {column} = ?", device.id)[0][0] == 0, table


async def test_a_server_that_stops_says_so_and_the_device_comes_back(database: str, fresh_server: FreshServer) -> None:
    server = await asyncio.to_thread(fresh_server, database)
    device = await new_device(server)
    async with device.connected() as connection:
        stopping = asyncio.create_task(asyncio.to_thread(server.interrupt))
        assert await connection.closed() == 1012
        assert await stopping == 0
    assert execute(server.installation.database_url, "SELECT connection FROM devices")[0][0] is None
    await asyncio.to_thread(server.start)
    async with device.connected() as connection:
        assert (await connection.ask("state", {"name": "x", "value": 1}))["type"] == "ack"
    assert "Traceback" not in server.output


async def test_a_connection_that_answers_no_ping_is_ended(database: str, fresh_server: FreshServer) -> None:
    """A device whose network has died without a word does not stay connected; one that only has nothing to say does."""
    server = await asyncio.to_thread(partial(fresh_server, database, env={"API3_LIVE_PING_INTERVAL": "1"}))
    dead, quiet = await new_device(server), await new_device(server)
    async with dead.connected() as connection, quiet.connected() as other:
        connection.socket.transport.pause_reading()
        await until_disconnected(server, dead)
        connection.socket.transport.abort()
        assert (await other.ask("state", {"name": "x", "value": 1}))["type"] == "ack"


async def test_messages_under_way_when_the_process_is_killed_are_done_once(database: str, fresh_server: FreshServer) -> None:
    server = await asyncio.to_thread(fresh_server, database)
    device = await new_device(server, "moderator")
    names = [f"r{number}" for number in range(40)]
    messages = {name: str(uuid.uuid4()) for name in names}
    answered = set[str]()
    for attempt in range(4):
        try:
            async with device.connected() as connection:
                for name in names:
                    if name not in answered:
                        body = {
                            "collection": "entries",
                            "documents": [{"date": 1_700_000_000_000, "app": "a", "identifier": name}],
                        }
                        await connection.send("data", body, id=messages[name])
                if attempt < 3:
                    await connection.wait_for(lambda said: said["type"] == "ack")
                    await asyncio.to_thread(server.kill)
                while len(answered) < len(names):
                    ack = await connection.wait_for(lambda said: said["type"] == "ack")
                    assert ack["body"]["results"][0]["status"] == 201
                    answered.add(ack["body"]["results"][0]["identifier"])
        except (OSError, websockets.ConnectionClosed, TimeoutError):
            if attempt == 3:
                raise
            await asyncio.to_thread(server.start)
    client = server.client(await asyncio.to_thread(server.subject, "reader", "api:entries:read"))
    found = (await asyncio.to_thread(client.get, "/api/v3/entries", params={"limit": 100})).json()["result"]
    assert sorted(each["identifier"] for each in found) == sorted(names)
    assert all(each["srvCreated"] == each["srvModified"] for each in found)  # none was done twice
