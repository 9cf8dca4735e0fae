"""New keys for devices, without anybody going there and without a moment in which none works."""

import asyncio
from typing import Any

from apiv3.noise import KeyPair
from tests.support.devices import Connection, Device, raw, text, told
from tests.support.server import LiveServer
from tests.support.storage import execute


async def rejected(device: Device, keys: KeyPair) -> bool:
    """Whether the hub turns a key away."""
    async with device.socket() as socket:
        connection = Connection(socket)
        await connection.shake_hands(keys, raw(device.hub_key))
        return await connection.closed() == 4401


async def offer(connection: Connection, keys: KeyPair, **options: Any) -> dict[str, Any]:
    return await connection.ask("key.new", {"public_key": text(keys.public)}, **options)


async def works(device: Device, keys: KeyPair) -> None:
    device.keys = keys
    async with device.connected() as connection:
        assert (await connection.ask("state", {"name": "x", "value": 1}))["type"] == "ack"


async def test_the_first_handshake_with_the_new_key_ends_the_old_one(hub: LiveServer, device: Device) -> None:
    old, new = device.keys, KeyPair.generate()
    async with device.connected() as connection:
        shown = await told(hub, "rotate", device.name)
        deadline = (await connection.told("key.rotate"))["body"]["deadline"]
        assert shown["rotation"] is not None
        assert deadline > 0
        assert (await offer(connection, new))["body"] == {}
    await works(device, old)  # the answer was lost, the power failed: the device begins again with what it has
    await works(device, new)
    assert await rejected(device, old)
    shown = await told(hub, "show", device.name)
    assert (shown["public_key"], shown["rotation"]) == (text(new.public), None)


async def test_a_device_that_is_away_is_asked_when_it_connects(hub: LiveServer, device: Device) -> None:
    await told(hub, "rotate", device.name)
    for _ in range(2):
        async with device.connected() as connection:
            await connection.told("key.rotate")


async def test_a_key_that_is_offered_again_replaces_the_first_offer(hub: LiveServer, device: Device) -> None:
    first, second = KeyPair.generate(), KeyPair.generate()
    await told(hub, "rotate", device.name)
    async with device.connected() as connection:
        for keys in (first, second):
            assert (await offer(connection, keys))["type"] == "ack"
    assert await rejected(device, first)
    await works(device, second)


async def test_a_new_key_that_nobody_asked_for_is_refused(hub: LiveServer, device: Device) -> None:
    async with device.connected() as connection:
        refused = await offer(connection, KeyPair.generate())
    assert refused["body"] == {"status": 409, "message": "No new key was asked for"}


async def test_keys_that_are_or_were_in_use_are_refused(hub: LiveServer, device: Device) -> None:
    await told(hub, "rotate", device.name)
    async with device.connected() as connection:
        refused = await offer(connection, device.keys)
        assert refused["body"]["status"] == 400
    await works(device, device.keys)


async def test_after_the_deadline_the_old_key_stays(hub: LiveServer, device: Device) -> None:
    old, new, late = device.keys, KeyPair.generate(), KeyPair.generate()
    await told(hub, "rotate", device.name)
    async with device.connected() as connection:
        await offer(connection, new)
    url = hub.installation.database_url
    execute(url, "UPDATE device_keys SET deadline = 1 WHERE public_key = ?", text(new.public))
    execute(url, "UPDATE devices SET rotation = 1 WHERE id = ?", device.id)
    assert await rejected(device, new)
    device.keys = old
    async with device.connected() as connection:
        await connection.told("time")  # by now it would have been asked for a key
        assert "key.rotate" not in [each["type"] for each in connection.said]
        assert (await offer(connection, late))["body"]["status"] == 409
    assert (await told(hub, "show", device.name))["public_key"] == text(old.public)


async def test_of_two_first_handshakes_with_the_new_key_both_work(hub: LiveServer, device: Device) -> None:
    new = KeyPair.generate()
    await told(hub, "rotate", device.name)
    async with device.connected() as connection:
        await offer(connection, new)
    device.keys = new
    await asyncio.gather(*(works(device, new) for _ in range(2)), return_exceptions=True)
    await works(device, new)
