"""Consent, devices and withdrawal in a real browser, under the real policy."""

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.async_api import Browser, Page, expect

from tests.browser.conftest import PATIENCE, Visit
from tests.support.oauth2 import DEVICE_CODE, Application, call, error, new_person, register, tokens
from tests.support.people import PASSWORD
from tests.support.server import LiveServer


@pytest.fixture
def server(shared_servers: Any) -> LiveServer:
    """On SQLite: a browser cannot tell."""
    found: LiveServer = shared_servers("sqlite")
    return found


@pytest.fixture
def email(server: LiveServer) -> str:
    """The address of a person who may read."""
    return new_person(server, "readable")


@pytest.fixture
def viewer(server: LiveServer) -> Application:
    return register(server, "--public", redirect="http://127.0.0.1/callback", name="viewer")


@pytest.fixture
def app(server: LiveServer) -> Application:
    """An app on a phone."""
    return register(server, "--public", redirect="com.example.app:/callback")


@pytest.fixture
def watch(server: LiveServer) -> Application:
    return register(server, "--public", redirect="", name="watch")


class Callback(ThreadingHTTPServer):
    """The program that a person goes back to. `asked`: the addresses that it was asked for."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answering)
        self.asked: list[str] = []


class _Answering(BaseHTTPRequestHandler):
    server: Callback

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>back</title>")

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def callback() -> Iterator[Callback]:
    with Callback() as listening:
        thread = Thread(target=listening.serve_forever)
        thread.start()
        yield listening
        listening.shutdown()
        thread.join()


async def sign_in(page: Page, email: str) -> None:
    await page.get_by_label("E-mail address").fill(email)
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Sign in", exact=True).click()


async def test_a_person_allows_sees_and_withdraws_an_application(
    visit: Visit, server: LiveServer, email: str, viewer: Application, callback: Callback
) -> None:
    redirect = f"http://127.0.0.1:{callback.server_port}/callback"
    address = viewer.asking(redirect_uri=redirect)
    for decision in ("Deny", "Allow"):
        await visit.page.goto(server.url + address)
        if decision == "Deny":
            await sign_in(visit.page, email)
        await expect(visit.page.get_by_role("heading", level=1)).to_contain_text("Allow viewer")
        await visit.assert_sound()
        await visit.page.get_by_role("button", name=decision).click()
        await expect(visit.page).to_have_title("back")
    denied, allowed = (parse_qs(urlsplit(url).query) for url in callback.asked if "callback" in url)
    assert (denied["error"], denied["state"]) == (["access_denied"], ["xyz"])
    issued = tokens(viewer.exchange(allowed["code"][0], redirect_uri=redirect))
    assert call(server, issued["access_token"]).status_code == 200

    await visit.page.goto(f"{server.url}/account/applications")
    await expect(visit.page.get_by_role("article")).to_have_count(1)
    await visit.assert_sound()
    await visit.page.get_by_role("link", name="Withdraw").click()
    await visit.assert_sound()
    await visit.page.get_by_role("button", name="Withdraw it").click()
    await expect(visit.page.get_by_text("None so far")).to_be_visible()
    await visit.assert_sound()
    server.wait_everywhere(lambda: call(server, issued["access_token"]).status_code == 401)


async def test_the_policy_lets_a_form_lead_to_an_app(visit: Visit, server: LiveServer, email: str, app: Application) -> None:
    """Chromium drops a redirect after a form to what `form-action` does not name; it would say so on the console."""
    await visit.page.goto(server.url + app.asking())
    await sign_in(visit.page, email)
    async with visit.page.expect_request(lambda request: request.url.startswith("com.example.app:")):
        await visit.page.get_by_role("button", name="Allow").click()
    assert not [each for each in visit.complaints if "form-action" in each]


async def test_a_person_connects_a_device(visit: Visit, server: LiveServer, email: str, watch: Application) -> None:
    begun = tokens(watch.post("/oauth/device_authorization"))
    await visit.page.goto(f"{server.url}/device?user_code={begun['user_code']}")
    await sign_in(visit.page, email)
    await expect(visit.page.get_by_label("Code")).to_have_value(begun["user_code"])
    await visit.assert_sound()
    await visit.page.get_by_role("button", name="Go on").click()
    await expect(visit.page.get_by_role("heading", level=1)).to_contain_text("Allow watch")
    await visit.assert_sound()
    await visit.page.get_by_role("button", name="Allow").click()
    await expect(visit.page.get_by_text("Your device is connected")).to_be_visible()
    await visit.assert_sound()
    assert tokens(watch.token(DEVICE_CODE, device_code=begun["device_code"]))


async def test_it_needs_no_javascript(
    browser: Browser, server: LiveServer, email: str, viewer: Application, watch: Application, callback: Callback
) -> None:
    context = await browser.new_context(java_script_enabled=False)
    context.set_default_timeout(PATIENCE)
    page = await context.new_page()
    redirect = f"http://127.0.0.1:{callback.server_port}/callback"
    await page.goto(server.url + viewer.asking(redirect_uri=redirect))
    await sign_in(page, email)
    await page.get_by_role("button", name="Deny").click()
    await expect(page).to_have_title("back")
    assert parse_qs(urlsplit(page.url).query)["error"] == ["access_denied"]
    await page.goto(server.url + viewer.asking(redirect_uri=redirect))
    await page.get_by_role("button", name="Allow").click()
    await expect(page).to_have_title("back")
    code = parse_qs(urlsplit(page.url).query)["code"][0]
    issued = tokens(viewer.exchange(code, redirect_uri=redirect))

    begun, refused = (tokens(watch.post("/oauth/device_authorization")) for _ in range(2))
    for waiting, decision, said in ((refused, "Deny", "Nothing was allowed"), (begun, "Allow", "Your device is connected")):
        await page.goto(f"{server.url}/device")
        await page.get_by_label("Code").fill(waiting["user_code"].lower())
        await page.get_by_role("button", name="Go on").click()
        await page.get_by_role("button", name=decision).click()
        await expect(page.get_by_role("heading", name=said)).to_be_visible()
    assert error(watch.token(DEVICE_CODE, device_code=refused["device_code"])) == (400, "access_denied")
    of_watch = tokens(watch.token(DEVICE_CODE, device_code=begun["device_code"]))

    await page.get_by_role("link", name="My applications").click()
    await page.get_by_role("link", name="Withdraw viewer").click()
    await page.get_by_role("button", name="Withdraw it").click()
    await expect(page.get_by_role("article")).to_have_count(1)
    server.wait_everywhere(lambda: call(server, issued["access_token"]).status_code == 401)
    assert call(server, of_watch["access_token"]).status_code == 200
    await context.close()
