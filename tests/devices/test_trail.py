"""Who did what to devices: every action has its entry in the audit trail."""

import uuid

from apiv3.noise import KeyPair
from tests.support.callers import Caller
from tests.support.devices import enrol, pairing, text
from tests.support.people import trail
from tests.support.server import LiveServer


def test_every_action_has_an_entry(hub: LiveServer) -> None:
    name = f"traced {uuid.uuid4()}"
    caller = Caller(hub, "devices", "*")
    made = caller.made("POST", json={"name": name})
    device, path = made["_id"], f"/{made['_id']}"
    code = pairing(made["pairing_code"])["code"]
    assert enrol(hub, code, text(KeyPair.generate().public)).status_code == 200
    for method, place, body in (
        ("PUT", "", {"_id": device, "notes": "moved"}),
        ("POST", f"{path}/rotate", None),
        ("POST", f"{path}/pair", None),
        ("POST", f"{path}/revoke", None),
    ):
        assert caller.ask(method, place, body).status_code == 200
    client = hub.client(hub.subject(f"commander {uuid.uuid4()}", "admin:hub:devices:command"))
    command = client.post(f"/api/v3/hub/devices/{device}/commands", json={"name": "beep"}).json()["command"]
    assert client.post(f"/api/v3/hub/commands/{command}/cancel").status_code == 200
    assert caller.ask("DELETE", path).status_code == 200
    entries = trail(hub.installation, "--target", device)
    assert [each["action"] for each in entries] == [
        "device-made",
        "device-enrolled",
        "device-changed",
        "device-rotated",
        "device-paired",
        "device-revoked",
        "command-made",
        "command-canceled",
        "device-removed",
    ]
    assert {each["target"]["name"] for each in entries} == {name}
    assert code not in str(entries)
    given, taken_back = entries[6:8]
    assert given["details"] == {"command": command, "name": "beep"}
    assert taken_back["details"] == {"command": command}
