"""Pairing codes: good once, for the device that they were made for."""

import asyncio
import json
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from apiv3.noise import KeyPair
from apiv3.security.devices import devices as service
from tests.support.callers import Caller, refusal
from tests.support.commands import here
from tests.support.devices import Connection, Device, command_line, enrol, make_device, pairing, raw, text, told
from tests.support.factories import FreshServer
from tests.support.server import LiveServer
from tests.support.storage import execute

BAD_CODE = (401, "Bad code: it is unknown, used or expired; ask for another one")
IN_USE = (400, "This public key is in use, or was: make another one")


def added(hub: LiveServer, name: str, *options: str) -> dict[str, str]:
    """The parts of the pairing code of a new device."""
    return pairing(command_line(hub, "add", f"{name} {hub.port}", *options)["pairing_code"])


def new_key() -> str:
    return text(KeyPair.generate().public)


def test_a_pairing_code_says_where_and_whose(hub: LiveServer) -> None:
    made = command_line(hub, "add", f"paired {hub.port}", "--role", "readable")
    parts = pairing(made["pairing_code"])
    assert made == {
        "_id": parts["device"],
        "name": f"paired {hub.port}",
        "roles": ["readable"],
        "pairing_code": made["pairing_code"],
    }
    assert parts.keys() == {"url", "hub_key", "code", "device"}
    assert parts["url"].startswith("http")
    answer = enrol(hub, parts["code"], new_key())
    assert (answer.status_code, answer.json()) == (200, {"device": parts["device"], "hub_key": parts["hub_key"]})


def test_of_twenty_enrolments_with_one_code_one_succeeds(hub: LiveServer) -> None:
    code = added(hub, "twenty")["code"]
    with ThreadPoolExecutor(20) as threads:
        answers = list(threads.map(lambda _: enrol(hub, code, new_key()), range(20)))
    assert sorted(each.status_code for each in answers) == [200] + [401] * 19
    assert {refusal(each) for each in answers if each.status_code != 200} == {BAD_CODE}


def test_a_code_is_not_good_for_ever(hub: LiveServer) -> None:
    parts = added(hub, "late")
    execute(hub.installation.database_url, "UPDATE devices SET pairing_expires = 1 WHERE id = ?", parts["device"])
    assert refusal(enrol(hub, parts["code"], new_key())) == BAD_CODE
    again = pairing(command_line(hub, "pair", parts["device"])["pairing_code"])
    assert refusal(enrol(hub, parts["code"], new_key())) == BAD_CODE
    assert enrol(hub, again["code"], new_key()).status_code == 200


def test_a_code_replaces_the_one_before(hub: LiveServer) -> None:
    parts = added(hub, "twice")
    again = pairing(command_line(hub, "pair", parts["device"])["pairing_code"])
    assert refusal(enrol(hub, parts["code"], new_key())) == BAD_CODE
    assert enrol(hub, again["code"], new_key()).status_code == 200


def test_a_code_ends_when_the_device_is_revoked(hub: LiveServer) -> None:
    """It is on a piece of paper that somebody may have found."""
    parts = added(hub, "revoked")
    command_line(hub, "revoke", parts["device"])
    assert refusal(enrol(hub, parts["code"], new_key())) == BAD_CODE


