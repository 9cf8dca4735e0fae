"""Connections of a device: when it comes back, what it does when the hub or somebody else is not what it should be."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from apiv3.client.devices import Device, clock, pauses
from apiv3.client.devices.folder import Folder, Hub
from apiv3.client.devices.pauses import Pauses
from apiv3.noise import KeyPair
from tests.support.hub import FakeHub
from tests.support.waiting import until


def statuses(told: list[tuple[str, str]]) -> list[str]:
    """The statuses that were told, each once where it was told again and again."""
    kinds = [kind for kind, _ in told]
    return [kind for at, kind in enumerate(kinds) if at == 0 or kinds[at - 1] != kind]


async def test_the_program_is_told_how_the_connection_is(hub: FakeHub, folder: Path) -> None:
    told: list[tuple[str, str]] = []
    async with Device.open(folder, on_status=lambda *status: told.append(status)) as device:
        await device.connected()
        await hub.close(4409)
        await until(lambda: statuses(told)[-2:] == ["replaced", "connected"])
        hub.known.clear()
        await hub.close(1012)
        await until(lambda: statuses(told)[-1] == "rejected")
        hub.known.add(Folder(folder).keys().public)
        await device.connected()
        hub.code = 1013
        await hub.close(4400)
    assert statuses(told)[:5] == ["connected", "replaced", "connected", "lost", "rejected"]


async def test_a_hub_with_another_key_is_told_nothing(hub: FakeHub, folder: Path) -> None:
    hub.keys = KeyPair.generate()  # as somebody between the two has it
    told: list[tuple[str, str]] = []
    async with Device.open(folder, on_status=lambda *status: told.append(status)) as device:
        await device.send("entries", [{"sgv": 1}])
        await until(lambda: len(told) > 3)
    assert statuses(told) == ["lost"]
    assert not hub.handshakes
    assert not hub.received


@pytest.mark.parametrize(
    ("frame", "code"),
    [(b"", 4400), (b"forged" * 10, 4400), (b"x" * 65_535, 4400), (b"x" * 65_536, 1009), ("a text", 4400)],
    ids=["empty", "forged", "longest", "too long", "text"],
)
async def test_what_is_not_from_the_hub_ends_the_connection(hub: FakeHub, folder: Path, frame: bytes | str, code: int) -> None:
    async with Device.open(folder) as device:
        await device.connected()
        await hub.send_raw(frame)
        await until(lambda: len(hub.handshakes) == 2)
        await until(lambda: hub.codes == [code])
        await device.send("entries", [{"sgv": 1}])
        await device.drained()
    assert hub.documents() == [{"sgv": 1}]


@pytest.mark.parametrize(
    "envelope", [[], {}, {"type": "time"}, {"type": 1, "body": {}}, {"type": "time", "body": [], "id": "x"}, "text"]
)
async def test_what_is_no_envelope_ends_the_connection(hub: FakeHub, folder: Path, envelope: Any) -> None:
    async with Device.open(folder) as device:
        await device.connected()
        await hub._send(envelope)
        await until(lambda: len(hub.handshakes) == 2)


async def test_messages_that_it_does_not_know_are_answered_so(hub: FakeHub, folder: Path) -> None:
    async with Device.open(folder):
        sent = [await hub.send("dance", {}), await hub.send("time", {"now": "late"}), await hub.send("command", {"command": 1})]
        await until(lambda: len(hub.answers) == 4)
    errors = {each["re"]: each["body"]["status"] for each in hub.answers if each["type"] == "error"}
    assert errors == dict.fromkeys(sent, 400)


async def test_answers_to_nothing_are_ignored(hub: FakeHub, folder: Path) -> None:
    async with Device.open(folder) as device:
        await device.connected()
        await hub._send({"type": "ack", "re": "nothing", "body": {}})
        await hub._send({"type": "error", "body": {}})
        await device.send("entries", [{"sgv": 1}])
        await device.drained()
    assert len(hub.handshakes) == 1


async def test_an_error_without_a_status_counts_as_a_refusal(hub: FakeHub, folder: Path) -> None:
    hub.answer = lambda _: None
    async with Device.open(folder) as device:
        await device.send("entries", [{"sgv": 1}])
        for number in (1, 2, 3):
            await until(lambda: len(hub.received) == number)  # noqa: B023
            await hub._send({"type": "error", "re": hub.received[-1]["id"], "body": {"status": "bad"}})
        await device.drained()
        assert [each.status for each in await device.set_aside()] == [500]


async def test_two_hundred_tasks_send_at_once(hub: FakeHub, folder: Path) -> None:
    async with Device.open(folder) as device:
        await asyncio.gather(*(device.send("entries", [{"sgv": number}]) for number in range(200)))
        answered = [await hub.send("time", {"now": hub.now()}) for _ in range(200)]
        await device.drained()
        await until(lambda: len(hub.answers) == 201)
    assert sorted(each["sgv"] for each in hub.documents()) == list(range(200))
    assert {each["re"] for each in hub.answers} > set(answered)
    assert len(hub.handshakes) == 1  # no message came out of order, or the hub would have ended the connection


# --- the time


@pytest.mark.parametrize("greets", [True, False])
@pytest.mark.parametrize("ahead", [-(10**12), 0, 10**11])
async def test_messages_have_the_hubs_time_whatever_the_machine_thinks(
    hub: FakeHub, folder: Path, ahead: int, greets: bool
) -> None:
    """A device that begins in 1970 is one whose hub is far ahead. The handshake tells the time, whatever comes after it."""
    hub.ahead, hub.greets = ahead, greets
    async with Device.open(folder) as device:
        await device.send("entries", [{"sgv": 0}])
        await device.connected()
        await device.drained()
        assert abs(hub.received[0]["ts"] - hub.now()) < 10_000
        assert device.knows_time
        assert abs(device.now() - hub.now()) < 10_000
        hub.ahead += 5_000_000
        await hub.send("time", {"now": hub.now()})
        await until(lambda: abs(device.now() - hub.now()) < 10_000)
        await device.send("entries", [{"sgv": 1}])
        await device.drained()
    assert abs(hub.received[-1]["ts"] - hub.now()) < 10_000


async def test_a_hub_whose_clock_is_set_gets_the_message_again_with_its_new_time(hub: FakeHub, folder: Path) -> None:
    hub.answer = lambda _: None
    async with Device.open(folder) as device:
        await device.connected()
        hub.ahead += 5_000_000
        await device.send("entries", [{"sgv": 1}])
        await until(lambda: hub.received)
        [refused] = hub.received
        assert hub.now() - refused["ts"] > 60_000
        hub.answer = lambda _: {}
        late = {"status": 401, "message": "Date header out of tolerance"}
        await hub._send({"type": "error", "re": refused["id"], "body": late})
        await device.drained()
        assert await device.set_aside() == []
    again = hub.received[-1]
    assert (again["id"], again["body"]) == (refused["id"], refused["body"])
    assert abs(again["ts"] - hub.now()) < 10_000
    assert len(hub.handshakes) == 2


async def test_before_the_hub_has_told_it_the_machines_time_holds(hub: FakeHub, folder: Path) -> None:
    hub.code = 1013
    async with Device.open(folder) as device:
        assert not device.knows_time
        assert abs(device.now() - time.time() * 1000) < 10_000


async def test_a_clock_that_was_changed_meanwhile_is_set_again(
    hub: FakeHub, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine that slept: its monotonic clock stood still, so the hub refuses its time until the next handshake."""
    async with Device.open(folder) as device:
        await device.connected()
        slept = clock._monotonic() - 10**6
        monkeypatch.setattr(clock, "_monotonic", lambda: slept)
        hub.answer = lambda envelope: {} if abs(envelope["ts"] - hub.now()) < 60_000 else 401
        await device.send("entries", [{"sgv": 1}])
        await device.drained()
        assert not await device.set_aside()
    assert hub.documents() == [{"sgv": 1}]
    assert len(hub.received) == 2


