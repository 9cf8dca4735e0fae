"""The hub of one process on a real store: what it tells devices by itself, and what it notes of those that say nothing."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any, cast

import pytest

from apiv3.hub import hub as module
from apiv3.hub.hub import Hub
from apiv3.hub.session import REJECTED, REPLACED
from apiv3.model.audit import Actor, Entry, Target
from apiv3.model.devices import Command, Machine, Message, Record
from apiv3.model.errors import StorageUnavailable
from apiv3.model.identity import Subject
from apiv3.model.timestamps import now
from apiv3.noise import Channel, Initiator, KeyPair
from apiv3.security.devices.keys import text_of
from apiv3.security.policy import Policies
from apiv3.security.secrets import object_id
from apiv3.storage.commands import CommandTable
from apiv3.storage.database import Database
from apiv3.storage.devices import DeviceTable
from apiv3.storage.messages import MessageTable
from apiv3.storage.offers import OfferTable
from apiv3.storage.policy import PolicyTable
from tests.support.storage import execute, unique
from tests.support.waiting import PATIENCE, until

HUB = KeyPair.generate()
HOUR = 3_600_000
"""Ms."""
End = Callable[["Place", str], Awaitable[None]]


class Line:
    """A websocket whose other end is in this process. `code`: with which the hub has closed it."""

    def __init__(self) -> None:
        self.up, self.down = asyncio.Queue[bytes | None](), asyncio.Queue[bytes]()
        self.code: int | None = None

    async def receive_bytes(self) -> bytes | None:
        return await self.up.get()

    async def send_bytes(self, data: bytes) -> None:
        await self.down.put(data)

    async def close(self, code: int) -> None:
        self.code = code
        await self.up.put(None)


class Station:
    """A device after its handshake. `said`: what the hub has told it."""

    def __init__(self, id: str, line: Line, channel: Channel) -> None:
        self.id, self.line, self._channel = id, line, channel
        self.said: list[dict[str, Any]] = []

    async def told(self, type: str) -> dict[str, Any]:
        """The body of the next envelope of a type."""
        async with asyncio.timeout(PATIENCE):
            while True:
                self.said.append(json.loads(self._channel.decrypt(await self.line.down.get())))
                if self.said[-1]["type"] == type:
                    body: dict[str, Any] = self.said[-1]["body"]
                    return body


class Faulty(DeviceTable):
    """A store that is unavailable a few times."""

    faults = 0

    async def find(self, id: str) -> Machine | None:
        if self.faults:
            self.faults -= 1
            raise StorageUnavailable
        return await super().find(id)


class Place:
    """A hub, and the stores that it uses."""

    def __init__(self, database: Database) -> None:
        self.devices, self.messages, self.commands = Faulty(database), MessageTable(database), CommandTable(database)
        self.policies = Policies(PolicyTable(database), "x" * 32)
        handler = cast("Any", None)  # these devices say nothing
        stores = (self.devices, self.messages, self.commands, OfferTable(database))
        self.hub = Hub(HUB, *stores, handler, self.policies, HOUR)

    async def enrolled(self) -> tuple[str, KeyPair]:
        """A new device, and its key."""
        subject, keys = Subject(object_id(), unique("rig"), (), nonce="first"), KeyPair.generate()
        async with self.devices.changing() as writer:
            await writer.policy.put_subject(subject)
            await writer.add(subject.id)
            await writer.add_key(subject.id, text_of(keys.public), now())
        return subject.id, keys

    @asynccontextmanager
    async def connected(self, device: tuple[str, KeyPair] | None = None) -> AsyncIterator[Station]:
        """A device that is connected, a new one unless it is given."""
        name, keys = device or await self.enrolled()
        line, handshake = Line(), Initiator(keys, HUB.public)
        serving = asyncio.create_task(self.hub.serve(line, "192.0.2.1", lambda: None))
        await line.up.put(handshake.write())
        handshake.read(await line.down.get())
        await line.up.put(handshake.write(b'{"v":1,"software":"rig/1"}'))
        try:
            yield Station(name, line, handshake.channel())
        finally:
            await line.up.put(None)
            await serving

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Let the hub do what it does by itself."""
        task = asyncio.create_task(self.hub.run())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


@pytest.fixture
async def place(opened: Database) -> Place:
    made = Place(opened)
    await made.policies.refresh()
    await made.hub.catch_up()
    return made


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Shortens the hub's times, in seconds."""

    def hasten(**times: float) -> None:
        for name, value in times.items():
            monkeypatch.setattr(module, name, value)

    return hasten


def command(device: str) -> Command:
    return Command(str(uuid.uuid4()), device, 0, "beep", None, now(), now() + HOUR, updated=now())


def entry() -> Entry:
    return Entry(now(), Actor("", "tests", "test", ""), "command-made", Target("device", "", ""))


async def test_the_time_is_told_again_after_an_hour(place: Place, hasty: Callable[..., None]) -> None:
    hasty(CLOCK=0.3, SAVING=0.1, INTERVAL=0.02)
    async with place.connected() as station, place.running():
        times = [(await station.told("time"))["now"] for _ in range(3)]
    assert times[2] - times[0] >= 2 * 300 - 50


async def test_each_thing_is_told_once_in_a_session(place: Place) -> None:
    async with place.connected() as station:
        await station.told("time")
        async with place.devices.changing() as writer:
            await writer.ask_rotation(station.id, now() + HOUR)
        await place.hub.catch_up()
        await station.told("key.rotate")
        given = []
        for _ in range(3):
            given.append(await place.commands.add(command(station.id), entry()))
            await place.hub.catch_up()
            await station.told("command")
    told = [each["body"]["command"] for each in station.said if each["type"] == "command"]
    assert told == [each.id for each in given if each is not None]
    assert len(station.said) == 5


