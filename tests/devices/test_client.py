"""The device of `apiv3.client.devices` and the real hub: nothing is lost or doubled, whatever happens between them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from apiv3.client.devices import Command, Device, connection, enrol
from apiv3.client.devices.folder import Folder
from apiv3.client.errors import Refused
from tests.support.blackhole import blackhole
from tests.support.clarity import EXPORTS
from tests.support.clarity import readings as readings_of
from tests.support.commands import here
from tests.support.devices import code_at, command_line, told
from tests.support.factories import FreshServer
from tests.support.hub import hasten
from tests.support.server import LiveServer
from tests.support.waiting import until
from tests.support.wire import now_ms, unique


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Devices come back after a moment."""
    hasten(monkeypatch, 0.2)


async def enrolled(server: LiveServer, folder: Path, role: str = "writer") -> tuple[str, str]:
    """Enrols a device in a folder; returns its name and the pairing code."""
    name = unique("station")
    added = await asyncio.to_thread(command_line, server, "add", name, "--role", role)
    code = code_at(server.url, added["pairing_code"])
    assert await enrol(folder, code) == added["_id"]
    return name, code


def readings(device: str, number: int, start: int = 0) -> list[dict[str, Any]]:
    moment = now_ms() // 300_000 * 300_000 - 10**9
    kind = {"type": "sgv", "app": "tests", "device": device}
    return [{**kind, "sgv": 100 + each, "date": moment + each * 300_000} for each in range(start, start + number)]


async def stored(server: LiveServer, device: str) -> list[int]:
    """The values of the readings that a device has sent, in the order of their dates."""

    def read() -> list[int]:
        client = server.client(server.subject(unique("reader"), "api:entries:read"))
        query = {"device$eq": device, "sort": "date", "limit": "1000", "fields": "sgv"}
        return [each["sgv"] for each in client.get("/api/v3/entries", params=query).json()["result"]]

    return await asyncio.to_thread(read)


async def test_readings_alarms_states_and_lines_reach_the_server(hub: LiveServer, tmp_path: Path) -> None:
    name, code = await enrolled(hub, tmp_path)
    async with Device.open(tmp_path, "station/1.0") as device:
        await device.send("entries", readings(name, 500))
        await device.alarm("frost", "warning", "Frost", "It is cold")
        await device.state("door", {"open": True})
        device.log("info", "hello")
        await device.drained()
        assert abs(device.now() - now_ms()) < 10_000
        shown = await told(hub, "show", name)
        assert (shown["software"], shown["connected"]) == ("station/1.0", True)
    assert await stored(hub, name) == list(range(100, 600))
    [alarm] = await told(hub, "show", name, "--alarms")
    assert (alarm["name"], alarm["title"]) == ("frost", "Frost")
    [state] = await told(hub, "show", name, "--states")
    assert (state["name"], state["value"]) == ("door", {"open": True})
    [line] = await told(hub, "show", name, "--log")
    assert line["text"] == "hello"
    with pytest.raises(Refused):  # a code is good once
        await enrol(tmp_path / "another", code)


async def test_what_the_server_refuses_is_set_aside(hub: LiveServer, tmp_path: Path) -> None:
    name, _ = await enrolled(hub, tmp_path)
    async with Device.open(tmp_path) as device:
        await device.send("entries", [{"sgv": 1}, *readings(name, 1)])
        await device.send("nonsense", readings(name, 1))
        await device.drained()
        aside = await device.set_aside()
    assert [(each.body["collection"], each.status) for each in aside] == [("entries", 400), ("nonsense", 400)]
    assert aside[0].body["documents"] == [{"sgv": 1}]
    assert await stored(hub, name) == [100]


async def test_a_server_that_is_killed_again_and_again(fresh_server: FreshServer, database: str, tmp_path: Path) -> None:
    server = fresh_server(database)
    name, _ = await enrolled(server, tmp_path)
    async with Device.open(tmp_path) as device:
        for number in range(60):
            await device.send("entries", readings(name, 1, number))
            if number in (20, 40):
                await asyncio.to_thread(server.kill)
            if number in (25, 45):
                await asyncio.to_thread(server.start)
        await device.drained()
        assert await device.set_aside() == []
    assert await stored(server, name) == list(range(100, 160))


