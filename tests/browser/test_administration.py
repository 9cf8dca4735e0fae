"""Administration in a real browser: a role and a subject are made, the token is used, and the role is changed."""

from __future__ import annotations

import asyncio
import time
from itertools import count
from typing import Any

import httpx
import pytest
from playwright.async_api import Browser, Page, expect

from tests.browser.conftest import PATIENCE, Visit
from tests.support.browsers import signed_in
from tests.support.people import PASSWORD, add_person, sign_in
from tests.support.server import LiveServer

_numbers = count()


async def administrator(server: LiveServer, page: Page) -> str:
    """The name of a new administrator, who is signed in on a page, and has been led to the first section."""
    number = next(_numbers)
    email, name = f"administrator.{number}.{server.port}@x.example", f"Administrator {number} {server.port}"
    await asyncio.to_thread(add_person, server.installation, email, PASSWORD, "admin", name=name)
    await page.goto(f"{server.url}/admin")
    await page.get_by_label("E-mail address").fill(email)
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Sign in", exact=True).click()
    await expect(page.get_by_role("heading", name="Subjects", exact=True)).to_be_visible()
    return name


async def reads(server: LiveServer, token: str) -> int:
    """The status of a call of the API with an access token."""
    url = f"{server.url}/api/v3/entries?now={time.time_ns() // 1_000_000}&token={token}"
    answer = await asyncio.to_thread(httpx.get, url, trust_env=False)
    return answer.status_code


async def walk(page: Page, server: LiveServer) -> str:
    """Make a role and a subject, call the API with the token, and change the role; the name of the subject."""
    await administrator(server, page)
    number = next(_numbers)
    role, subject = f"walker {number} {server.port}", f"phone {number} {server.port}"
    sections = page.get_by_role("navigation", name="Administration")
    await sections.get_by_role("link", name="Roles").click()
    await page.get_by_role("link", name="Add a role").click()
    await page.get_by_label("Name").fill(role)
    await page.get_by_label("Permissions").fill("api:entries:read")
    await page.get_by_role("button", name="Add the role").click()
    await expect(page.get_by_role("status")).to_have_text("The role is added.")

    await sections.get_by_role("link", name="Subjects").click()
    await page.get_by_role("link", name="Add a subject").click()
    await page.get_by_label("Name").fill(subject)
    await page.get_by_label(role).check()
    await page.get_by_role("button", name="Add the subject").click()
    await page.get_by_role("button", name="Show the access token").click()
    token = await page.get_by_label(f"Access token of {subject}").input_value()
    assert await reads(server, token) == 200

    await sections.get_by_role("link", name="Roles").click()
    await page.get_by_label("Search roles").fill(role)
    await page.get_by_role("button", name="Search").click()
    await page.get_by_role("link", name=role).click()
    await page.get_by_label("Permissions").fill("api:food:read")
    await page.get_by_role("button", name="Save the changes").click()
    await expect(page.get_by_role("status")).to_have_text("The role is changed.")
    assert await reads(server, token) == 403
    return subject


async def test_a_role_a_subject_and_a_token(visit: Visit, shared_servers: Any) -> None:
    server, page = shared_servers("sqlite"), visit.page
    subject = await walk(page, server)
    await visit.assert_sound()

    await page.get_by_role("link", name="Who may do what").click()
    await page.get_by_label("Permission").press_sequentially("api:food:read")  # the answer comes without a click
    await expect(page.get_by_role("heading", name="Who may do api:food:read")).to_be_visible()
    await page.get_by_label("Subject or person").fill(subject)
    await expect(page.get_by_role("heading", name=f"What {subject} may do")).to_be_visible()
    await expect(page.get_by_role("row", name="api:food:read yes")).to_be_visible()
    await expect(page.get_by_role("row", name="api:entries:read no")).to_be_visible()
    await visit.assert_sound()


async def test_a_token_is_copied(visit: Visit, shared_servers: Any) -> None:
    server, page = shared_servers("sqlite"), visit.page
    await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await administrator(server, page)
    await page.get_by_role("link", name="Add a subject").click()
    await page.get_by_label("Name").fill(f"copied {next(_numbers)} {server.port}")
    await page.get_by_role("button", name="Add the subject").click()
    await page.get_by_role("button", name="Show the access token").click()
    await page.get_by_role("button", name="Copy").click()
    await expect(page.get_by_role("button", name="Copied")).to_be_visible()
    shown = await page.get_by_label("Access token of").input_value()
    assert await page.evaluate("navigator.clipboard.readText()") == shown


async def test_a_session_is_ended_from_another_one(visit: Visit, shared_servers: Any) -> None:
    server, page = shared_servers("sqlite"), visit.page
    email, name = f"ended.{server.port}@x.example", f"Ended {server.port}"
    await asyncio.to_thread(add_person, server.installation, email, PASSWORD, "readable", name=name)
    other = await asyncio.to_thread(signed_in, server, email)
    await administrator(server, page)
    await page.get_by_role("link", name="Sessions").click()
    await page.get_by_label("Search sessions").fill(name)
    await page.get_by_role("button", name="Search").click()
    await page.get_by_role("link", name=f"End this session of {name}").click()
    await page.get_by_role("button", name="End the session").click()
    await expect(page.get_by_role("status")).to_have_text("The session is ended.")
    assert not await asyncio.to_thread(other.is_signed_in)
    await visit.assert_sound()


