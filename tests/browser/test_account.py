"""Signing in and one's own account in a real browser, with JavaScript and without."""

from __future__ import annotations

import asyncio
import os
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page, expect

from tests.browser.conftest import PATIENCE, Visit
from tests.support.browsers import signed_in
from tests.support.people import PASSWORD, add_person
from tests.support.server import LiveServer

ANOTHER = "another long secret"
_numbers = count()


async def person(server: LiveServer) -> str:
    email = f"browser.{next(_numbers)}.{server.port}@x.example"
    name = f"Browser {next(_numbers)}"
    await asyncio.to_thread(add_person, server.installation, email, PASSWORD, "readable", "careportal", name=name)
    return email


async def sign_in(page: Page, server: LiveServer, email: str, password: str) -> None:
    await page.goto(f"{server.url}/account")
    await page.get_by_label("E-mail address").fill(email)
    await page.get_by_label("Password").fill(password)
    await page.get_by_role("button", name="Sign in", exact=True).click()


async def use(page: Page, server: LiveServer, email: str) -> None:
    """Sign in, first with a wrong password; change it, sign out everywhere else, and sign out."""
    await sign_in(page, server, email, "wrong")
    await expect(page.get_by_role("alert")).to_have_text("Wrong e-mail address or password.")
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Sign in", exact=True).click()
    await expect(page.get_by_role("heading", name="Your account")).to_be_visible()
    assert page.url == f"{server.url}/account"
    await page.get_by_label("Old password").fill(PASSWORD)
    await page.get_by_label("New password").fill(ANOTHER)
    await page.get_by_role("button", name="Change the password").click()
    await expect(page.get_by_role("status")).to_contain_text("Your password is changed.")
    await page.get_by_role("button", name="Sign out everywhere else").click()
    await expect(page.get_by_role("status")).to_contain_text("Every other session")
    await page.get_by_role("button", name="Sign out", exact=True).click()
    await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    await page.goto(f"{server.url}/account")
    assert page.url == f"{server.url}/login?next=/account"
    await page.go_back()
    await expect(page.get_by_role("heading", name="Your account")).to_have_count(0)


async def test_a_person_uses_the_account(visit: Visit, shared_servers: Any) -> None:
    server = shared_servers("sqlite")
    await use(visit.page, server, await person(server))
    visit.complaints = [each for each in visit.complaints if "401" not in each]  # Chromium's word on a wrong password
    await visit.assert_sound()


async def test_it_needs_no_javascript(browser: Browser, shared_servers: Any) -> None:
    server = shared_servers("sqlite")
    context = await browser.new_context(java_script_enabled=False)
    context.set_default_timeout(PATIENCE)
    await use(await context.new_page(), server, await person(server))
    await context.close()


@pytest.mark.parametrize("width", [360, 1280])
async def test_the_pages_are_sound(visit: Visit, shared_servers: Any, width: int) -> None:
    server, page = shared_servers("sqlite"), visit.page
    email = await person(server)
    for agent in ("curl/8", "Mozilla/5.0 (iPhone) Version/18.0 Safari/604.1", "y" * 500):
        signed_in(server, email, **{"User-Agent": agent})
    await page.set_viewport_size({"width": width, "height": 740})
    await page.goto(f"{server.url}/login?lost=1")
    await visit.assert_sound()
    await picture(page, f"login-{width}")
    await sign_in(page, server, email, PASSWORD)
    await expect(page.get_by_role("heading", name="Your account")).to_be_visible()
    await visit.assert_sound()
    await picture(page, f"account-{width}")


async def picture(page: Page, name: str) -> None:
    """Keep a picture for who looks at the design, if PICTURES names a folder."""
    if folder := os.environ.get("PICTURES"):
        for scheme in ("light", "dark"):
            await page.emulate_media(color_scheme=scheme)
            await page.screenshot(path=Path(folder) / f"{name}-{scheme}.png", full_page=True)
