"""Passkeys in a real browser, with a virtual authenticator."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
from playwright.async_api import expect

from tests.browser.conftest import Visit
from tests.support.factories import FreshServer
from tests.support.people import PASSWORD, add_person, trail
from tests.support.server import LiveServer
from tests.support.wire import unique


@pytest.fixture(scope="session")
def named_servers(lasting_server: FreshServer) -> Callable[[], LiveServer]:
    return cache(lambda: lasting_server(arguments=("--host", "localhost")))


@pytest.fixture
def named(named_servers: Callable[[], LiveServer]) -> LiveServer:
    """A server that listens on a name, which passkeys need."""
    return named_servers()


async def person(server: LiveServer) -> str:
    email = f"{unique('anna')}@x.example"
    await asyncio.to_thread(add_person, server.installation, email, PASSWORD, name=email)
    return email


def place(server: LiveServer) -> str:
    return f"http://localhost:{server.port}"


async def authenticator(visit: Visit, **options: Any) -> None:
    """Plug an authenticator into the browser."""
    session = await visit.page.context.new_cdp_session(visit.page)
    await session.send("WebAuthn.enable")
    given = {"protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True}
    given |= {"isUserVerified": True, "automaticPresenceSimulation": True} | options
    await session.send("WebAuthn.addVirtualAuthenticator", {"options": given})


async def sign_in(visit: Visit, url: str, email: str) -> None:
    await visit.page.goto(f"{url}/login?next=/account")
    await visit.page.get_by_label("E-mail address").fill(email)
    await visit.page.get_by_label("Password").fill(PASSWORD)
    await visit.page.get_by_role("button", name="Sign in", exact=True).click()
    await expect(visit.page.get_by_role("heading", name="Your account")).to_be_visible()


@pytest.mark.parametrize("width", [360, 1280])
async def test_a_passkey_from_its_beginning_to_its_end(visit: Visit, named: LiveServer, width: int) -> None:
    page, email = visit.page, await person(named)
    await page.set_viewport_size({"width": width, "height": 740})
    await authenticator(visit)
    await sign_in(visit, place(named), email)
    await page.get_by_label("Name").fill("My phone")
    await page.get_by_role("button", name="Add a passkey").click()
    await expect(page.get_by_role("status")).to_contain_text("The passkey is added.")
    await expect(page.get_by_role("row", name="My phone")).to_contain_text("never")
    await visit.assert_sound()
    await expect(page.get_by_role("button", name="Remove the passkey My phone")).to_be_in_viewport(ratio=0.5)
    await page.get_by_label("Name", exact=True).fill("The same phone")
    await page.get_by_role("button", name="Add a passkey").click()
    await expect(page.get_by_role("alert")).to_have_text("This device has a passkey for your account already.")

    await page.get_by_role("button", name="Sign out", exact=True).click()
    await visit.assert_sound()
    await page.goto(f"{place(named)}/login?next=/account")
    await page.get_by_role("button", name="Sign in with a passkey").click()
    await expect(page.get_by_role("heading", name="Your account")).to_be_visible()
    await expect(page.get_by_role("row", name="My phone")).not_to_contain_text("never")

    row = page.get_by_role("row", name="My phone")
    await row.get_by_text("Rename").first.click()
    await row.get_by_label("New name of My phone").fill("Old phone")
    await row.get_by_role("button", name="Rename").click()
    await page.get_by_role("button", name="Remove the passkey Old phone").click()
    await expect(page.get_by_role("status")).to_contain_text("The passkey is removed here.")
    await visit.assert_sound()

    await page.get_by_role("button", name="Sign out", exact=True).click()
    await page.get_by_role("button", name="Sign in with a passkey").click()
    await expect(page.get_by_role("alert")).to_have_text("This passkey is not accepted.")
    visit.complaints = [each for each in visit.complaints if "401" not in each]  # Chromium's word on the status
    await visit.assert_sound()
    entries = await asyncio.to_thread(trail, named.installation, "--action", "sign-in", "--actor", email)
    ways = [each["actor"]["way"] for each in entries]
    assert ways == ["password", "passkey"]


async def test_what_cannot_work_is_explained(visit: Visit, named: LiveServer) -> None:
    page = visit.page
    button, alert = page.get_by_role("button", name="Sign in with a passkey"), page.get_by_role("alert")
    await page.goto(f"http://127.0.0.1:{named.port}/login")
    await button.click()
    await expect(alert).to_have_text(f"Passkeys work at {place(named)} only. Open this page there.")
    await authenticator(visit, hasUserVerification=False, isUserVerified=False)
    await page.goto(f"{place(named)}/login")
    await button.click()
    await expect(alert).to_contain_text("Nothing was done")
    await expect(button).to_be_enabled()
    await page.route("**/login/passkey/options", lambda route: route.abort())
    await button.click()
    await expect(alert).to_have_text("The server cannot be reached. Try again later.")
    assert [each for each in visit.complaints if "policy" in each] == []


async def test_a_bare_address_has_no_passkeys(visit: Visit, shared_servers: Any) -> None:
    server: LiveServer = shared_servers("sqlite")
    await visit.page.goto(f"{server.url}/login")
    await visit.page.get_by_role("button", name="Sign in with a passkey").click()
    await expect(visit.page.get_by_role("alert")).to_contain_text("Passkeys need a host name")
    await visit.assert_sound()


async def test_without_javascript_nothing_of_it_is_shown(visit: Visit, named: LiveServer) -> None:
    browser = visit.page.context.browser
    assert browser is not None
    context = await browser.new_context(java_script_enabled=False)
    page = await context.new_page()
    await page.goto(f"{place(named)}/login?next=/account")
    await expect(page.get_by_role("button", name="Sign in with a passkey")).to_be_hidden()
    await page.get_by_label("E-mail address").fill(await person(named))
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Sign in", exact=True).click()
    await expect(page.get_by_text("you have to allow this page to run JavaScript")).to_be_visible()
    await expect(page.get_by_role("button", name="Add a passkey")).to_be_hidden()
    await context.close()
