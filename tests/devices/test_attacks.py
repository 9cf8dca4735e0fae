"""The attacks of seed 004, each mounted against the running server. docs/explanation/security-model.md has a row for each.

That an update server cannot be spoofed is tested with apt, in tests/updates.
"""

import asyncio
import json
import time
import uuid
from contextlib import AsyncExitStack
from functools import partial

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from websockets import InvalidStatus

from apiv3.noise import Initiator, KeyPair, NoiseError, Responder
from tests.support.attacks import resident
from tests.support.devices import Connection, Device, enrol, new_device, open_socket, pairing, raw, reading, text, told
from tests.support.factories import FreshServer
from tests.support.server import LiveServer
from tests.support.storage import execute
from tests.support.waiting import until

MANY = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


async def found(hub: LiveServer, identifier: str) -> int:
    def read() -> int:
        return hub.client(hub.subject(f"reader {uuid.uuid4()}", "*:*:read")).get(f"/api/v3/entries/{identifier}").status_code

    return await asyncio.to_thread(read)


def data(name: str, **fields: object) -> dict[str, object]:
    return {"collection": "entries", "documents": [reading(1, identifier=name, **fields)]}


# --- spoofed data


async def test_nobody_sends_in_the_name_of_a_device(hub: LiveServer, device: Device) -> None:
    """Neither with its public key, nor with another key, nor with another device's session; the hub writes who it was."""
    name, other = f"spoofed {uuid.uuid4()}", await new_device(hub, "moderator")
    thief = Device(hub, device.id, device.name, device.hub_key)
    async with thief.socket() as websocket:
        connection = Connection(websocket)
        await connection.shake_hands(thief.keys, raw(device.hub_key))
        assert await connection.closed() == 4401
    async with other.connected() as connection:
        await connection.ask("data", data(name, subject=device.name))
    client = hub.client(await asyncio.to_thread(hub.subject, f"reader {uuid.uuid4()}", "*:*:read"))
    document = (await asyncio.to_thread(client.get, f"/api/v3/entries/{name}")).json()["result"]
    assert document["subject"] == other.name


# --- replay, also with changed parts


async def test_a_recorded_message_is_worth_nothing(hub: LiveServer, device: Device) -> None:
    """In the same session, in another one of the same device, and in one of another device; whole or changed."""
    name, other = f"replayed {uuid.uuid4()}", await new_device(hub, "moderator")
    envelope = {"v": 1, "type": "data", "id": str(uuid.uuid4()), "ts": round(time.time() * 1000), "body": data(name)}
    async with device.connected() as connection:
        recorded = connection.channel.encrypt(json.dumps(envelope).encode())
    changed = recorded[:20] + bytes([recorded[20] ^ 1]) + recorded[21:]
    for each in (device, other):
        for frame in (recorded, changed):
            async with each.connected() as connection:
                await connection.socket.send(frame)
                assert await connection.closed() == 4400
    assert await found(hub, name) == 404


# --- man in the middle


async def test_a_device_does_not_talk_to_another_hub(device: Device) -> None:
    """The attacker cannot even read the first message, which is for the hub's key alone."""
    message = Initiator(device.keys, raw(device.hub_key)).write()
    with pytest.raises(NoiseError):
        Responder(KeyPair.generate()).read(message)


async def test_who_relays_can_neither_read_nor_change(hub: LiveServer, device: Device) -> None:
    """The attacker passes the handshake on as it is, sees every frame, and then changes one."""
    name, seen = f"relayed {uuid.uuid4()}", list[bytes]()
    async with device.connected() as connection:
        real = connection.socket.send

        async def tapped(frame: bytes) -> None:
            seen.append(frame)
            await real(frame)

        connection.socket.send = tapped  # type: ignore[assignment,method-assign]
        assert (await connection.ask("data", data(name)))["type"] == "ack"
        assert not any(name.encode() in frame or b"entries" in frame for frame in seen)
        frame = connection.channel.encrypt(b'{"v":1}')
        await real(frame[:-1] + bytes([frame[-1] ^ 0x80]))
        assert await connection.closed() == 4400


# --- a stolen device


async def test_a_stolen_device_is_locked_out_and_betrays_nobody_else(hub: LiveServer, device: Device) -> None:
    """What is on it: its own key, the hub's public key, its id. They open nothing once it is revoked, and never anything of
    others."""
    other, name = await new_device(hub, "moderator"), f"stolen {uuid.uuid4()}"
    async with device.connected() as connection:
        begun = time.monotonic()
        await told(hub, "revoke", device.name)
        assert await connection.closed() == 4401
        assert time.monotonic() - begun < 30
    for keys in (device.keys, KeyPair(device.keys.private, other.keys.public)):
        async with device.socket() as websocket:
            connection = Connection(websocket)
            try:
                await connection.shake_hands(keys, raw(device.hub_key))
            finally:
                assert await connection.closed() in (4400, 4401)
    for secret in (text(device.keys.private), text(device.keys.public), device.hub_key, device.id):
        headers = {"Authorization": f"Bearer {secret}"}
        answer = await asyncio.to_thread(partial(httpx.get, f"{hub.url}/api/v3/entries", headers=headers, trust_env=False))
        assert answer.status_code == 401
    async with other.connected() as connection:
        assert (await connection.ask("data", data(name)))["body"]["results"][0]["status"] == 201


# --- spoofed messages of the backend


