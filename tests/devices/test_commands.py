"""Commands: kept until they are answered, delivered by whichever process has the device."""

import asyncio
import time
import uuid
from typing import Any

import httpx

from tests.support.callers import refusal
from tests.support.devices import Device, new_device, told
from tests.support.factories import FreshServer
from tests.support.server import LiveServer
from tests.support.storage import execute
from tests.support.waiting import until


async def give(hub: LiveServer, device: Device, name: str = "restart", **body: Any) -> Any:
    answer = await asyncio.to_thread(post, hub, device, {"name": name, **body})
    assert answer.status_code == 200, answer.text
    return answer.json()


def post(hub: LiveServer, device: Device, body: Any, *permissions: str) -> httpx.Response:
    token = hub.subject(f"commander {uuid.uuid4()}", *(permissions or ("admin:hub:devices:command",)))
    return hub.client(token).post(f"/api/v3/hub/devices/{device.id}/commands", json=body)


async def state(device: Device, command: str) -> str:
    """The state of a command, as administrators see it."""
    commands = await told(device.server, "show", device.name, "--commands")
    return str(next(each["state"] for each in commands if each["command"] == command))


async def test_a_connected_device_gets_a_command_from_any_process(hub: LiveServer, device: Device) -> None:
    async with device.connected() as connection:
        for number in range(4):
            given = await give(hub, device, "set", arguments={"number": number})
            body = (await connection.told("command"))["body"]
            assert body["command"] == given["command"]
            assert (body["name"], body["arguments"], body["expires"]) == ("set", {"number": number}, given["expires"])
        async with asyncio.timeout(30):
            while await state(device, given["command"]) != "SENT":
                pass
        told_it = {"command": given["command"], "status": "IN_PROGRESS"}
        assert (await connection.ask("command.result", told_it))["body"] == {}
        assert await state(device, given["command"]) == "IN_PROGRESS"
        await connection.ask("command.result", {**told_it, "status": "SUCCEEDED", "output": "done"})
    assert await state(device, given["command"]) == "SUCCEEDED"


async def test_a_command_waits_for_the_device_and_over_a_restart(database: str, fresh_server: FreshServer) -> None:
    server = await asyncio.to_thread(fresh_server, database)
    device = await new_device(server)
    first, second = await give(server, device), await give(server, device)
    assert [await state(device, each["command"]) for each in (first, second)] == ["QUEUED", "QUEUED"]
    await asyncio.to_thread(server.kill)
    await asyncio.to_thread(server.start)
    async with device.connected() as connection:
        bodies = [(await connection.told("command"))["body"] for _ in range(2)]
    assert [each["command"] for each in bodies] == [first["command"], second["command"]]
    assert bodies[0]["counter"] < bodies[1]["counter"]


async def test_it_comes_again_with_each_connection_until_it_is_answered(hub: LiveServer, device: Device) -> None:
    given = await give(hub, device)
    for _ in range(3):
        async with device.connected() as connection:
            assert (await connection.told("command"))["body"]["command"] == given["command"]
    async with device.connected() as connection:
        await connection.told("command")
        await connection.ask("command.result", {"command": given["command"], "status": "IN_PROGRESS"})
    async with device.connected() as connection:  # the device may have lost its power meanwhile
        await connection.told("command")
        await connection.ask("command.result", {"command": given["command"], "status": "FAILED", "output": {"code": 7}})
    last = await give(hub, device)
    async with device.connected() as connection:
        assert (await connection.told("command"))["body"]["command"] == last["command"]


async def test_a_result_is_done_once_and_another_one_is_refused(hub: LiveServer, device: Device) -> None:
    given, name = await give(hub, device), str(uuid.uuid4())
    done = {"command": given["command"], "status": "SUCCEEDED", "output": 1}
    async with device.connected() as connection:
        for _ in range(2):
            assert (await connection.ask("command.result", done, id=name))["type"] == "ack"
        assert (await connection.ask("command.result", done))["type"] == "ack"  # the device has lost its memory
        refused = await connection.ask("command.result", {**done, "status": "FAILED"})
        assert refused["body"] == {"status": 409, "message": "The command is SUCCEEDED already"}
    assert await state(device, given["command"]) == "SUCCEEDED"


async def test_a_device_answers_for_itself_only(hub: LiveServer, device: Device) -> None:
    other, given = await new_device(hub), await give(hub, device)
    async with other.connected() as connection:
        refused = await connection.ask("command.result", {"command": given["command"], "status": "SUCCEEDED"})
    assert refused["body"]["status"] == 404
    assert await state(device, given["command"]) == "QUEUED"


async def test_an_expired_command_is_not_sent(hub: LiveServer, device: Device) -> None:
    given = await give(hub, device, expires=round(time.time() * 1000) + 1500)
    url, query = hub.installation.database_url, "SELECT state FROM device_commands WHERE id = ?"
    await until(lambda: execute(url, query, given["command"]) == [("TIMED_OUT",)])  # though nobody looks at it
    assert await state(device, given["command"]) == "TIMED_OUT"
    async with device.connected() as connection:
        after = await give(hub, device)
        assert (await connection.told("command"))["body"]["command"] == after["command"]