async def test_a_network_that_forgets_the_connection(hub: LiveServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "PING", 0.3)
    name, _ = await enrolled(hub, tmp_path)
    folder = Folder(tmp_path)
    statuses: list[str] = []
    with blackhole("127.0.0.1", hub.port) as way:
        folder.belong_to(folder.hub()._replace(url=f"http://127.0.0.1:{way.port}"))
        async with Device.open(tmp_path, on_status=lambda status, _: statuses.append(status)) as device:
            await device.connected()
            for number in range(5):
                way.forget()
                await device.send("entries", readings(name, 1, number))
                await device.drained()
    assert await stored(hub, name) == list(range(100, 105))
    assert statuses.count("connected") > 5
    assert set(statuses) == {"connected", "lost"}


async def test_a_server_that_hangs_in_the_middle(
    fresh_server: FreshServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its process is stopped while messages come in: the device gives the connection up, and sends them again later."""
    monkeypatch.setattr(connection, "PING", 0.3)
    server = fresh_server()
    name, _ = await enrolled(server, tmp_path)
    lost = asyncio.Event()
    async with Device.open(tmp_path, on_status=lambda status, _: lost.set() if status == "lost" else None) as device:
        await device.send("entries", readings(name, 50))
        await device.connected()
        os.kill(server.pid, signal.SIGSTOP)
        try:
            await device.send("entries", readings(name, 50, 50))
            await until(lost.is_set)
        finally:
            os.kill(server.pid, signal.SIGCONT)
        await device.drained()
    assert await stored(server, name) == list(range(100, 200))


async def test_commands_are_done(hub: LiveServer, tmp_path: Path) -> None:
    name, _ = await enrolled(hub, tmp_path)
    done: list[Any] = []

    async def blink(command: Command) -> Any:
        done.append(command.arguments)
        return {"blinked": command.arguments["times"]}

    async with Device.open(tmp_path, on_command=blink) as device:
        await device.connected()
        answer = await told(hub, "command", name, "blink", '{"times": 3}', "--wait", "30")
        await device.drained()
    assert (answer["state"], answer["output"]) == ("SUCCEEDED", {"blinked": 3})
    waiting = await told(hub, "command", name, "blink", '{"times": 4}')
    assert waiting["state"] == "QUEUED"
    async with Device.open(tmp_path, on_command=blink):
        await until(lambda: len(done) == 2)
    async with Device.open(tmp_path, on_command=blink) as device:
        await device.connected()
        await device.drained()
    commands = {each["command"]: each["state"] for each in await told(hub, "show", name, "--commands")}
    assert commands[waiting["command"]] in ("SUCCEEDED", "FAILED")  # it may have ended before it could answer
    assert done == [{"times": 3}, {"times": 4}]


async def test_what_is_no_text_is_printed_as_json(hub: LiveServer, tmp_path: Path) -> None:
    """States, arguments and outputs, for people at a terminal."""
    name, _ = await enrolled(hub, tmp_path)

    async def echo(command: Command) -> Any:
        return command.arguments

    async def printed(*arguments: str) -> str:
        done = await asyncio.to_thread(here, hub.installation, "device", *arguments)
        assert (done.status, done.errors) == (0, "")
        return done.output

    async with Device.open(tmp_path, on_command=echo) as device:
        await device.state("lights", [1, {"on": True}])
        await device.drained()
        answer = await printed("command", name, "echo", '{"to": [1, null], "name": "Küche"}', "--wait", "30")
    told = '{"to": [1, null], "name": "Küche"}\n'
    assert f"\narguments:    {told}" in answer
    assert f"\noutput:       {told}" in answer
    assert '\nvalue:        [1, {"on": true}]\n' in await printed("show", name, "--states")


async def test_a_key_is_renewed_without_anybody_going_there(hub: LiveServer, tmp_path: Path) -> None:
    name, _ = await enrolled(hub, tmp_path)
    before = Folder(tmp_path).keys()
    async with Device.open(tmp_path) as device:
        await device.connected()
        await told(hub, "rotate", name)
        await until(lambda: Folder(tmp_path).keys() != before)
        await device.send("entries", readings(name, 1))
        await device.drained()
        shown = await told(hub, "show", name)
        assert shown["rotation"] is None
    assert await stored(hub, name) == [100]
    Folder(tmp_path).replace_keys(before)
    rejected = asyncio.Event()
    async with Device.open(tmp_path, on_status=lambda status, _: rejected.set() if status == "rejected" else None):
        await until(rejected.is_set)


async def test_a_device_that_is_revoked_is_told_so_and_may_be_paired_again(hub: LiveServer, tmp_path: Path) -> None:
    name, _ = await enrolled(hub, tmp_path)
    rejected = asyncio.Event()
    async with Device.open(tmp_path, on_status=lambda status, _: rejected.set() if status == "rejected" else None) as device:
        await device.connected()
        await told(hub, "revoke", name)
        await until(rejected.is_set)
        await device.send("entries", readings(name, 1))
    paired = await told(hub, "pair", name)
    await enrol(tmp_path, code_at(hub.url, paired["pairing_code"]))
    async with Device.open(tmp_path) as device:
        await device.drained()
    assert await stored(hub, name) == [100]


async def test_two_machines_with_one_key(hub: LiveServer, tmp_path: Path) -> None:
    """A copied folder: the older connection is told that it was replaced."""
    await enrolled(hub, tmp_path / "one")
    Folder(tmp_path / "two").make()
    for file in ("key", "device.json"):
        (tmp_path / "two" / file).write_bytes((tmp_path / "one" / file).read_bytes())
    replaced = asyncio.Event()
    async with Device.open(
        tmp_path / "one", on_status=lambda status, _: replaced.set() if status == "replaced" else None
    ) as one:
        await one.connected()
        async with Device.open(tmp_path / "two") as two:
            await two.connected()
            await until(replaced.is_set)


@pytest.mark.parametrize("export", EXPORTS)
def test_a_simulated_device_sends_every_reading_of_an_export(hub: LiveServer, tmp_path: Path, export: str) -> None:
    """Once, in their order and with their distances in time, the last one just now."""
    expected = readings_of(EXPORTS[export])
    added = command_line(hub, "add", unique("demo"), "--role", "writer")
    began = now_ms()
    arguments = ("--folder", str(tmp_path / "demo"), "--speed", "100000", "--code", code_at(hub.url, added["pairing_code"]))
    done = here(hub.installation, "device", "simulate", str(EXPORTS[export]), *arguments)
    assert (done.status, done.errors) == (0, "")
    entries = map(json.loads, here(hub.installation, "export", "entries").output.splitlines())
    found = sorted((each for each in entries if each["subject"] == added["name"]), key=lambda each: int(each["date"]))
    assert [each["sgv"] for each in found] == [each["sgv"] for each in expected]
    assert len({each["date"] - original["date"] for each, original in zip(found, expected, strict=True)}) == 1
    assert began <= found[-1]["date"] <= now_ms()
    coming = [each for each in expected if expected[-1]["date"] - each["date"] <= 6 * 3_600_000]
    printed = [line.rpartition("  ")[2] for line in done.output.splitlines()]
    assert printed[-len(coming) :] == [f"{each['sgv']} mg/dL" for each in coming]


def test_a_simulated_device_has_to_be_paired(hub: LiveServer, tmp_path: Path) -> None:
    added = command_line(hub, "add", unique("demo"), "--role", "writer")
    arguments = ("device", "simulate", str(EXPORTS["sample"]), "--folder", str(tmp_path / "demo"), "--speed", "100000")
    missing = here(hub.installation, *arguments)
    assert missing.status == 1
    assert "apiv3 device add demo" in missing.errors
    paired = here(hub.installation, *arguments, "--code", code_at(hub.url, added["pairing_code"]))
    assert (paired.status, paired.errors) == (0, "")
    command_line(hub, "revoke", added["name"])
    rejected = here(hub.installation, *arguments)
    assert rejected.status == 1
    assert "Pair it again" in rejected.errors
