"""The interactive page in a real browser: enter a token, send requests, see the answers."""

import asyncio
import json
import re
import subprocess
import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.async_api import Locator, expect

from tests.browser.conftest import Visit
from tests.support.people import PASSWORD, add_person
from tests.support.processes import clean_environment, demand
from tests.support.server import LiveServer
from tests.support.wire import unique


@pytest.fixture
def server(shared_servers: Any) -> LiveServer:
    """On SQLite: a browser cannot tell."""
    found: LiveServer = shared_servers("sqlite")
    return found


@pytest.fixture
def email(server: LiveServer) -> str:
    """The address of a person who may read."""
    address = f"{unique('anna')}@x.example"
    add_person(server.installation, address, PASSWORD, "readable")
    return address


async def opened(visit: Visit, server: LiveServer) -> None:
    await visit.page.goto(f"{server.url}/api3-docs")
    await expect(visit.page.locator("#operations-Documents-read")).to_be_visible()


async def signed_in(visit: Visit, server: LiveServer, credential: str) -> None:
    await opened(visit, server)
    await visit.page.get_by_label("Access token or JWT").fill(credential)
    await visit.page.get_by_role("button", name="Use it").click()
    await expect(visit.page.get_by_role("status")).to_contain_text("Good. It may create, read, update and delete in")


async def tried(visit: Visit, operation: str) -> Locator:
    """An operation, unfolded and ready to be filled in."""
    block = visit.page.locator(f"#operations-Documents-{operation}")
    await block.locator(".opblock-summary-control").click()
    await block.get_by_role("button", name="Try it out").click()
    return block


async def executed(block: Locator) -> tuple[int, Any]:
    """The status and the JSON that the page shows."""
    await block.get_by_role("button", name="Execute").click()
    live = block.locator(".live-responses-table .response")
    status = int(await live.locator(".response-col_status").inner_text())
    body = await live.locator(".highlight-code code").first.inner_text()
    return status, json.loads(body)


def assert_clean(visit: Visit, server: LiveServer) -> None:
    """Nothing went elsewhere, and nothing was complained about."""
    assert visit.requests
    assert [url for url in visit.requests if not url.startswith((f"{server.url}/", "data:", f"blob:{server.url}/"))] == []
    assert visit.complaints == []


@pytest.mark.parametrize("kind", ["access token", "JWT"])
async def test_documents_go_in_and_come_out(visit: Visit, server: LiveServer, kind: str) -> None:
    token = server.subject(unique("browser"), "api:*:*")
    await signed_in(visit, server, token if kind == "access token" else server.jwt(token))
    identifier = unique("from-a-browser")
    document = {"identifier": identifier, "date": 1_600_087_000_000, "app": "browser", "sgv": 111}

    creating = await tried(visit, "create")
    await creating.locator("textarea.body-param__text").fill(json.dumps(document))
    status, body = await executed(creating)
    assert (status, body["identifier"]) == (201, identifier)

    reading = await tried(visit, "read")
    await reading.get_by_placeholder("identifier").fill(identifier)
    status, body = await executed(reading)
    assert (status, body["result"]["sgv"]) == (200, 111)

    searching = await tried(visit, "search")
    await searching.locator("textarea").fill(json.dumps({"identifier": identifier, "sgv$gte": "100"}))
    status, body = await executed(searching)
    assert (status, [each["identifier"] for each in body["result"]]) == (200, [identifier])
    assert_clean(visit, server)


async def test_the_page_adds_the_time_and_shows_no_credential(visit: Visit, server: LiveServer) -> None:
    token = server.subject(unique("browser"), "api:*:*")
    await signed_in(visit, server, token)
    searching = await tried(visit, "search")
    status, _ = await executed(searching)
    assert status == 200

    assert "Bearer $TOKEN" in await searching.locator(".curl-command").inner_text()
    assert token not in await visit.page.content()
    assert not [url for url in [*visit.requests, visit.page.url] if token in url]
    assert await visit.page.evaluate("[localStorage.length, sessionStorage.length, document.cookie]") == [0, 0, ""]
    [sent] = [url for url in visit.requests if "/api/v3/entries" in url]
    [now] = parse_qs(urlsplit(sent).query)["now"]
    assert abs(time.time() * 1000 - int(now)) < 300_000

    await visit.page.goto("about:blank")
    await opened(visit, server)
    again = await tried(visit, "search")
    await again.get_by_role("button", name="Execute").click()
    await expect(again.locator(".live-responses-table")).to_contain_text("Missing or bad access token or JWT")


