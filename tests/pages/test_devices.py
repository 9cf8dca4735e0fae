"""Devices in the pages of administration."""

import asyncio
import re
from html import unescape

import pytest

from tests.support.browsers import Browser, forms, signed_in
from tests.support.devices import Device, command_line, enrol, make_device, new_device, pairing, text
from tests.support.factories import FreshServer
from tests.support.people import PASSWORD, add_person
from tests.support.server import LiveServer

DEVICES = "/admin/devices"


@pytest.fixture(scope="module")
def server(lasting_server: FreshServer) -> LiveServer:
    return lasting_server()


@pytest.fixture
def browser(server: LiveServer) -> Browser:
    return administrator(server, "*")


def administrator(server: LiveServer, *permissions: str) -> Browser:
    number = len(command_line(server, "list")) + len(server.admin("GET", "/users"))
    name = f"pages {number} {server.port}"
    server.admin("POST", "/roles", {"name": name, "permissions": list(permissions)})
    email = f"admin{number}@x.example"
    add_person(server.installation, email, PASSWORD, name)
    return signed_in(server, email)


def code_in(page: str) -> str:
    [code] = re.findall(r'id="code" value="([^"]+)"', page)
    return unescape(code)


def sent(browser: Browser, page: str, action: str, **fields: str) -> str:
    """What follows after a form of a page was sent."""
    [form] = [each for each in forms(browser.get(page).text, action) if each]
    answer = browser.post(action, form | fields)
    assert answer.status_code == 303, answer.text
    return browser.get(answer.headers["location"]).text


def test_a_device_is_added_paired_and_enrolled(server: LiveServer, browser: Browser) -> None:
    fields = browser.form(f"{DEVICES}/add", f"{DEVICES}/add") | {"name": "weather station", "roles": "readable"}
    shown = browser.post(f"{DEVICES}/add", fields)
    assert shown.status_code == 200
    assert "<svg" in shown.text
    parts = pairing(code_in(shown.text))
    device = Device(server, parts["device"], "weather station", parts["hub_key"])
    assert "waits for its key" in browser.get(DEVICES).text
    assert enrol(server, parts["code"], text(device.keys.public)).status_code == 200
    page = browser.get(f"{DEVICES}/{device.id}").text
    assert text(device.keys.public) in page
    assert parts["code"] not in page
    again = browser.post(f"{DEVICES}/{device.id}/pair", browser.form(f"{DEVICES}/{device.id}", f"{DEVICES}/{device.id}/pair"))
    assert pairing(code_in(again.text))["code"] != parts["code"]


def test_what_a_device_told_is_shown_and_searched(server: LiveServer, browser: Browser) -> None:
    device = make_device(server)

    async def tell() -> None:
        async with device.connected(software="rig/<b>") as connection:
            lines = [{"ts": 1_700_000_000_000, "level": "error", "text": f"<script>{word}"} for word in ("one", "two")]
            await connection.ask("log", {"lines": lines})
            await connection.ask("alarm", {"name": "leak", "level": "urgent", "title": "Leak", "message": "Water"})
            await connection.ask("state", {"name": "battery", "value": {"percent": 80}})

    asyncio.run(tell())
    page = browser.get(f"{DEVICES}/{device.id}").text
    assert "&lt;script&gt;one" in page
    assert "<script>one" not in page
    assert "rig/&lt;b&gt;" in page
    assert "urgent, Leak: Water" in page
    assert "battery = <code>" in page
    found = browser.get(f"{DEVICES}/{device.id}?search=TWO").text
    assert "&lt;script&gt;two" in found
    assert "&lt;script&gt;one" not in found


def test_commands_are_given_seen_and_cancelled(server: LiveServer, browser: Browser) -> None:
    device = make_device(server)
    page, action = f"{DEVICES}/{device.id}", f"{DEVICES}/{device.id}/command"
    after = sent(browser, page, action, command="beep", arguments='{"times": 2}', minutes="5")
    assert "The command is on its way" in after
    assert "QUEUED" in after
    assert "The command is cancelled" in sent(browser, page, f"{page}/cancel")
    assert "CANCELED" in browser.get(page).text
    for wrong in ({"arguments": "{"}, {"minutes": "0"}, {"minutes": "soon"}, {"minutes": ""}, {"command": ""}):
        fields = browser.form(page, action) | {"command": "beep", "arguments": "", "minutes": "5"} | wrong
        refused = browser.post(action, fields)
        assert refused.status_code == 400, wrong
        assert 'class="message' in refused.text


async def test_two_machines_with_one_key_are_noticed(server: LiveServer, browser: Browser) -> None:
    device = await new_device(server)
    page, warning = f"{DEVICES}/{device.id}", "two machines have its key"
    async with device.connected() as first:
        assert warning not in (await asyncio.to_thread(browser.get, page)).text
        async with device.connected():
            assert await first.closed() == 4409
    assert warning in (await asyncio.to_thread(browser.get, page)).text


def test_dangerous_actions_ask_and_then_do(server: LiveServer, browser: Browser) -> None:
    device = make_device(server)
    page = f"{DEVICES}/{device.id}"
    assert "asked for a new key" in sent(browser, f"{page}/rotate", f"{page}/rotate")
    assert "cut off" in sent(browser, f"{page}/revoke", f"{page}/revoke")
    assert command_line(server, "show", device.name)["state"] == "revoked"
    assert "The device is removed" in sent(browser, f"{page}/remove", f"{page}/remove")
    assert browser.get(page).status_code == 404


def test_a_device_is_changed_and_disabled(server: LiveServer, browser: Browser) -> None:
    device = make_device(server, "readable")
    page = f"{DEVICES}/{device.id}"
    assert "The device is changed" in sent(browser, page, f"{page}/change", name=f"{device.name}!", disabled="true")
    shown = command_line(server, "show", device.id)
    assert (shown["name"], shown["disabled"]) == (f"{device.name}!", True)
    assert "disabled" in browser.get(DEVICES).text
    taken = browser.form(page, f"{page}/change") | {"name": "admin"}
    assert browser.post(f"{page}/change", taken).status_code == 409


def test_a_subject_that_is_a_device_says_so(server: LiveServer, browser: Browser) -> None:
    device = make_device(server)
    assert f'href="{DEVICES}/{device.id}"' in browser.get(f"/admin/subjects/{device.id}").text


def test_each_action_has_its_own_permission(server: LiveServer) -> None:
    device = make_device(server)
    page = f"{DEVICES}/{device.id}"
    reader = administrator(server, "admin:api:devices:read")
    assert reader.get(DEVICES).status_code == 200
    shown = reader.get(page).text
    assert forms(shown, f"{page}/change") == forms(shown, f"{page}/pair") == forms(shown, f"{page}/command") == []
    for path in (f"{DEVICES}/add", f"{page}/rotate", f"{page}/revoke", f"{page}/remove"):
        assert reader.get(path).status_code == 403
    for path in ("change", "pair", "rotate", "revoke", "remove", "command", "cancel"):
        assert reader.post(f"{page}/{path}", {}).status_code == 403