async def test_it_needs_no_javascript(browser: Browser, shared_servers: Any) -> None:
    server = shared_servers("sqlite")
    context = await browser.new_context(java_script_enabled=False)
    context.set_default_timeout(PATIENCE)
    page = await context.new_page()
    subject = await walk(page, server)
    await page.get_by_role("link", name="Who may do what").click()
    await page.get_by_label("Subject or person").fill(subject)
    await page.get_by_role("button", name="What is allowed here?").click()
    await expect(page.get_by_role("row", name="api:food:read yes")).to_be_visible()
    await context.close()


async def register(page: Page, server: LiveServer) -> None:
    """Register an application, let it call the API, narrow it, give it another secret, and remove it."""
    await administrator(server, page)
    name = f"robot {next(_numbers)} {server.port}"
    await page.get_by_role("navigation", name="Administration").get_by_role("link", name="Applications").click()
    await page.get_by_role("link", name="Register an application").click()
    await page.get_by_label("Name", exact=True).fill(name)
    await page.get_by_label("Redirect URIs").fill("http://evil.example/")
    await page.get_by_role("group", name="Roles of its own").get_by_label("readable").check()
    await page.get_by_role("button", name="Register the application").click()
    await expect(page.get_by_role("alert")).to_contain_text("Bad redirect URI")
    await expect(page.get_by_label("Name", exact=True)).to_have_value(name)  # what was typed stays
    await page.get_by_label("Redirect URIs").fill("")
    await page.get_by_role("button", name="Register the application").click()
    client = await page.get_by_label("client_id").input_value()
    secret = await page.get_by_label("client_secret").input_value()
    token = (await credentials(server, client, secret)).json()["access_token"]
    assert await bears(server, token) == 200

    await page.get_by_role("link", name="Done").click()
    await expect(page.get_by_text(secret)).to_have_count(0)
    await expect(page.get_by_role("region", name="For whom it acts").get_by_role("row", name=name)).to_be_visible()
    await page.get_by_label("Permissions as scopes").fill("api:food:read")
    await page.locator("input[name=scopes][value=read]").uncheck()
    await page.get_by_role("button", name="Save the changes").click()
    await expect(page.get_by_role("status")).to_have_text("The application is changed.")
    assert await bears(server, token) == 401
    assert await bears(server, (await credentials(server, client, secret)).json()["access_token"]) == 403

    await page.get_by_role("link", name="Make a new secret…").click()
    await page.get_by_role("button", name="Make a new secret").click()
    newer = await page.get_by_label("client_secret").input_value()
    assert [(await credentials(server, client, each)).status_code for each in (secret, newer)] == [401, 200]
    await page.get_by_role("link", name="Done").click()
    await page.get_by_role("link", name="Remove…").click()
    await page.get_by_role("button", name="Remove").click()
    await expect(page.get_by_role("status")).to_have_text("The application is removed.")
    assert (await credentials(server, client, newer)).status_code == 401


async def credentials(server: LiveServer, client: str, secret: str) -> httpx.Response:
    """What an application gets for its credentials."""
    form = {"grant_type": "client_credentials", "client_id": client, "client_secret": secret}
    return await asyncio.to_thread(httpx.post, f"{server.url}/oauth/token", data=form, trust_env=False)


async def bears(server: LiveServer, token: str) -> int:
    """The status of a call of the API with an access token of OAuth2."""
    headers = {"Authorization": f"Bearer {token}"}
    answer = await asyncio.to_thread(httpx.get, f"{server.url}/api/v3/entries", headers=headers, trust_env=False)
    return answer.status_code


async def test_an_application_is_registered_changed_and_removed(visit: Visit, shared_servers: Any) -> None:
    await register(visit.page, shared_servers("sqlite"))
    assert [each for each in visit.complaints if "400" not in each] == []  # the browser notes the refusal


async def test_an_application_is_registered_without_javascript(browser: Browser, shared_servers: Any) -> None:
    context = await browser.new_context(java_script_enabled=False)
    context.set_default_timeout(PATIENCE)
    await register(await context.new_page(), shared_servers("sqlite"))
    await context.close()


PAGES = ["subjects", "subjects/add", "subjects?search=nobody at all", "roles", "roles/add", "roles/readable", "users"]
PAGES += ["users/add", "check?permission=api:entries:read", "check?permission=:::", "sessions", "failures"]
PAGES += ["audit?outcome=failure", "state", "clients", "clients/add"]


@pytest.mark.parametrize("width", [360, 1280])
async def test_the_pages_are_sound(visit: Visit, shared_servers: Any, width: int) -> None:
    server, page = shared_servers("sqlite"), visit.page
    await page.set_viewport_size({"width": width, "height": 740})
    name = await administrator(server, page)
    long = f"{'long ' * 30}{width} {server.port}"
    server.admin("POST", "/subjects", {"name": long, "roles": ["readable"], "notes": "x" * 500})
    await asyncio.to_thread(sign_in, server, "nobody@x.example", "wrong")
    for path in PAGES:
        await page.goto(f"{server.url}/admin/{path}")
        await visit.assert_sound()
    await page.goto(f"{server.url}/admin/users")
    await page.get_by_role("region", name="Users").get_by_role("link", name=name).click()
    await visit.assert_sound()
    await page.get_by_role("link", name="Disable…").click()
    await expect(page.get_by_role("heading", name=f"Disable {name}?")).to_be_visible()
    await visit.assert_sound()
