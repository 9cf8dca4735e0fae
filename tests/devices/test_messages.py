"""What devices send, and what they get for it."""

import asyncio
import json
import time
import uuid
from typing import Any

import pytest

from tests.support.devices import Connection, Device, new_device, reading, told
from tests.support.engineio import socket
from tests.support.server import LiveServer


def identifier() -> str:
    return f"reading-{uuid.uuid4()}"


def entries(*identifiers: str, **fields: Any) -> dict[str, Any]:
    documents = [reading(number, identifier=each, device=each, **fields) for number, each in enumerate(identifiers)]
    return {"collection": "entries", "documents": documents}


async def stored(hub: LiveServer, *identifiers: str) -> list[int]:
    """The status of READ for each document."""

    def read() -> list[int]:
        client = hub.client(hub.subject(f"reader {uuid.uuid4()}", "api:entries:read"))
        return [client.get(f"/api/v3/entries/{each}").status_code for each in identifiers]

    return await asyncio.to_thread(read)


async def test_documents_arrive_once_over_two_connections(hub: LiveServer, device: Device) -> None:
    names = identifier(), identifier()
    body, name = entries(*names), str(uuid.uuid4())
    async with device.connected() as connection:
        answer = await connection.ask("data", body, id=name)
    for _ in range(4):  # whichever process has it
        async with device.connected() as connection:
            again = await connection.ask("data", body, id=name)
            assert again["body"] == answer["body"]
    assert [each["status"] for each in answer["body"]["results"]] == [201, 201]
    assert [each["identifier"] for each in answer["body"]["results"]] == list(names)
    assert await stored(hub, *names) == [200, 200]


async def test_the_same_message_is_done_once_when_it_comes_twice_at_once(device: Device) -> None:
    """Without identifiers of their own, the documents would be deduplicated; the answers tell that they were not even tried."""
    name, body = str(uuid.uuid4()), entries(identifier())

    async def send() -> list[Any]:
        async with device.connected() as connection:
            tries = [await connection.send("data", body, id=name) for _ in range(3)]
            assert tries == [name] * 3
            return [await connection.wait_for(lambda said: said.get("re") == name) for _ in range(3)]

    answers = await send()
    assert [each["body"]["results"][0]["status"] for each in answers] == [201] * 3


async def test_each_document_has_its_own_outcome(device: Device) -> None:
    body = entries(identifier())
    body["documents"] += [{"date": "never"}, 7, None]
    async with device.connected() as connection:
        answer = await connection.ask("data", body)
    assert [each["status"] for each in answer["body"]["results"]] == [201, 400, 400, 400]


async def test_what_a_device_may_not_do_is_refused_for_each_document(hub: LiveServer) -> None:
    device, name = await new_device(hub, "careportal"), identifier()
    async with device.connected() as connection:
        answer = await connection.ask("data", entries(name))
        allowed = await connection.ask("data", {**entries(identifier()), "collection": "treatments"})
    assert answer["body"]["results"] == [{"status": 403, "message": "Missing permission api:entries:create"}]
    assert allowed["body"]["results"][0]["status"] == 201
    assert await stored(hub, name) == [404]


async def test_a_message_that_did_nothing_is_not_spent(hub: LiveServer) -> None:
    device, name, body = await new_device(hub), str(uuid.uuid4()), entries(identifier())
    async with device.connected() as connection:
        assert (await connection.ask("data", body, id=name))["body"]["results"][0]["status"] == 403
        await told(hub, "change", device.name, "--role", "moderator")
        until = time.monotonic() + 30
        status = 403
        while status == 403 and time.monotonic() < until:
            status = (await connection.ask("data", body, id=name))["body"]["results"][0]["status"]
    assert status == 201


async def test_the_same_id_with_another_body_is_an_error(hub: LiveServer, device: Device) -> None:
    name, other, missing = str(uuid.uuid4()), identifier(), identifier()
    async with device.connected() as connection:
        await connection.ask("data", entries(other), id=name)
        refused = [
            await connection.ask("data", entries(missing), id=name),
            await connection.ask("state", {"name": "x", "value": 1}, id=name),
            await connection.ask("data", entries(missing), id=name.upper()),
        ]
    assert [(each["type"], each["body"]["status"]) for each in refused] == [("error", 409)] * 3
    assert await stored(hub, other, missing) == [200, 404]