def test_a_key_that_is_refused_does_not_use_the_code_up(hub: LiveServer, device: Device) -> None:
    code, own = added(hub, "kept")["code"], text(device.keys.public)
    low_order = text(bytes(32)), text(b"\1" + bytes(31))
    spelled = text(device.keys.public[:-1] + bytes([device.keys.public[-1] | 0x80])), own + "=", own[:-1], "x", "ä" * 43
    for key in (*low_order, *spelled):
        answer = enrol(hub, code, key)
        assert answer.status_code == 400, key
        assert answer.json()["message"].startswith("Bad public_key"), key
    assert refusal(enrol(hub, code, own)) == IN_USE
    assert enrol(hub, code, new_key()).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"code": 1, "public_key": "x"}',
        b'{"code": "x"}',
        b'{"code": "%b", "public_key": "x"}' % (b"x" * 201),
    ],
)
def test_what_is_no_enrolment_is_refused(hub: LiveServer, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    answer = httpx.post(f"{hub.url}/api/v3/hub/enrol", content=body, headers=headers, trust_env=False)
    assert answer.status_code == 400


async def test_a_revoked_key_is_never_taken_again(hub: LiveServer, device: Device) -> None:
    own = text(device.keys.public)
    await told(hub, "rotate", device.name)
    revoked = await told(hub, "revoke", device.name)
    assert (revoked["state"], revoked["rotation"]) == ("revoked", None)
    again = pairing((await told(hub, "pair", device.name))["pairing_code"])
    assert refusal(await asyncio.to_thread(enrol, hub, again["code"], own)) == IN_USE
    other = KeyPair.generate()
    assert (await asyncio.to_thread(enrol, hub, again["code"], text(other.public))).status_code == 200
    async with device.socket() as socket:
        connection = Connection(socket)
        await connection.shake_hands(device.keys, raw(device.hub_key))
        assert await connection.closed() == 4401
    device.keys = other
    async with device.connected() as connection:
        assert (await connection.ask("state", {"name": "back", "value": 1}))["type"] == "ack"


async def test_the_key_of_a_removed_device_is_never_taken_again(hub: LiveServer, device: Device) -> None:
    await told(hub, "remove", device.name)
    code = (await asyncio.to_thread(added, hub, "successor"))["code"]
    assert refusal(await asyncio.to_thread(enrol, hub, code, text(device.keys.public))) == IN_USE


async def test_another_enrolment_replaces_the_key(hub: LiveServer, device: Device) -> None:
    again, old = pairing((await told(hub, "pair", device.name))["pairing_code"]), device.keys
    async with device.connected() as connection:  # the old key works until then
        device.keys = KeyPair.generate()
        assert (await asyncio.to_thread(enrol, hub, again["code"], text(device.keys.public))).status_code == 200
        assert await connection.closed() == 4401
    async with device.connected() as connection:
        assert (await connection.ask("state", {"name": "x", "value": 1}))["type"] == "ack"
    shown = await told(hub, "show", device.name)
    assert shown["public_key"] == text(device.keys.public) != text(old.public)


def test_a_device_may_bring_its_key(hub: LiveServer) -> None:
    key = new_key()
    made = command_line(hub, "add", f"brought {hub.port}", "--public-key", key)
    assert "pairing_code" not in made
    assert command_line(hub, "show", made["_id"])["public_key"] == key


def test_a_device_is_a_subject_and_says_so(hub: LiveServer, device: Device) -> None:
    [subject] = [each for each in hub.admin("GET", "/subjects") if each["_id"] == device.id]
    assert (subject["name"], subject["device"]) == (device.name, True)
    shown = here(hub.installation, "subject", "show", device.name, "--json")
    assert json.loads(shown.output)["device"] is True


def test_guesses_are_slowed_down_whatever_address_they_claim(fresh_server: FreshServer) -> None:
    """As for every other credential: after twenty failures the network is refused unheard, whatever header it sends."""
    server = fresh_server(env={"AUTH_FAIL_DELAY": "1"})
    statuses = [
        enrol(server, f"guess {number}", new_key(), headers={"X-Forwarded-For": f"192.0.2.{number}"}).status_code
        for number in range(25)
    ]
    assert statuses == [401] * 20 + [429] * 5
    made = command_line(server, "add", "rig")
    assert enrol(server, pairing(made["pairing_code"])["code"], new_key()).status_code == 429


def test_a_pairing_code_is_good_for_a_quarter_of_an_hour(hub: LiveServer) -> None:
    begun, device = time.time() * 1000, added(hub, "quarter")["device"]
    [(expires,)] = execute(hub.installation.database_url, "SELECT pairing_expires FROM devices WHERE id = ?", device)
    assert begun <= expires - 15 * 60_000 <= time.time() * 1000 + 1


def test_a_device_whose_process_has_died_does_not_count_as_connected(hub: LiveServer) -> None:
    device = make_device(hub)
    seen = round(time.time() * 1000) - 121_000
    execute(hub.installation.database_url, "UPDATE devices SET connection = 'x', seen = ? WHERE id = ?", seen, device.id)
    assert command_line(hub, "show", device.name)["connected"] is False
    execute(hub.installation.database_url, "UPDATE devices SET seen = seen + 100000 WHERE id = ?", device.id)
    assert command_line(hub, "show", device.name)["connected"] is True


def test_codes_and_keys_are_in_neither_database_nor_log(hub: LiveServer) -> None:
    parts = added(hub, "secret")
    rows = execute(hub.installation.database_url, "SELECT pairing FROM devices WHERE id = ?", parts["device"])
    assert parts["code"] not in str(rows)
    assert enrol(hub, parts["code"], new_key()).status_code == 200
    assert parts["code"] not in hub.output
    assert (hub.installation.data / "hub_key").read_text().strip() not in hub.output


# --- who may manage devices


ACTIONS = {
    "read": [("GET", ""), ("GET", "/{id}"), ("GET", "/{id}/records")],
    "create": [("POST", "")],
    "update": [("PUT", ""), ("POST", "/{id}/pair"), ("POST", "/{id}/rotate"), ("POST", "/{id}/revoke")],
    "delete": [("DELETE", "/{id}")],
}


def test_each_action_has_its_own_permission(hub: LiveServer) -> None:
    device = make_device(hub)
    bodies = {"POST": {"name": f"made by a caller {hub.port}"}, "PUT": {"_id": device.id, "notes": "x"}}
    for action, calls in ACTIONS.items():
        for other in ACTIONS:
            caller = Caller(hub, "devices", f"admin:api:devices:{other}")
            for method, path in calls:
                answer = caller.ask(method, path.format(id=device.id), bodies.get(method) if not path else None)
                assert (answer.status_code == 200) == (action == other), (action, other, method, path, answer.text)


def test_nobody_gives_a_device_more_than_they_have(hub: LiveServer) -> None:
    caller = Caller(hub, "devices", "admin:api:devices:*", "api:entries:read")
    assert caller.ask("POST", json={"name": f"strong {hub.port}", "roles": ["admin"]}).status_code == 403
    strong = make_device(hub, "admin")
    for method, path, body in (
        ("PUT", "", {"_id": strong.id, "notes": "mine"}),
        ("POST", f"/{strong.id}/pair", None),
        ("POST", f"/{strong.id}/rotate", None),
        ("POST", f"/{strong.id}/revoke", None),
        ("DELETE", f"/{strong.id}", None),
    ):
        assert caller.ask(method, path, body).status_code == 403, (method, path)
    weak = make_device(hub)
    assert caller.ask("PUT", "", {"_id": weak.id, "roles": ["admin"]}).status_code == 403
    assert caller.ask("PUT", "", {"_id": weak.id, "notes": "mine"}).status_code == 200


def test_no_device_takes_the_place_of_another_subject(hub: LiveServer) -> None:
    caller, weak = Caller(hub, "devices", "*"), make_device(hub)
    there = caller.ask("POST", json={"_id": weak.id, "name": f"another {hub.port}"})
    assert refusal(there) == (409, f"There is a subject with the _id {weak.id} already")
    assert refusal(caller.ask("POST", json={"name": weak.name}))[0] == 409


def test_there_is_room_for_so_many(hub: LiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    make_device(hub)
    monkeypatch.setattr(service, "MOST_DEVICES", 1)
    refused = here(hub.installation, "device", "add", f"one more {hub.port}")
    assert (refused.status, "There are too many devices, at most 1" in refused.errors) == (1, True)


def test_a_device_has_a_week_for_its_new_key(hub: LiveServer, device: Device) -> None:
    command_line(hub, "rotate", device.id)
    [[until]] = execute(hub.installation.database_url, "SELECT rotation FROM devices WHERE id = ?", device.id)
    assert abs(until - time.time() * 1000 - 7 * 86_400_000) < 600_000


def test_what_there_is_not(hub: LiveServer) -> None:
    caller = Caller(hub, "devices", "*")
    nobody = "0" * 24
    for method, path in (
        ("GET", ""),
        ("DELETE", ""),
        ("GET", "/records"),
        ("POST", "/pair"),
        ("POST", "/rotate"),
        ("POST", "/revoke"),
    ):
        assert caller.ask(method, f"/{nobody}{path}").status_code == 404, path
    waiting = caller.made("POST", json={"name": f"keyless {hub.port}"})
    assert refusal(caller.ask("POST", f"/{waiting['_id']}/rotate")) == (
        409,
        "The device has no key yet: give it a pairing code",
    )
    assert caller.ask("GET", f"/{waiting['_id']}/records?kind=nonsense").status_code == 400
    for name in ("before", "limit"):
        for value in ("0", "-1", "x", "1e3", "9" * 20):
            assert caller.ask("GET", f"/{waiting['_id']}/records?{name}={value}").status_code == 400, (name, value)