# --- the keys


def key_files(folder: Path) -> set[str]:
    return {each.name for each in folder.iterdir() if each.name.startswith("key")}


@pytest.mark.parametrize("greets", [True, False])
async def test_a_new_key_replaces_the_old_one_with_its_first_handshake(hub: FakeHub, folder: Path, greets: bool) -> None:
    old, hub.greets = Folder(folder).keys().public, greets
    async with Device.open(folder) as device:
        await hub.send("key.rotate", {"deadline": hub.now() + 60_000})
        await until(lambda: hub.bodies("key.new"))
        [told] = {body["public_key"] for body in hub.bodies("key.new")}
        new = Folder(folder).new_keys()
        assert new is not None
        hub.known = {new.public}  # a handshake with the new key ends the old one
        await until(lambda: key_files(folder) == {"key"})
        await device.send("entries", [{"sgv": 1}])
        await device.drained()
    assert Folder(folder).keys() == new
    assert told not in (new.private, old)
    assert hub.handshakes[0] == old
    assert hub.handshakes[-1] == new.public


async def test_the_answer_to_a_new_key_is_lost_and_the_power_fails(hub: FakeHub, folder: Path) -> None:
    """The old key works until a handshake with the new one, which the device is sure of only with an answer."""
    old = Folder(folder).keys().public
    hub.answer = lambda envelope: None if envelope["type"] == "key.new" else {}
    async with Device.open(folder):
        await hub.send("key.rotate", {"deadline": 0})
        await until(lambda: hub.received)
    async with Device.open(folder) as device:
        await device.connected()
        await hub.send("key.rotate", {"deadline": 0})  # as the real one does as long as it waits
        await until(lambda: len(hub.answers) > 2)
        assert set(hub.handshakes) == {old}
        sent = {each["body"]["public_key"] for each in hub.received if each["type"] == "key.new"}
        assert len(sent) == 1
        new = Folder(folder).new_keys()
        assert new is not None
        hub.known.add(new.public)
        hub.answer = lambda _: {}
        await hub.break_off()
        await until(lambda: key_files(folder) == {"key"})
        await device.drained()
    assert Folder(folder).keys() == new
    assert len({each["id"] for each in hub.received if each["type"] == "key.new"}) == 1


