"""Commands for a device: each is done at most once and answered until the hub knows, whatever comes twice, late or too old."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from apiv3.client.devices import Command, CommandRejected, Device
from tests.support.hub import FakeHub
from tests.support.waiting import until


def command(hub: FakeHub, number: int, **changes: Any) -> dict[str, Any]:
    told = {"command": f"c{number}", "counter": number, "name": "blink", "arguments": {"times": number}}
    return {**told, "expires": hub.now() + 60_000, **changes}


def results(hub: FakeHub, id: str = "c1") -> list[tuple[str, Any]]:
    """What the device has said of a command, each answer once."""
    return [(body["status"], body["output"]) for body in hub.bodies("command.result") if body["command"] == id]


async def test_a_command_is_done_and_answered(hub: FakeHub, folder: Path) -> None:
    done: list[Command] = []

    async def blink(order: Command) -> dict[str, int]:
        done.append(order)
        return {"blinked": order.arguments["times"]}

    async with Device.open(folder, on_command=blink):
        sent = await hub.send("command", command(hub, 1))
        await until(lambda: len(results(hub)) == 2)
    assert results(hub) == [("IN_PROGRESS", None), ("SUCCEEDED", {"blinked": 1})]
    [order] = done
    assert (order.id, order.counter, order.name, order.arguments) == ("c1", 1, "blink", {"times": 1})
    assert sent in [each["re"] for each in hub.answers if each["type"] == "ack"]


async def test_a_command_that_comes_again_is_answered_and_not_done(hub: FakeHub, folder: Path) -> None:
    done: list[str] = []

    async def blink(order: Command) -> str:
        done.append(order.id)
        return "done"

    for _ in range(2):  # also after the program was started again
        async with Device.open(folder, on_command=blink) as device:
            for _ in range(2):
                sent = await hub.send("command", command(hub, 1))
                await until(lambda: sent in [each["re"] for each in hub.answers])  # noqa: B023
                await until(lambda: results(hub)[-1:] == [("SUCCEEDED", "done")])
                await device.drained()
    assert done == ["c1"]
    assert results(hub)[0] == ("IN_PROGRESS", None)
    assert results(hub)[1:] == [("SUCCEEDED", "done")] * 4


async def test_answers_to_a_command_that_comes_again_do_not_pile_up(hub: FakeHub, folder: Path) -> None:
    async with Device.open(folder) as device:
        await hub.send("command", command(hub, 1))
        await until(lambda: len(results(hub)) == 2)
        hub.answer = lambda _: None
        for _ in range(5):
            sent = await hub.send("command", command(hub, 1))
            await until(lambda: sent in [each["re"] for each in hub.answers])  # noqa: B023
        assert await device.waiting() == 1


@pytest.mark.parametrize(
    ("changes", "why"),
    [({"counter": 1}, "older"), ({"counter": 2}, "older"), ({"expires": 1}, "late")],
)
async def test_a_command_that_is_old_or_late_is_rejected_and_changes_nothing(
    hub: FakeHub, folder: Path, changes: dict[str, int], why: str
) -> None:
    done: list[int] = []

    async def blink(order: Command) -> None:
        done.append(order.counter)

    async with Device.open(folder, on_command=blink):
        await hub.send("command", command(hub, 2))
        await until(lambda: len(results(hub, "c2")) == 2)
        await hub.send("command", command(hub, 9, **changes))
        await until(lambda: results(hub, "c9"))
        await hub.send("command", command(hub, 3))  # a counter that was refused is not used up
        await until(lambda: len(results(hub, "c3")) == 2)
    [(status, output)] = results(hub, "c9")
    assert status == "REJECTED"
    assert why in output
    assert done == [2, 3]


async def test_what_a_handler_says_and_raises_is_the_output(hub: FakeHub, folder: Path) -> None:
    async def act(order: Command) -> object:
        if order.name == "reject":
            raise CommandRejected("not now")
        if order.name == "divide":
            return 1 / 0
        return {"object": object(), "long": "x" * 70_000, "nan": float("nan")}[order.name]

    async with Device.open(folder, on_command=act):
        for counter, name in enumerate(["reject", "divide", "object", "long", "nan"], 1):
            await hub.send("command", command(hub, counter, name=name))
            await until(lambda: len(results(hub, f"c{counter}")) == 2)  # noqa: B023
    said = [results(hub, f"c{counter}")[1] for counter in range(1, 6)]
    assert said == [
        ("REJECTED", "not now"),
        ("FAILED", "ZeroDivisionError: division by zero"),
        ("SUCCEEDED", "The output is no JSON"),
        ("SUCCEEDED", "The output is too long"),
        ("SUCCEEDED", "The output is no JSON"),
    ]


async def test_a_device_without_a_handler_rejects_commands(hub: FakeHub, folder: Path) -> None:
    async with Device.open(folder):
        await hub.send("command", command(hub, 1))
        await until(lambda: len(results(hub)) == 2)
    assert results(hub)[1][0] == "REJECTED"


async def test_a_program_that_ends_during_a_command_says_so_and_does_not_do_it_again(hub: FakeHub, folder: Path) -> None:
    begun: list[str] = []

    async def hang(order: Command) -> None:
        begun.append(order.id)
        await asyncio.Event().wait()

    async with Device.open(folder, on_command=hang):
        await hub.send("command", command(hub, 1))
        await until(lambda: begun)
    async with Device.open(folder, on_command=hang):
        await hub.send("command", command(hub, 1))
        await until(lambda: ("FAILED", "The device was restarted meanwhile") in results(hub))
    assert begun == ["c1"]


async def test_the_answer_waits_for_the_hub_and_a_long_command_holds_up_nothing(hub: FakeHub, folder: Path) -> None:
    go = asyncio.Event()

    async def wait(_: Command) -> str:
        await go.wait()
        return "done"

    async with Device.open(folder, on_command=wait) as device:
        await hub.send("command", command(hub, 1))
        await until(lambda: results(hub) == [("IN_PROGRESS", None)])
        await device.send("entries", [{"sgv": 1}])
        await device.drained()
        hub.code = 1013
        await hub.close(1012)
        device._uplink.news.clear()
        go.set()
        await until(device._uplink.news.is_set)
    hub.code = 0
    async with Device.open(folder) as device:
        await device.drained()
    assert results(hub)[-1] == ("SUCCEEDED", "done")


@pytest.mark.parametrize(
    "changes",
    [{"counter": -1}, {"counter": 0}, {"counter": 2**63}, {"counter": "1"}, {"counter": 1.5}, {"name": 1}, {"expires": None}],
)
async def test_what_is_no_command_is_refused(hub: FakeHub, folder: Path, changes: dict[str, Any]) -> None:
    async with Device.open(folder):
        sent = await hub.send("command", command(hub, 1, **changes))
        await until(lambda: [each for each in hub.answers if each["re"] == sent])
    [answer] = [each for each in hub.answers if each["re"] == sent]
    assert (answer["type"], answer["body"]["status"]) == ("error", 400)


async def test_software_updates_are_offered_to_the_program(
    hub: FakeHub, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    offered: list[Any] = []

    async def take(offer: Any) -> None:
        offered.append(offer)
        if len(offered) == 1:
            raise ValueError("no room")

    async with Device.open(folder, on_update=take) as device:
        await hub.send("update.offer", {"package": "station", "version": "1.1"})
        await hub.send("update.offer", {"package": "station", "version": "1.2"})
        await until(lambda: len(offered) == 2)
        await device.connected()
    assert [each["version"] for each in offered] == ["1.1", "1.2"]
    assert "no room" in caplog.text