async def test_a_cancelled_command_is_not_sent(hub: LiveServer, device: Device) -> None:
    given = await give(hub, device)
    token = await asyncio.to_thread(hub.subject, f"commander {uuid.uuid4()}", "admin:hub:devices:command")
    client, path = hub.client(token), f"/api/v3/hub/commands/{given['command']}"
    cancelled = await asyncio.to_thread(client.post, f"{path}/cancel")
    assert cancelled.json()["state"] == "CANCELED"
    assert refusal(await asyncio.to_thread(client.post, f"{path}/cancel")) == (409, "The command is CANCELED already")
    assert (await asyncio.to_thread(client.get, path)).json()["state"] == "CANCELED"
    async with device.connected() as connection:
        after = await give(hub, device)
        assert (await connection.told("command"))["body"]["command"] == after["command"]


async def test_what_a_device_did_all_the_same_is_the_truth(hub: LiveServer, device: Device) -> None:
    """It had received the command before that one expired or was cancelled."""
    async with device.connected() as connection:
        given = await give(hub, device, expires=round(time.time() * 1000) + 2000)
        await connection.told("command")
        while await state(device, given["command"]) != "TIMED_OUT":
            pass
        await connection.ask("command.result", {"command": given["command"], "status": "SUCCEEDED"})
    assert await state(device, given["command"]) == "SUCCEEDED"


async def test_counters_grow_even_over_a_restored_database(hub: LiveServer, device: Device) -> None:
    first = await give(hub, device)
    assert abs(first["counter"] - time.time() * 1000) < 60_000
    assert first["expires"] - first["made"] == 3_600_000  # where nobody says more
    execute(hub.installation.database_url, "UPDATE devices SET counter = 0 WHERE id = ?", device.id)
    second = await give(hub, device)
    assert second["counter"] > first["counter"]
    ahead = first["counter"] + 10**12
    execute(hub.installation.database_url, f"UPDATE devices SET counter = {ahead} WHERE id = ?", device.id)
    assert (await give(hub, device))["counter"] == ahead + 1


def test_who_may_give_commands(hub: LiveServer, device: Device) -> None:
    assert post(hub, device, {"name": "x"}, "admin:api:*:*", "api:*:*").status_code == 403
    assert post(hub, device, {"name": "x"}).status_code == 200
    nobody = hub.client().post(f"/api/v3/hub/devices/{device.id}/commands", json={"name": "x"})
    assert nobody.status_code == 401


def test_what_is_no_command(hub: LiveServer, device: Device) -> None:
    now = round(time.time() * 1000)
    for body in (
        {},
        {"name": ""},
        {"name": 1},
        {"name": "x" * 101},
        {"name": "a\nb"},
        {"name": "x", "expires": "soon"},
        {"name": "x", "expires": now - 1},
        {"name": "x", "expires": now + 31 * 86_400_000},
        {"name": "x", "expires": True},
    ):
        assert post(hub, device, body).status_code == 400, body
    lost = Device(hub, "0" * 24, "lost", device.hub_key)
    assert post(hub, lost, {"name": "x"}).status_code == 404


async def test_a_command_that_does_not_fit_into_a_message_is_refused_when_it_is_given(hub: LiveServer, device: Device) -> None:
    refused = await asyncio.to_thread(post, hub, device, {"name": "x", "arguments": "x" * 65_519})
    assert refusal(refused)[0] == 400
    assert "too large" in refusal(refused)[1]
    async with device.connected() as connection:
        largest = await give(hub, device, "x", arguments="x" * 65_200)
        assert (await connection.told("command"))["body"]["command"] == largest["command"]


async def test_the_largest_command_that_is_taken_arrives(hub: LiveServer, device: Device) -> None:
    """Its counter is not known before it is stored, and makes the message longer."""
    client = hub.client(await asyncio.to_thread(hub.subject, f"commander {uuid.uuid4()}", "admin:hub:devices:command"))

    def largest() -> str:
        fits, too_large, last = 65_000, 65_519, ""
        while too_large - fits > 1:
            size = (fits + too_large) // 2
            body = {"name": "x", "arguments": "x" * size}
            answer = client.post(f"/api/v3/hub/devices/{device.id}/commands", json=body)
            if answer.status_code == 200:
                fits, last = size, answer.json()["command"]
            else:
                too_large = size
        return last

    last = await asyncio.to_thread(largest)
    async with device.connected() as connection:
        while (await connection.told("command"))["body"]["command"] != last:
            pass


async def test_the_command_line_waits_for_the_answer(hub: LiveServer, device: Device) -> None:
    async with device.connected() as connection:
        waiting = asyncio.create_task(told(hub, "command", device.name, "beep", '{"times": 2}', "--wait", "60"))
        body = (await connection.told("command"))["body"]
        await connection.ask("command.result", {"command": body["command"], "status": "SUCCEEDED", "output": "beep beep"})
        answered = await waiting
    assert (body["name"], body["arguments"]) == ("beep", {"times": 2})
    assert (answered["state"], answered["output"]) == ("SUCCEEDED", "beep beep")