async def test_a_new_key_that_the_hub_has_given_up_leaves_the_old_one(hub: FakeHub, folder: Path) -> None:
    old = Folder(folder).keys().public
    async with Device.open(folder) as device:
        await hub.send("key.rotate", {"deadline": 0})
        await until(lambda: hub.bodies("key.new"))  # never known as a key: the deadline has passed
        await until(lambda: key_files(folder) == {"key"})
        await device.send("entries", [{"sgv": 1}])
        await device.drained()
        await hub.send("key.rotate", {"deadline": 0})
        await until(lambda: len(hub.bodies("key.new")) == 2)
    first, second = (body["public_key"] for body in hub.bodies("key.new"))
    assert first != second
    assert Folder(folder).keys().public == old


async def test_a_new_key_that_the_hub_does_not_take_is_forgotten(hub: FakeHub, folder: Path) -> None:
    hub.answer = lambda envelope: 400 if envelope["type"] == "key.new" else {}
    async with Device.open(folder) as device:
        await hub.send("key.rotate", {"deadline": 0})
        await until(lambda: len(hub.received) == 3)
        await device.drained()
        assert key_files(folder) == {"key"}
        await hub.break_off()
        await device.connected()
    assert len(set(hub.handshakes)) == 1


# --- the pauses


def test_pauses_double_and_are_left_to_chance() -> None:
    waits = Pauses()
    lost = [waits.after("lost", 0) for _ in range(20)]
    assert all(wait <= min(2**number, 60) for number, wait in enumerate(lost))
    assert len(set(lost)) == 20
    assert max(lost) > 4


@pytest.mark.parametrize(("ending", "first"), [("replaced", 60), ("rejected", 300)])
def test_pauses_after_a_rejection_are_kept_whole(ending: pauses.Ending, first: int) -> None:
    waits = Pauses()
    for number in range(10):
        bound = min(first * 2**number, 3600)
        assert bound <= waits.after(ending, 1) <= bound * 1.25
    assert waits.after("lost", 0) <= 1  # each has its own


def test_a_connection_that_lasts_begins_the_pauses_anew() -> None:
    waits = Pauses()
    assert [waits.after("replaced", 1) // 60 for _ in range(3)] == pytest.approx([1, 2, 4], abs=1)
    assert waits.after("replaced", 500) <= 75
    assert waits.after("replaced", 1) >= 120


def test_a_folder_keeps_what_it_is_told(tmp_path: Path) -> None:
    folder, hub = Folder(tmp_path / "a/b"), Hub("https://hub.example", KeyPair.generate().public, "f" * 24)
    folder.make()
    folder.belong_to(hub)
    assert folder.hub() == hub
    assert folder.keys() == folder.keys()
    assert folder.make_new_keys() != folder.make_new_keys()
