"""The way to an encrypted session, and what is told to those who do not find it: nothing."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable

import httpx
import pytest
import websockets

from apiv3.noise import Initiator, KeyPair
from tests.support.devices import Connection, Device, new_device, open_socket, raw, text, told
from tests.support.server import LiveServer

HUB = "/api/v3/hub"


async def test_the_hub_tells_the_time_and_how_much_it_takes(device: Device) -> None:
    async with device.connected() as connection:
        assert abs(connection.challenge["now"] - time.time() * 1000) < 60_000
        assert connection.challenge == {"now": connection.challenge["now"], "max": 65_519}
        assert connection.socket.subprotocol == "apiv3.noise.1"
        assert not connection.socket.protocol.extensions
        assert (await connection.ask("state", {"name": "up", "value": True}))["body"] == {}


def test_the_hub_has_one_key(hub: LiveServer, device: Device) -> None:
    assert len(raw(device.hub_key)) == 32
    assert device.hub_key != (hub.installation.data / "hub_key").read_text().strip()


async def test_who_the_device_is_and_what_it_runs_is_seen(hub: LiveServer, device: Device) -> None:
    async with device.connected(software="rig/2.1") as connection:
        await connection.ask("state", {"name": "up", "value": True})
        seen = await told(hub, "show", device.name)
    assert (seen["software"], seen["connected"], seen["address"], seen["state"]) == ("rig/2.1", True, "127.0.0.1", "active")


def test_a_request_that_is_no_websocket(hub: LiveServer) -> None:
    answer = httpx.get(hub.url + HUB, trust_env=False)
    assert (answer.status_code, answer.headers["upgrade"]) == (426, "websocket")


@pytest.mark.parametrize("offered", ["apiv3.noise.2", "chat"])
async def test_another_subprotocol_is_refused(hub: LiveServer, offered: str) -> None:
    with pytest.raises(websockets.InvalidStatus) as refused:
        async with open_socket(hub, offered):
            pass
    assert refused.value.response.status_code == 400


async def test_a_page_of_another_site_gets_no_further_than_the_handshake(device: Device) -> None:
    async with device.socket(origin="https://evil.example") as socket:
        await socket.send(b"\0" * 48)
        assert await Connection(socket).closed() == 4400


async def _wrong_hub(device: Device, connection: Connection) -> None:
    """A device that expects another hub: its first message is not for this one."""
    await connection.socket.send(Initiator(device.keys, KeyPair.generate().public).write())


async def _garbage(_device: Device, connection: Connection) -> None:
    await connection.socket.send(b"x" * 48)


async def _text(_device: Device, connection: Connection) -> None:
    await connection.socket.send("hello")


async def _empty(_device: Device, connection: Connection) -> None:
    await connection.socket.send(b"")


async def _low_order(_device: Device, connection: Connection) -> None:
    """An ephemeral key of low order, with which anybody could compute the secrets."""
    await connection.socket.send(bytes(32) + b"x" * 16)


async def _payload(device: Device, connection: Connection) -> None:
    await connection.socket.send(Initiator(device.keys, raw(device.hub_key)).write(b"{}"))


async def _changed(device: Device, connection: Connection) -> None:
    """The third message with one bit changed."""
    handshake = await _half(device, connection)
    message = bytearray(handshake.write(b'{"v":1,"software":"x/1"}'))
    message[-1] ^= 1
    await connection.socket.send(bytes(message))


async def _nonsense(device: Device, connection: Connection) -> None:
    handshake = await _half(device, connection)
    await connection.socket.send(handshake.write(b"nonsense"))


async def _version(device: Device, connection: Connection) -> None:
    handshake = await _half(device, connection)
    await connection.socket.send(handshake.write(b'{"v":2,"software":"x/1"}'))


async def _half(device: Device, connection: Connection) -> Initiator:
    handshake = Initiator(device.keys, raw(device.hub_key))
    await connection.socket.send(handshake.write())
    frame = await connection.socket.recv()
    assert isinstance(frame, bytes)
    handshake.read(frame)
    return handshake


Attempt = Callable[[Device, Connection], Awaitable[None]]
ATTEMPTS: list[Attempt] = [_wrong_hub, _garbage, _text, _empty, _low_order, _payload, _changed, _nonsense, _version]


@pytest.mark.parametrize("attempt", ATTEMPTS, ids=lambda attempt: attempt.__name__.strip("_"))
async def test_a_handshake_that_is_none_ends_without_a_word(device: Device, attempt: Attempt) -> None:
    async with device.socket() as socket:
        connection = Connection(socket)
        await attempt(device, connection)
        assert await connection.closed() == 4400


async def test_an_unknown_key_is_rejected_after_the_handshake_alone(device: Device) -> None:
    stranger = Device(device.server, "nobody", "nobody", device.hub_key)
    async with stranger.socket() as socket:
        connection = Connection(socket)
        await connection.shake_hands(stranger.keys, raw(device.hub_key))
        assert await connection.closed() == 4401


async def test_a_recorded_handshake_is_worth_nothing(device: Device) -> None:
    handshake, recorded = Initiator(device.keys, raw(device.hub_key)), []
    async with device.socket() as socket:
        recorded.append(handshake.write())
        await socket.send(recorded[0])
        frame = await socket.recv()
        assert isinstance(frame, bytes)
        handshake.read(frame)
        recorded.append(handshake.write(b'{"v":1,"software":"x/1"}'))
        await socket.send(recorded[1])
        channel = handshake.channel()
        await socket.send(channel.encrypt(json.dumps({"v": 1, "type": "x", "id": "x", "ts": 0, "body": {}}).encode()))
    async with device.socket() as socket:
        await socket.send(recorded[0])
        await socket.recv()
        await socket.send(recorded[1])
        assert await Connection(socket).closed() == 4400


async def test_a_handshake_that_takes_too_long_is_ended(hubs: Callable[[str], LiveServer]) -> None:
    """On one database, as none is asked."""
    device = await new_device(await asyncio.to_thread(hubs, "sqlite"))
    async with device.socket() as socket:
        begun = time.monotonic()
        assert await Connection(socket).closed() == 4408
        assert time.monotonic() - begun > 9


async def test_the_hubs_key_is_not_enough_to_read_what_a_device_sends(device: Device) -> None:
    """Each session has its own keys: the same envelope looks different every time."""
    frames = []
    for _ in range(2):
        async with device.connected() as connection:
            frames.append(connection.channel.encrypt(b"the same"))
    assert frames[0] != frames[1]
    assert text(frames[0]) != text(frames[1])