async def test_nobody_else_gives_a_device_a_command(hub: LiveServer, device: Device) -> None:
    """Another device cannot send to it at all, and what it says is not passed on; callers need the permission."""
    other = await new_device(hub, "admin")
    async with device.connected() as victim, other.connected() as connection:
        for kind in ("command", "key.rotate", "update.offer", "time"):
            body = {"device": device.id, "command": str(uuid.uuid4()), "counter": 2**52, "name": "open", "deadline": 2**52}
            refused = await connection.ask(kind, body)
            assert (refused["type"], refused["body"]["status"]) == ("error", 400)
        await victim.ask("state", {"name": "x", "value": 1})
        assert {each["type"] for each in victim.said} <= {"time"}  # which the hub tells every device at first
    uploader = await asyncio.to_thread(hub.subject, f"uploader {uuid.uuid4()}", "api:*:*", "*:*:read")
    client = hub.client(uploader)
    answer = await asyncio.to_thread(client.post, f"/api/v3/hub/devices/{device.id}/commands", json={"name": "open"})
    assert answer.status_code == 403


async def test_a_forged_frame_to_a_device_is_noticed(device: Device) -> None:
    """Who can write to the device's connection, but has no key, cannot make up a message of the hub."""
    async with device.connected() as connection:
        with pytest.raises(NoiseError):
            connection.channel.decrypt(b"x" * 80)


# --- floods


async def test_connections_without_a_handshake_are_bounded_for_each_address(fresh_server: FreshServer) -> None:
    """No more than API3_LIVE_CONNECTIONS of one address wait for a handshake; devices that have made it do not count."""
    server = await asyncio.to_thread(partial(fresh_server, env={"API3_LIVE_CONNECTIONS": "2"}))
    devices = [await new_device(server) for _ in range(4)]
    async with AsyncExitStack() as stack:
        connections = [await stack.enter_async_context(each.connected()) for each in devices]
        for connection in connections:
            assert (await connection.ask("state", {"name": "x", "value": 1}))["type"] == "ack"
        await stack.enter_async_context(open_socket(server))
        async with devices[0].connected() as connection:  # one that comes and goes gives its place back once
            await connection.told("time")
        query = "SELECT connection FROM devices WHERE id = ?"
        await until(lambda: execute(server.installation.database_url, query, devices[0].id) == [(None,)])
        await stack.enter_async_context(open_socket(server))
        with pytest.raises(InvalidStatus) as refused:
            await stack.enter_async_context(open_socket(server))
        assert refused.value.response.status_code == 429


def test_codes_are_not_found_by_trying(hub: LiveServer) -> None:
    """A code has 256 bits; one that is close is as wrong as any."""
    made = asyncio.run(told(hub, "add", f"guessed {uuid.uuid4()}"))
    code = pairing(made["pairing_code"])["code"]
    wrong = code[:-1] + ("A" if code[-1] != "A" else "B")
    assert enrol(hub, wrong, text(KeyPair.generate().public)).status_code == 401


# --- whatever else may come


frames = st.lists(
    st.binary(max_size=200) | st.binary(min_size=40_000, max_size=65_535) | st.text(max_size=20), min_size=1, max_size=3
)
words = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False) | words,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words, inner, max_size=4),
    max_leaves=10,
)
types = st.sampled_from(["data", "alarm", "state", "log", "command.result", "key.new", "command", "x"])
names = st.sampled_from(
    [
        "collection",
        "documents",
        "name",
        "level",
        "title",
        "message",
        "value",
        "lines",
        "command",
        "status",
        "output",
        "public_key",
    ]
)
bodies = (
    st.dictionaries(names, values | st.just("entries") | st.just([{"ts": 1, "level": "x", "text": "x"}]), max_size=5) | values
)


def test_frames_before_the_handshake_do_no_harm(device: Device) -> None:
    @MANY
    @given(frames)
    def play(sent: list[bytes | str]) -> None:
        async def run() -> None:
            async with device.socket() as websocket:
                for frame in sent:
                    try:
                        await websocket.send(frame)
                    except Exception:  # it has been closed
                        break
                assert await Connection(websocket).closed() in (4400, 1007, 1009)

        asyncio.run(run())

    play()
    still_there(device)


def test_frames_after_the_handshake_do_no_harm(device: Device) -> None:
    """Whole envelopes with anything in them are answered; raw bytes end the connection."""
    before = sum(map(resident, device.server.worker_pids))

    @MANY
    @given(st.lists(st.tuples(types, bodies), min_size=1, max_size=4), st.binary(max_size=300))
    def play(sent: list[tuple[str, object]], last: bytes) -> None:
        async def run() -> None:
            async with device.connected() as connection:
                for kind, body in sent:
                    answer = await connection.ask(kind, body if isinstance(body, dict) else {"value": body})
                    assert answer["type"] == "ack" or 400 <= answer["body"]["status"] < 500, answer
                await connection.send_raw(last)
                assert await connection.closed() == 4400

        asyncio.run(run())

    play()
    still_there(device)
    assert sum(map(resident, device.server.worker_pids)) - before < 64 << 20


def still_there(device: Device) -> None:
    async def run() -> None:
        async with device.connected() as connection:
            assert (await connection.ask("state", {"name": "x", "value": 1}))["type"] == "ack"

    asyncio.run(run())
    assert "Traceback" not in device.server.output
    assert "Internal error" not in device.server.output