async def test_ids_are_those_of_one_device(hub: LiveServer, device: Device) -> None:
    other, name = await new_device(hub, "moderator"), str(uuid.uuid4())
    for each in (device, other):
        async with each.connected() as connection:
            answer = await connection.ask("data", entries(identifier()), id=name)
            assert answer["body"]["results"][0]["status"] == 201


@pytest.mark.parametrize("off", [-61_000, 61_000, -(10**12)])
async def test_a_message_that_is_a_minute_off_is_refused(hub: LiveServer, device: Device, off: int) -> None:
    name, message = identifier(), str(uuid.uuid4())
    async with device.connected() as connection:
        refused = await connection.ask("data", entries(name), id=message, ts=round(time.time() * 1000) + off)
        assert (refused["type"], refused["body"]["status"]) == ("error", 401)
        assert refused["body"]["message"] == "Date header out of tolerance"
        assert await stored(hub, name) == [404]
        assert (await connection.ask("data", entries(name), id=message))["type"] == "ack"


@pytest.mark.parametrize("off", [-50_000, 50_000])
async def test_a_message_may_be_nearly_a_minute_off(device: Device, off: int) -> None:
    async with device.connected() as connection:
        answer = await connection.ask("state", {"name": "x", "value": 1}, ts=round(time.time() * 1000) + off)
        assert answer["type"] == "ack"


WRONG: dict[str, tuple[str, Any]] = {
    "an unknown type": ("nonsense", {}),
    "an unknown collection": ("data", {"collection": "nonsense", "documents": [{}]}),
    "no documents": ("data", {"collection": "entries", "documents": []}),
    "too many documents": ("data", {"collection": "entries", "documents": [1] * 1001}),
    "documents that are no list": ("data", {"collection": "entries", "documents": "x"}),
    "no collection": ("data", {"documents": [{}]}),
    "a level that there is not": ("alarm", {"name": "x", "level": "loud", "title": "x", "message": "x"}),
    "an alarm without a title": ("alarm", {"name": "x", "level": "info", "message": "x"}),
    "a state without a value": ("state", {"name": "x"}),
    "a state without a name": ("state", {"value": 1}),
    "a log without lines": ("log", {}),
    "too many lines": ("log", {"lines": [{"ts": 1, "level": "info", "text": "x"}] * 1001}),
    "a state with an empty name": ("state", {"name": "", "value": 1}),
    "a level that is true": ("alarm", {"name": "x", "level": True, "title": "x", "message": "x"}),
    "a line without a time": ("log", {"lines": [{"level": "info", "text": "x"}]}),
    "a line that is none": ("log", {"lines": ["x"]}),
    "a time that is true": ("log", {"lines": [{"ts": True, "level": "info", "text": "x"}]}),
    "a text that is too long": ("log", {"lines": [{"ts": 1, "level": "info", "text": "x" * 4001}]}),
    "a result of nothing": ("command.result", {"status": "SUCCEEDED"}),
    "a status that there is not": ("command.result", {"command": "x", "status": "DONE"}),
    "no key": ("key.new", {}),
    "a key that is none": ("key.new", {"public_key": "x"}),
}


async def test_what_is_wrong_is_said_and_the_connection_goes_on(device: Device) -> None:
    async with device.connected() as connection:
        for name, (kind, body) in WRONG.items():
            answer = await connection.ask(kind, body)
            assert (answer["type"], answer["body"]["status"]) == ("error", 400), name
            assert answer["body"]["message"], name
        assert (await connection.ask("state", {"name": "x", "value": 1}))["type"] == "ack"


