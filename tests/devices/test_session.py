"""The hub's end of an encrypted session, on a socket that is slow."""

from __future__ import annotations

import asyncio
import json
import random

import pytest

from apiv3.hub.session import Greeting, Session, shake_hands
from apiv3.model.devices import Device, Machine
from apiv3.model.identity import Subject
from apiv3.noise import Channel, Initiator, KeyPair, NoiseError
from tests.support.waiting import PATIENCE, until

HUB, DEVICE = KeyPair.generate(), KeyPair.generate()


class SlowSocket:
    """A websocket that lets other tasks run before it sends a message. `sent`: what it has sent, in order.

    `blocks`: whether the device has ceased to read; `is_sending`: whether a message waits for that.
    """

    def __init__(self) -> None:
        self.coming, self.sent = asyncio.Queue[bytes](), list[bytes]()
        self.blocks = self.is_sending = False
        self._chance = random.Random(1)

    async def receive_bytes(self) -> bytes:
        return await self.coming.get()

    async def send_bytes(self, data: bytes) -> None:
        if self.blocks:
            self.is_sending = True
            await asyncio.get_running_loop().create_future()
        for _ in range(self._chance.randrange(5)):
            await asyncio.sleep(0)
        self.sent.append(data)

    async def close(self, code: int) -> None:
        """Nothing is left to do."""


async def connected(socket: SlowSocket) -> tuple[Session, Channel]:
    """The session of the hub, and the device's end of its channel."""
    device = Initiator(DEVICE, HUB.public)
    await socket.coming.put(device.write())
    shaking = asyncio.create_task(shake_hands(socket, HUB))
    await until(lambda: socket.sent)
    device.read(socket.sent.pop())
    await socket.coming.put(device.write(b'{"v":1,"software":"test/1"}'))
    return session(await shaking, socket), device.channel()


def session(greeting: Greeting, socket: SlowSocket) -> Session:
    return Session("one", Machine(Device("d"), Subject("d", "rig", ())), greeting, socket)


async def test_two_hundred_tasks_that_send_at_once_keep_the_order_of_the_nonces() -> None:
    """Each message is encrypted and sent in one step, so the device can read all of them one after the other."""
    socket = SlowSocket()
    hub, device = await connected(socket)
    await asyncio.gather(*(hub.tell("time", {"now": number}) for number in range(200)))
    read = [json.loads(device.decrypt(frame))["body"]["now"] for frame in socket.sent]
    assert sorted(read) == list(range(200))


async def test_a_message_that_is_cut_short_is_the_last_one() -> None:
    """Its nonce is used, so the device could not read what comes after it."""
    socket = SlowSocket()
    hub, _ = await connected(socket)
    socket.blocks = True
    sending = [asyncio.create_task(hub.tell("time", {"now": number})) for number in range(2)]
    await until(lambda: socket.is_sending)
    sending[0].cancel()
    async with asyncio.timeout(PATIENCE):
        ended = await asyncio.gather(*sending, return_exceptions=True)
    assert [type(each) for each in ended] == [asyncio.CancelledError, ConnectionResetError]
    assert hub.is_over
    assert socket.sent == []


async def test_a_message_that_is_too_long_is_refused_before_it_is_encrypted() -> None:
    socket = SlowSocket()
    hub, device = await connected(socket)
    longest = b"x" * 65_519
    await hub.send(longest)
    assert device.decrypt(socket.sent.pop()) == longest
    with pytest.raises(NoiseError):
        await hub.send(longest + b"x")
    assert socket.sent == []
