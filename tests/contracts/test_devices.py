"""What the stores of devices do, whatever process asks: one suite, both databases."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import pytest

from apiv3.model.audit import Actor, Entry, Target
from apiv3.model.devices import Command, Message, Record, Visit
from apiv3.model.errors import Conflict, Forbidden
from apiv3.model.identity import Subject
from apiv3.model.timestamps import now
from apiv3.security.secrets import object_id
from apiv3.storage import commands
from apiv3.storage.commands import CommandTable
from apiv3.storage.database import Database
from apiv3.storage.devices import LEASE, DeviceTable
from apiv3.storage.logins import LoginTable
from apiv3.storage.messages import MessageTable
from tests.support.storage import unique
from tests.support.waiting import PATIENCE

SOON = 2000
"""Milliseconds in which something ends."""


@pytest.fixture
def devices(opened: Database) -> DeviceTable:
    return DeviceTable(opened)


@pytest.fixture
def messages(opened: Database) -> MessageTable:
    return MessageTable(opened)


@pytest.fixture
def orders(opened: Database) -> CommandTable:
    return CommandTable(opened)


def entry() -> Entry:
    return Entry(now(), Actor("", "tests", "test", ""), "device-made", Target("device", "", ""))


async def made(devices: DeviceTable, key: str = "") -> str:
    """The id of a new device, with a key of its own unless that is given."""
    subject = Subject(object_id(), unique("rig"), (), nonce="first")
    async with devices.changing() as writer:
        await writer.policy.put_subject(subject)
        await writer.add(subject.id)
        await writer.add_key(subject.id, key or unique("key"), now())
    return subject.id


def visit() -> Visit:
    return Visit(str(uuid.uuid4()), "192.0.2.1", "rig/1")


async def connected(devices: DeviceTable, moment: int) -> tuple[str, str]:
    """A new device that has connected at a moment, and its connection."""
    key, came = unique("key"), visit()
    device = await made(devices, key)
    assert await devices.connect(device, key, came, moment)
    return device, came.id


# --- connections


async def open_logins(store: LoginTable) -> str:
    return " ".join((await store.snapshot()).sessions)


async def test_the_login_of_a_device_lasts_as_long_as_it_is_heard_of(opened: Database, devices: DeviceTable) -> None:
    """So it ends when the process that held the connection has crashed; and one that has ended does not come back."""
    store, moment = LoginTable(opened), now() - LEASE + SOON
    (kept, one), (_, other), (gone, last) = [await connected(devices, moment) for _ in range(3)]
    await devices.disconnect({gone: last}, now())
    await devices.saw({kept: now(), gone: now()})
    async with asyncio.timeout(PATIENCE):
        while other in await open_logins(store):
            await store.review(await store.overdue(now(), 1000))
    assert one in await open_logins(store)
    assert last not in await open_logins(store)


async def test_the_end_of_an_earlier_connection_leaves_the_new_one_alone(devices: DeviceTable) -> None:
    key = unique("key")
    device, first, second = await made(devices, key), visit(), visit()
    for each in (first, second):
        assert await devices.connect(device, key, each, now())
    await devices.disconnect({device: first.id}, now())
    found = await devices.find(device)
    assert found is not None
    assert found.device.connection == second.id


async def test_only_a_connection_that_ends_another_one_counts_as_such(devices: DeviceTable) -> None:
    key, moments = unique("key"), list[int | None]()
    device, came = await made(devices, key), visit()
    assert await devices.connect(device, key, came, now())
    for displacing in (False, True):
        if not displacing:
            await devices.disconnect({device: came.id}, now())
        assert await devices.connect(device, key, visit(), now())
        found = await devices.find(device)
        assert found is not None
        moments.append(found.device.displaced)
    assert moments[0] is None
    assert moments[1] is not None


async def test_an_ended_key_connects_nobody(devices: DeviceTable) -> None:
    """Also when it was looked up before it ended."""
    key = unique("key")
    device = await made(devices, key)
    assert await devices.by_key(key, now()) is not None
    async with devices.changing() as writer:
        await writer.end_keys(device, now())
    assert await devices.by_key(key, now()) is None
    assert not await devices.connect(device, key, visit(), now())


async def test_when_a_device_was_seen_never_goes_back(devices: DeviceTable) -> None:
    device, _ = await connected(devices, moment := now())
    await devices.saw({device: moment + 1000, "removed": moment})
    await devices.saw({device: moment + 500})
    found = await devices.find(device)
    assert found is not None
    assert found.device.seen == moment + 1000


async def test_what_has_changed_since_a_backup_that_was_put_back(devices: DeviceTable) -> None:
    """The number of the last change is smaller than the one that a process knows, so anything may have changed."""
    device = await made(devices)
    revision, _ = await devices.changed(0)
    assert await devices.changed(revision) == (revision, ())
    after, changed = await devices.changed(revision + 1000)
    assert after == revision
    assert device in changed


async def test_a_pairing_code_has_an_end(devices: DeviceTable) -> None:
    device, digest, key, moment = await made(devices), unique("digest"), unique("key"), now()
    async with devices.changing() as writer:
        await writer.pair(device, digest, moment + 1000)
    assert await devices.by_pairing(digest, moment + 1000) is None
    assert await devices.enrol(digest, key, entry(), moment + 1000) is None
    assert await devices.by_pairing(digest, moment + 999) == device
    assert await devices.enrol(digest, key, entry(), moment + 999) == device


# --- messages


def message(device: str) -> Message:
    return Message(device, str(uuid.uuid4()), "digest")


STATE = [Record("state", 0, 1, "", {"name": "x", "value": 1})]


async def test_old_messages_are_forgotten_in_batches(devices: DeviceTable, messages: MessageTable) -> None:
    device = await made(devices)
    old, new = [message(device) for _ in range(5)], message(device)
    for each in old:
        await messages.record(each, STATE, None, 10)
    await messages.record(new, STATE, None, 20)
    assert [await messages.prune(20, 3) for _ in range(3)] == [3, 2, 0]
    for each in (*old, new):
        await messages.record(each, STATE, None, 30)
    assert len(await messages.records(device, "state", None, "", 100)) == 11  # the new one was remembered


async def test_a_message_of_a_removed_device_is_refused(devices: DeviceTable, messages: MessageTable) -> None:
    """It may arrive before the connection is cut."""
    device = await made(devices)
    async with devices.changing() as writer:
        await writer.policy.remove_subject(device)
    with pytest.raises(Forbidden):
        await messages.record(message(device), STATE, None, now())
    assert await messages.records(device, "state", None, "", 100) == []


# --- commands


def command(device: str, **fields: Any) -> Command:
    return Command(str(uuid.uuid4()), device, 0, "beep", None, now(), now() + 3_600_000, updated=now(), **fields)


async def test_the_oldest_commands_that_are_over_are_dropped(
    devices: DeviceTable, orders: CommandTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "MOST_KEPT", 3)
    device = await made(devices)
    given = [await orders.add(command(device), entry()) for _ in range(3)]
    first, second, third = (each.id for each in given if each is not None)
    await orders.answer(message(device), first, "SUCCEEDED", None, now())
    await orders.answer(message(device), third, "SUCCEEDED", None, now())
    for _ in range(3):
        await orders.add(command(device), entry())
    kept = [each.id for each in await orders.of(device, 100)]
    assert first not in kept
    assert third not in kept
    assert second in kept  # the device may still do it
    assert len(kept) == 4


async def test_a_command_that_is_under_way_does_not_become_sent_again(devices: DeviceTable, orders: CommandTable) -> None:
    given = await orders.add(command(await made(devices)), entry())
    assert given is not None
    await orders.answer(message(given.device), given.id, "IN_PROGRESS", None, now())
    await orders.sent([given.id], now())
    found = await orders.find(given.id)
    assert found is not None
    assert found.state == "IN_PROGRESS"


async def test_an_answer_is_remembered_with_its_id(devices: DeviceTable, orders: CommandTable) -> None:
    given = await orders.add(command(await made(devices)), entry())
    assert given is not None
    first = message(given.device)
    for _ in range(2):
        assert await orders.answer(first, given.id, "IN_PROGRESS", None, now()) == {}
    with pytest.raises(Conflict, match="Another message had this id"):
        await orders.answer(first._replace(digest="other"), given.id, "SUCCEEDED", None, now())
    found = await orders.find(given.id)
    assert found is not None
    assert found.state == "IN_PROGRESS"


async def test_only_open_commands_time_out(devices: DeviceTable, orders: CommandTable) -> None:
    device = await made(devices)
    late, done = [await orders.add(command(device), entry()) for _ in range(2)]
    assert late is not None
    assert done is not None
    await orders.answer(message(device), done.id, "FAILED", None, now())
    assert [each.id for each in await orders.open(device, late.expires - 1)] == [late.id]
    assert await orders.open(device, late.expires) == []  # whether or not that was noted yet
    await orders.time_out(done.expires)
    states = {each.id: each.state for each in await orders.of(device, 100)}
    assert states == {late.id: "TIMED_OUT", done.id: "FAILED"}


async def test_a_command_for_a_device_that_was_removed_meanwhile(orders: CommandTable) -> None:
    assert await orders.add(command("removed"), entry()) is None