ID = "7b1c3c52-5a34-4a0c-9a49-5d0b1c5b7a10"
MALFORMED: dict[str, Any] = {
    "no JSON": b"nonsense",
    "nothing": b"",
    "no object": [],
    "a null": b"null",
    "no id": {"v": 1, "type": "state", "ts": 0, "body": {}},
    "an id that is no UUID": {"v": 1, "type": "state", "id": "x", "ts": 0, "body": {}},
    "an id in another spelling": {"v": 1, "type": "state", "id": ID.replace("-", ""), "ts": 0, "body": {}},
    "a time that is no number": {"v": 1, "type": "state", "id": ID, "ts": "0", "body": {}},
    "a time that is true": {"v": 1, "type": "state", "id": ID, "ts": True, "body": {}},
    "a body that is no object": {"v": 1, "type": "state", "id": ID, "ts": 0, "body": []},
    "another version": {"v": 2, "type": "state", "id": ID, "ts": 0, "body": {}},
    "a version that is true": {"v": True, "type": "state", "id": ID, "ts": 0, "body": {}},
    "no type": {"v": 1, "type": "", "id": ID, "ts": 0, "body": {}},
    "a lone surrogate": b'{"v":1,"type":"\\ud800","id":"7b1c3c52-5a34-4a0c-9a49-5d0b1c5b7a10","ts":0,"body":{}}',
    "deep nesting": b"[" * 30_000 + b"]" * 30_000,
    "bytes that are no UTF-8": b'{"v":1,"type":"\xff"}',
}


@pytest.mark.parametrize("name", MALFORMED)
async def test_what_is_no_envelope_ends_the_connection(device: Device, name: str) -> None:
    async with device.connected() as connection:
        await connection.send_raw(MALFORMED[name])
        assert await connection.closed() == 4400


async def _forged(connection: Connection, message: bytes) -> list[bytes]:
    return [b"x" * 64, message]


async def _changed(connection: Connection, message: bytes) -> list[bytes]:
    return [message[:-1] + bytes([message[-1] ^ 1]), message]


async def _twice(connection: Connection, message: bytes) -> list[bytes]:
    return [message, message]


async def _swapped(connection: Connection, message: bytes) -> list[bytes]:
    return [connection.channel.encrypt(b"{}"), message]


async def _missing(connection: Connection, message: bytes) -> list[bytes]:
    return [connection.channel.encrypt(message)]


@pytest.mark.parametrize("tamper", [_forged, _changed, _twice, _swapped, _missing], ids=lambda each: each.__name__.strip("_"))
async def test_a_frame_that_is_not_the_next_one_ends_the_connection(hub: LiveServer, device: Device, tamper: Any) -> None:
    """What came before it counts; nothing that comes after it does."""
    name = identifier()
    envelope = {"v": 1, "type": "data", "id": str(uuid.uuid4()), "ts": round(time.time() * 1000), "body": entries(name)}
    async with device.connected() as connection:
        message = connection.channel.encrypt(json.dumps(envelope).encode())
        for frame in await tamper(connection, message):
            await connection.socket.send(frame)
        assert await connection.closed() == 4400
    assert await stored(hub, name) == [200 if tamper is _twice else 404]


async def test_the_key_is_renewed_after_ten_thousand_messages(device: Device) -> None:
    """Both sides renew at the same message, or the next one could not be read."""
    async with device.connected() as connection:
        for begin in range(0, 10_050, 50):
            for number in range(begin, begin + 50):
                await connection.send("ack", {"number": number})  # which is not answered
            if begin % 2000 == 0:
                assert (await connection.ask("state", {"name": "sent", "value": begin}))["type"] == "ack"
        assert (await connection.ask("state", {"name": "sent", "value": "all"}))["type"] == "ack"
        assert "error" not in [each["type"] for each in connection.said]


async def test_the_longest_message_fits_and_a_longer_one_does_not(device: Device) -> None:
    async with device.connected() as connection:
        body = {"name": "long", "value": ""}
        empty = len(json.dumps({"v": 1, "type": "state", "id": ID, "ts": round(time.time() * 1000), "body": body}))
        body["value"] = "x" * (65_519 - empty)
        assert (await connection.ask("state", body))["type"] == "ack"
        await connection.socket.send(b"x" * 65_536)
        assert await connection.closed() == 4400


async def test_results_that_do_not_fit_into_an_answer_are_refused(hub: LiveServer, device: Device) -> None:
    documents = [{"date": 1_800_000_000_000 + number, "app": "a", "device": "q"} for number in range(1000)]
    async with device.connected() as connection:
        refused = await connection.ask("data", {"collection": "weather", "documents": documents})
        assert (refused["type"], refused["body"]["status"]) == ("error", 413)
        fewer = await connection.ask("data", {"collection": "weather", "documents": documents[:500]})
    assert {each["status"] for each in fewer["body"]["results"]} == {201}