async def test_the_command_that_is_shown_works_when_it_is_pasted_later(visit: Visit, server: LiveServer) -> None:
    demand("curl")
    token = server.subject(unique("browser"), "api:*:*")
    await signed_in(visit, server, token)
    identifier = unique("it's")
    document = {"identifier": identifier, "date": 1_600_087_000_000, "app": 'the "$app" `of` a browser'}
    creating = await tried(visit, "create")
    await creating.locator("textarea.body-param__text").fill(json.dumps(document))
    assert (await executed(creating))[0] == 201
    searching = await tried(visit, "search")
    await searching.locator("textarea").fill(json.dumps({"identifier": identifier}))
    assert (await executed(searching))[0] == 200
    for operation, status in ((creating, 200), (searching, 200)):
        command = await operation.locator(".curl-command .curl").inner_text()
        assert not re.search(r"now=\d", command), command
        environment = clean_environment() | {"TOKEN": server.jwt(token)}
        answer = json.loads(await asyncio.to_thread(subprocess.check_output, ["bash", "-c", command], env=environment))
        assert answer["status"] == status, command
    assert answer["result"][0]["app"] == document["app"]
    assert_clean(visit, server)


async def test_a_bad_token_is_told_about(visit: Visit, server: LiveServer) -> None:
    await opened(visit, server)
    await visit.page.get_by_label("Access token or JWT").fill("nobody-0123456789abcdef")
    await visit.page.get_by_role("button", name="Use it").click()
    await expect(visit.page.get_by_role("status")).to_have_text("Not accepted: Bad access token or JWT")


async def test_a_credential_can_be_forgotten(visit: Visit, server: LiveServer) -> None:
    await signed_in(visit, server, server.subject(unique("browser"), "api:*:*"))
    await visit.page.get_by_role("button", name="Forget it").click()
    searching = await tried(visit, "search")
    await searching.get_by_role("button", name="Execute").click()
    await expect(searching.locator(".live-responses-table")).to_contain_text("Missing or bad access token or JWT")


async def test_it_fits_a_phone_in_the_dark(visit: Visit, server: LiveServer) -> None:
    await visit.page.set_viewport_size({"width": 360, "height": 740})
    await visit.page.emulate_media(color_scheme="dark")
    await opened(visit, server)
    await tried(visit, "search")
    assert await visit.page.evaluate("document.documentElement.scrollWidth") == 360
    page = visit.page.locator("html")
    await expect(page).to_have_class("dark-mode")
    await visit.page.emulate_media(color_scheme="light")
    await expect(page).not_to_have_class("dark-mode")  # a moment later
    assert_clean(visit, server)


async def test_a_person_signs_in_by_oauth2_and_sends_a_request(visit: Visit, server: LiveServer, email: str) -> None:
    await opened(visit, server)
    async with visit.page.expect_popup() as opening:
        await visit.page.get_by_role("button", name="Sign in with your account").click()
    popup = await opening.value
    await popup.get_by_label("E-mail address").fill(email)
    await popup.get_by_label("Password").fill(PASSWORD)
    await popup.get_by_role("button", name="Sign in", exact=True).click()
    await expect(popup.get_by_role("heading")).to_have_text("Allow Swagger UI on this server?")
    async with popup.expect_event("close"):
        await popup.get_by_role("button", name="Allow").click()
    await expect(visit.page.get_by_role("status")).to_contain_text("Good. It may read in")
    status, body = await executed(await tried(visit, "search"))
    assert (status, body["status"]) == (200, 200)
    assert_clean(visit, server)


async def test_a_person_who_denies_stays_a_stranger(visit: Visit, server: LiveServer, email: str) -> None:
    await opened(visit, server)
    async with visit.page.expect_popup() as opening:
        await visit.page.get_by_role("button", name="Sign in with your account").click()
    popup = await opening.value
    await popup.get_by_label("E-mail address").fill(email)
    await popup.get_by_label("Password").fill(PASSWORD)
    await popup.get_by_role("button", name="Sign in", exact=True).click()
    async with popup.expect_event("close"):
        await popup.get_by_role("button", name="Deny").click()
    await expect(visit.page.get_by_role("status")).to_have_text("Not signed in: The person has refused")
    assert_clean(visit, server)