async def test_what_could_not_be_told_is_told_later(place: Place, hasty: Callable[..., None]) -> None:
    hasty(PATIENCE=0.05)
    place.devices.faults = 3
    async with place.connected() as station:
        assert abs((await station.told("time"))["now"] - now()) < 60_000


async def test_a_device_that_says_nothing_counts_as_seen(place: Place, hasty: Callable[..., None], migrated_url: str) -> None:
    hasty(SAVING=0.1, INTERVAL=0.02)

    def seen(station: Station) -> int:
        [(moment,)] = execute(migrated_url, "SELECT seen FROM devices WHERE id = ?", station.id)
        return int(moment)

    async with place.connected() as station:
        await station.told("time")
        first = seen(station)
        async with place.running():
            await until(lambda: seen(station) > first)


async def test_when_a_device_was_seen_is_stored_at_the_end(place: Place, migrated_url: str) -> None:
    async with place.connected() as station:
        await station.told("time")
        moment = place.hub._sightings.note(station.id)
        await place.hub.save()
    assert execute(migrated_url, "SELECT seen FROM devices WHERE id = ?", station.id) == [(moment,)]


async def test_the_end_of_a_connection_is_stored_though_it_could_not_be_at_first(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unavailable(*_: object) -> None:
        raise StorageUnavailable

    async with place.connected() as station:
        await station.told("time")
    with monkeypatch.context() as broken:
        broken.setattr(place.devices, "disconnect", unavailable)
        with pytest.raises(StorageUnavailable):
            await place.hub.save()
    await place.hub.save()
    found = await place.devices.find(station.id)
    assert found is not None
    assert found.device.connection is None


async def test_old_messages_are_forgotten_and_the_others_are_not(
    place: Place, hasty: Callable[..., None], migrated_url: str
) -> None:
    hasty(BATCH=2, SAVING=0.02, INTERVAL=0.02)
    device, _ = await place.enrolled()
    record, moment = Record("state", 0, 1, "", {"name": "x", "value": 1}), now()
    sent = {Message(device, str(uuid.uuid4()), "digest"): age for age in (2 * HOUR,) * 5 + (HOUR // 2,)}
    for message, age in sent.items():
        await place.messages.record(message, [record], None, moment - age)

    async def forgotten() -> int:
        """How many of them are done again when they come again."""
        before = len(await place.messages.records(device, "state", None, "", 100))
        for message in sent:
            await place.messages.record(message, [record], None, moment)
        return len(await place.messages.records(device, "state", None, "", 100)) - before

    async with place.running():
        query = "SELECT id FROM device_messages WHERE device = ?"
        await until(lambda: len(execute(migrated_url, query, device)) == 1)
    assert await forgotten() == 5


async def test_of_two_connections_in_one_process_the_first_is_ended_and_the_second_stays(place: Place) -> None:
    device = await place.enrolled()
    async with place.connected(device) as first:
        await first.told("time")
        async with place.connected(device) as second:
            await second.told("time")
            await until(lambda: first.line.code)
            await place.hub.save()
            assert (first.line.code, second.line.code) == (REPLACED, None)
            await place.commands.add(command(device[0]), entry())
            await place.hub.catch_up()
            await second.told("command")
            found = await place.devices.find(device[0])
            assert found is not None
            assert found.device.connection is not None


async def removed(place: Place, device: str) -> None:
    async with place.devices.changing() as writer:
        await writer.policy.remove_subject(device)


async def disabled(place: Place, device: str) -> None:
    found = await place.devices.find(device)
    assert found is not None
    async with place.devices.changing() as writer:
        await writer.policy.put_subject(replace(found.subject, disabled=True))


async def revoked(place: Place, device: str) -> None:
    async with place.devices.changing() as writer:
        await writer.end_keys(device, now())


@pytest.mark.parametrize("end", [removed, disabled, revoked])
async def test_who_may_not_be_there_is_cut_off_whatever_the_process_has_heard(place: Place, end: End) -> None:
    """The hub looks it up each time before it tells something."""
    async with place.connected() as station:
        await station.told("time")
        await end(place, station.id)
        await place.commands.add(command(station.id), entry())
        place.hub._wake(place.hub._sessions[station.id])
        await until(lambda: station.line.code)
        assert station.line.code == REJECTED


async def turned_away(place: Place, device: tuple[str, KeyPair]) -> bool:
    """Whether a device is rejected and leaves no trace."""
    async with place.connected(device) as station:
        await until(lambda: station.line.code)
        found = await place.devices.find(device[0])
        assert found is not None
        return (station.line.code, found.device.connection, found.device.seen) == (REJECTED, None, None)


async def test_a_disabled_device_is_turned_away_before_it_is_connected(place: Place) -> None:
    device = await place.enrolled()
    await disabled(place, device[0])
    assert await turned_away(place, device)


async def test_a_key_that_ends_during_the_handshake_connects_nobody(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    device, known = await place.enrolled(), place.devices.by_key

    async def by_key(public_key: str, moment: int) -> Machine | None:
        found = await known(public_key, moment)
        await revoked(place, device[0])
        return found

    monkeypatch.setattr(place.devices, "by_key", by_key)
    assert await turned_away(place, device)
