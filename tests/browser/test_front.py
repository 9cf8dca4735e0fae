"""The page `/` for a person who has signed in, in a real browser."""

import asyncio
import time
from typing import Any

import pytest
from playwright.async_api import Browser, Page, expect

from tests.browser.conftest import Visit
from tests.support.factories import FreshServer
from tests.support.people import PASSWORD, add_person
from tests.support.server import LiveServer

MINUTE = 60_000


@pytest.fixture
def server(fresh_server: FreshServer) -> LiveServer:
    """One without data. Anna may read it."""
    server = fresh_server()
    add_person(server.installation, "anna@x.example", name="Anna")
    return server


async def signed_in(page: Page, server: LiveServer) -> None:
    await page.goto(f"{server.url}/login")
    await page.get_by_label("E-mail address").fill("anna@x.example")
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Sign in", exact=True).click()
    await page.wait_for_url(f"{server.url}/")


async def write(server: LiveServer, *values: int) -> None:
    """Readings every five minutes, the last of them now."""
    now = time.time_ns() // 1_000_000
    entries: list[dict[str, Any]] = [
        {"type": "sgv", "sgv": value, "date": now - age * 5 * MINUTE, "direction": "Flat", "app": "test", "device": "sensor"}
        for age, value in enumerate(reversed(values))
    ]
    token = await asyncio.to_thread(server.subject, f"uploader-{now}", "api:entries:create", "api:entries:update")
    answer = await asyncio.to_thread(lambda: server.client(token).post("/api/v3/entries/bulk", json=entries))
    assert answer.status_code == 200, answer.text


async def test_it_follows_what_is_written(visit: Visit, server: LiveServer) -> None:
    page = visit.page
    await signed_in(page, server)
    await expect(page.get_by_text("No reading yet")).to_be_visible()
    await visit.assert_sound()

    await write(server, 100, 109)
    newest = page.get_by_role("region", name="Newest reading")
    await expect(newest).to_contain_text("109")
    await expect(newest).to_contain_text("+9 since")
    await expect(page).to_have_title("109 mg/dL · apiv3")
    labels = await page.locator(".chart .value").evaluate_all("all => all.map(each => each.getBoundingClientRect().right)")
    assert max(labels) < await page.locator(".chart svg svg").evaluate("points => points.getBoundingClientRect().left")
    await page.get_by_text("All values as a table").click()
    await page.get_by_role("link", name="mmol/L").click()
    await expect(newest).to_contain_text("6.1")
    await page.get_by_text("All values as a table").click()

    await write(server, 200)
    await expect(newest).to_contain_text("11.1")
    await expect(page.get_by_role("img", name="Glucose of the last 24 hours")).to_be_visible()
    await expect(page.get_by_role("row")).to_have_count(4)  # the table is still open
    for width in (360, 1280):
        await page.set_viewport_size({"width": width, "height": 740})
        await visit.assert_sound()


async def test_it_works_without_javascript(browser: Browser, server: LiveServer) -> None:
    await write(server, 100, 109)
    context = await browser.new_context(java_script_enabled=False)
    page = await context.new_page()
    await signed_in(page, server)
    newest = page.get_by_role("region", name="Newest reading")
    await expect(newest).to_contain_text("109 mg/dL → steady")
    await page.get_by_role("link", name="mmol/L").click()
    await expect(newest).to_contain_text("6.1 mmol/L")
    await page.get_by_text("All values as a table").click()
    await expect(page.get_by_role("cell", name="5.6", exact=True)).to_be_visible()
    await page.get_by_role("link", name="API", exact=True).click()
    await expect(page.get_by_role("cell", name="/api/v3/lastModified .json", exact=True)).to_be_visible()
    await context.close()


async def test_nothing_stays_when_the_session_ends(visit: Visit, server: LiveServer) -> None:
    page = visit.page
    await write(server, 123)
    await signed_in(page, server)
    await expect(page.get_by_text("123", exact=True).first).to_be_visible()
    other = await page.context.new_page()
    await other.goto(f"{server.url}/account")
    await other.get_by_role("button", name="Sign out", exact=True).click()
    await other.wait_for_url(f"{server.url}/login")
    await expect(page.get_by_role("heading", name="Your glucose, on a server of your own")).to_be_visible()
    await expect(page.get_by_text("123")).to_have_count(0)
    await page.go_back()
    await expect(page.get_by_text("123")).to_have_count(0)
