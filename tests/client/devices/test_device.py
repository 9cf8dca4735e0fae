"""A device and its hub: nothing that was sent is lost or doubled, whatever happens to the connection and to the program."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import stat
import uuid
from pathlib import Path
from typing import Any

import pytest

from apiv3.client.devices import BufferFull, Device, FolderInUse, NotEnrolled, SetAside, TooLong, messages, uplink
from tests.support.hub import Envelope, FakeHub
from tests.support.waiting import PATIENCE, until


def readings(number: int, start: int = 0) -> list[dict[str, int]]:
    return [{"sgv": value} for value in range(start, start + number)]


async def test_what_is_sent_arrives_once_and_in_order(hub: FakeHub, folder: Path) -> None:
    async with Device.open(folder, "station/1.0") as device:
        for number in range(20):
            await device.send("entries", readings(1, number))
        await device.drained()
    assert hub.documents() == readings(20)
    assert len(hub.received) == 20
    assert hub.payloads == [{"v": 1, "software": "station/1.0"}]
    for envelope in hub.received:
        assert envelope["v"] == 1
        assert str(uuid.UUID(envelope["id"])) == envelope["id"]
        assert abs(envelope["ts"] - hub.now()) < PATIENCE * 1000


async def test_alarms_states_and_lines_of_the_log_go_out(hub: FakeHub, folder: Path) -> None:
    async with Device.open(folder) as device:
        await device.alarm("frost", "warning", "Frost", "It is cold: -3 °C")
        await device.state("door", "open")
        device.log("info", "hello \ud800")
        await device.drained()
    assert hub.bodies("alarm") == [{"name": "frost", "level": "warning", "title": "Frost", "message": "It is cold: -3 °C"}]
    assert hub.bodies("state") == [{"name": "door", "value": "open"}]
    [[line]] = [body["lines"] for body in hub.bodies("log")]
    assert (line["level"], line["text"]) == ("info", "hello ?")


async def test_messages_wait_on_disk_for_the_hub(hub: FakeHub, folder: Path) -> None:
    hub.code = 1013
    async with Device.open(folder) as device:
        await device.send("entries", readings(3))
    async with Device.open(folder) as device:
        await device.send("entries", readings(3, 3))
        assert await device.waiting() == 2
        hub.code = 0
        await device.drained()
    assert hub.documents() == readings(6)


async def test_an_answer_that_is_lost_makes_the_same_message_go_again(hub: FakeHub, folder: Path) -> None:
    hub.answer = lambda _: None
    async with Device.open(folder) as device:
        await device.send("entries", readings(2))
        await until(lambda: hub.received)
    async with Device.open(folder) as device:  # the program is started again
        await until(lambda: len(hub.received) == 2)
        await hub.break_off()
        await until(lambda: len(hub.received) == 3)
        hub.answer = lambda _: {}
        await hub.break_off()
        await device.drained()
    assert len(hub.received) == 4
    assert len({json.dumps([each["id"], each["type"], each["body"]]) for each in hub.received}) == 1


async def test_connections_that_break_all_the_time_lose_and_double_nothing(hub: FakeHub, folder: Path) -> None:
    """The hub breaks off at every third message: sometimes before it was taken, sometimes after, before its answer."""
    count = 0

    def flaky(_: Envelope) -> Envelope | int | None:
        nonlocal count
        count += 1
        if count % 3:
            return {}
        assert hub._live is not None
        hub._live[0].transport.abort()
        return {} if count % 2 else None

    async with Device.open(folder) as device:
        hub.answer = flaky
        for number in range(50):
            await device.send("entries", readings(1, number))
        await device.drained()
    assert hub.documents() == readings(50)


async def test_the_last_answer_comes_in_the_moment_in_which_the_connection_ends(hub: FakeHub, folder: Path) -> None:
    closing: list[asyncio.Task[None]] = []

    def last(_: Envelope) -> Envelope:
        closing.append(asyncio.create_task(hub.close(1012)))
        return {}

    hub.answer = last
    async with Device.open(folder) as device:
        for number in range(30):
            await device.send("entries", readings(1, number))
            await device.drained()
    assert hub.documents() == readings(30)
    await asyncio.gather(*closing)


async def test_the_hub_does_not_answer(hub: FakeHub, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uplink, "ANSWER_TIMEOUT", 0.05)
    hub.answer = lambda _: None
    async with Device.open(folder) as device:
        await device.send("entries", readings(1))
        await until(lambda: len(hub.handshakes) > 2)
        hub.answer = lambda _: {}
        await device.drained()
    assert hub.documents() == readings(1)


# --- what is refused


async def test_a_message_that_is_always_refused_is_set_aside_and_the_rest_goes_through(hub: FakeHub, folder: Path) -> None:
    def poisoned(envelope: Envelope) -> Envelope | int:
        return 400 if {"sgv": 1} in envelope["body"]["documents"] else {}

    told: list[SetAside] = []
    hub.answer = poisoned
    async with Device.open(folder, on_set_aside=told.append) as device:
        for number in range(4):
            await device.send("entries", readings(1, number))
        await device.drained()
        assert await device.set_aside() == told
    assert hub.documents() == [*readings(1), *readings(2, 2)]
    assert [(each.type, each.body, each.status, each.message) for each in told] == [
        ("data", {"collection": "entries", "documents": readings(1, 1)}, 400, "refused")
    ]
    assert len(hub.received) == 3 + messages.MOST_TRIES
    assert [each["body"]["documents"][0]["sgv"] for each in hub.received[-2:]] == [1, 1]  # behind all others
    async with Device.open(folder) as device:  # it stays so
        assert await device.set_aside() == told
        assert await device.waiting() == 0


async def test_documents_that_are_refused_alone_are_set_aside_alone(hub: FakeHub, folder: Path) -> None:
    hub.answer = lambda _: {"results": [{"status": 201}, {"status": 400, "message": "Bad sgv"}, {"status": 200}]}
    async with Device.open(folder) as device:
        await device.send("entries", readings(3))
        await device.drained()
        [aside] = await device.set_aside()
    assert (aside.body["documents"], aside.status, aside.message) == (readings(1, 1), 400, "Bad sgv")
    assert len(hub.received) == 1


@pytest.mark.parametrize("status", [429, 503])
async def test_a_busy_hub_is_no_refusal(hub: FakeHub, folder: Path, status: int) -> None:
    hub.answer = lambda _: status
    async with Device.open(folder) as device:
        await device.send("entries", readings(1))
        await until(lambda: len(hub.received) > 2 * messages.MOST_TRIES)
        hub.answer = lambda _: {}
        await device.drained()
        assert await device.set_aside() == []


async def test_a_hub_that_takes_shorter_messages_only(hub: FakeHub, folder: Path) -> None:
    hub.longest = 1000
    async with Device.open(folder) as device:
        await device.send("entries", [{"notes": "x" * 1000}])
        await device.send("entries", readings(1))
        await device.drained()
        [aside] = await device.set_aside()
    assert aside.status == 413
    assert hub.documents() == readings(1)


async def test_what_the_hub_cannot_take_at_once_goes_in_parts(hub: FakeHub, folder: Path) -> None:
    hub.answer = lambda envelope: 413 if len(envelope["body"]["documents"]) > 3 or 13 in values(envelope) else {}
    async with Device.open(folder) as device:
        await device.send("entries", readings(20))
        await device.drained()
        [aside] = await device.set_aside()
    assert sorted(each["sgv"] for each in hub.documents()) == [value for value in range(20) if value != 13]
    assert (aside.status, aside.body["documents"]) == (413, readings(1, 13))


def values(envelope: Envelope) -> list[int]:
    return [each["sgv"] for each in envelope["body"]["documents"]]


# --- bounds


async def test_documents_are_shared_out_over_messages_that_fit(hub: FakeHub, folder: Path) -> None:
    sent: list[dict[str, Any]] = [*readings(2500), *({"notes": "é" * 10_000, "number": number} for number in range(10))]
    async with Device.open(folder) as device:
        await device.send("treatments", sent)
        await device.drained()
    assert hub.documents() == sent
    assert max(len(body["documents"]) for body in hub.bodies("data")) == messages.MOST_DOCUMENTS
    assert {body["collection"] for body in hub.bodies("data")} == {"treatments"}


async def test_what_cannot_be_sent_is_refused_whole(folder: Path) -> None:
    async with Device.open(folder) as device:
        for wrong in ({"notes": "x" * 60_000}, {"sgv": float("nan")}, {"notes": "\ud800"}):
            with pytest.raises(ValueError):  # noqa: PT011
                await device.send("entries", [*readings(1), wrong])
        with pytest.raises(TooLong):
            await device.state("door", "x" * 60_000)
        with pytest.raises(TypeError):
            await device.state("door", object())
        await device.send("entries", [])
        assert await device.waiting() == 0


async def test_a_full_buffer_takes_no_more_and_keeps_what_it_has(
    hub: FakeHub, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(messages, "LARGEST", 200_000)
    hub.code = 1013
    async with Device.open(folder) as device:

        async def fill() -> None:
            for number in range(100):
                await device.send("entries", [{"notes": "x" * 10_000, "number": number}])

        with pytest.raises(BufferFull):
            await fill()
        kept = await device.waiting()
        assert 0 < kept < 50
        with pytest.raises(BufferFull):
            await device.alarm("full", "warning", "Full", "")
        hub.code = 0
        await device.drained()
        await device.send("entries", readings(1))
        await device.drained()
    assert [each.get("number") for each in hub.documents()] == [*range(kept), None]


async def test_a_crash_loop_fills_no_disk_and_the_dropped_lines_are_counted(hub: FakeHub, folder: Path) -> None:
    hub.code = 1013
    async with Device.open(folder) as device:
        for number in range(100_000):
            device.log("error", f"line {number}")
            if number % 5000 == 0:
                await device._store()
        await device._store()
        assert await device.waiting() <= messages.MOST_LOGS
        await device.send("entries", readings(1))
        hub.code = 0
        await device.drained()
    assert hub.received[0]["type"] == "data"  # lines of the log do not hold up what matters
    lines = [line["text"] for body in hub.bodies("log") for line in body["lines"]]
    kept = [line for line in lines if line.startswith("line ")]
    dropped = sum(int(line.split()[0]) for line in lines if line.endswith("were dropped"))
    assert len(kept) + dropped == 100_000
    assert (kept[0], kept[-1]) == ("line 0", "line 99999")
    assert len(kept) < 12_000


# --- the folder


async def test_two_programs_are_not_one_device(folder: Path) -> None:
    async with Device.open(folder):
        with pytest.raises(FolderInUse):
            async with Device.open(folder):
                pass
    async with Device.open(folder):
        pass


@pytest.mark.parametrize("path", ["nothing", "file", "file/below"])
async def test_a_folder_without_a_device(tmp_path: Path, path: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(NotEnrolled, match=path):
        async with Device.open(tmp_path / path):
            pass


async def test_nobody_else_reads_the_folder(folder: Path) -> None:
    async with Device.open(folder) as device:
        await device.send("entries", readings(1))
        modes = modes_in(folder)
    assert set(modes) >= {".", "key", "device.json", "buffer.db"}
    assert modes.pop(".") == 0o700
    assert set(modes.values()) == {0o600}


def modes_in(folder: Path) -> dict[str, int]:
    """Who may read each file, and the folder itself."""
    return {str(each.relative_to(folder)): stat.S_IMODE(each.stat().st_mode) for each in (folder, *folder.iterdir())}


async def test_a_fault_of_the_disk_does_not_end_a_device(
    hub: FakeHub, folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real, faults = messages._next, iter([sqlite3.OperationalError("disk I/O error")])

    def faulty(connection: sqlite3.Connection) -> messages.Message | None:
        for fault in faults:
            raise fault
        return real(connection)

    monkeypatch.setattr(messages, "_next", faulty)
    async with Device.open(folder) as device:
        await device.send("entries", readings(1))
        await device.drained()
    assert hub.documents() == readings(1)
    assert "disk I/O error" in caplog.text


async def test_an_error_of_the_program_passes_through(folder: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        async with Device.open(folder):
            _ = 1 / 0