async def test_what_a_device_tells_is_kept_with_it(hub: LiveServer, device: Device) -> None:
    lines = [{"ts": 1_700_000_000_000 + number, "level": "error", "text": f"line {number} of 100%"} for number in range(3)]
    async with device.connected() as connection:
        await connection.ask("log", {"lines": lines})
        await connection.ask("state", {"name": "battery", "value": {"percent": 80}})
        await connection.ask("state", {"name": "level", "value": "über"})
        await connection.ask("alarm", {"name": "leak", "level": 2, "title": "Leak", "message": "Water!"})
    shown = {kind: await told(hub, "show", device.name, f"--{kind}") for kind in ("log", "states")}
    found = await told(hub, "show", device.name, "--log", "--search", "LINE 1 OF 100%")
    none = await told(hub, "show", device.name, "--log", "--search", "100_")
    alarms = await told(hub, "show", device.name, "--alarms")
    assert [each["text"] for each in shown["log"]] == [f"line {number} of 100%" for number in (2, 1, 0)]
    assert [each["value"] for each in shown["states"]] == ["über", {"percent": 80}]
    assert [each["text"] for each in found] == ["line 1 of 100%"]
    assert none == []
    assert await told(hub, "show", device.name, "--log", "--search", "text") == []
    shouted = await told(hub, "show", device.name, "--states", "--search", "ÜBER")
    assert [each["value"] for each in shouted] == ["über"]
    assert (alarms[0]["level"], alarms[0]["title"]) == ("urgent", "Leak")


def test_alarms_of_a_device_reach_those_who_listen_once(hub: LiveServer, device: Device) -> None:
    parent, key = hub.subject(f"parent {uuid.uuid4()}", "api:entries:read"), f"leak {uuid.uuid4()}"
    levels = {"info": "notification", "warning": "alarm", "urgent": "urgent_alarm"}

    async def ring() -> None:
        async with device.connected() as connection:
            for level in levels:
                body, name = {"name": key, "level": level, "title": "Leak", "message": "Water!"}, str(uuid.uuid4())
                for _ in range(2):  # the answer to the first one was lost
                    assert (await connection.ask("alarm", body, id=name))["type"] == "ack"

    with socket(hub) as client:
        assert client.subscribe(parent, "/alarm")["success"]
        asyncio.run(ring())
        heard = list[tuple[str, Any]]()
        while len(heard) < 3:
            event, told_of = json.loads(client.expect("42/alarm,"))
            if told_of.get("key") == key:
                heard.append((event, told_of))
    assert [event for event, _ in heard] == list(levels.values())
    common = {"group": "device", "key": key, "title": "Leak", "message": "Water!", "device": device.name}
    assert [told_of for _, told_of in heard] == [{"level": number, **common} for number in range(3)]


async def test_what_a_device_tells_twice_is_kept_once(hub: LiveServer, device: Device) -> None:
    name, body = str(uuid.uuid4()), {"name": "battery", "value": 1}
    async with device.connected() as connection:
        answers = [await connection.ask("state", body, id=name) for _ in range(3)]
        refused = await connection.ask("state", {**body, "value": 2}, id=name)
    assert [each["type"] for each in answers] == ["ack"] * 3
    assert refused["body"] == {"status": 409, "message": "Another message had this id"}
    assert len(await told(hub, "show", device.name, "--states")) == 1


async def test_a_log_is_bounded_and_what_was_dropped_is_counted(hub: LiveServer, device: Device) -> None:
    token = await asyncio.to_thread(hub.subject, f"admin {uuid.uuid4()}", "admin:api:devices:read")
    async with device.connected() as connection:
        for begin in range(0, 11_000, 500):
            lines = [{"ts": number, "level": "info", "text": str(number)} for number in range(begin, begin + 500)]
            assert (await connection.ask("log", {"lines": lines}))["type"] == "ack"

    def ask(before: int) -> Any:
        path = f"/api/v2/authorization/devices/{device.id}/records"
        return hub.client(token).get(path, params={"before": before, "limit": 2}).json()

    assert [each["text"] for each in await asyncio.to_thread(ask, 10**9)] == ["10999", "10998"]
    assert [each["number"] for each in await asyncio.to_thread(ask, 1003)] == [1002, 1001]
    assert await asyncio.to_thread(ask, 1001) == []
