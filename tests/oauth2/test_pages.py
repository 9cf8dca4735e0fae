"""What people see and decide about applications, on both databases, over two processes, without JavaScript."""

import html
import re

import httpx
import pytest

from tests.support.browsers import Browser
from tests.support.oauth2 import (
    DEVICE_CODE,
    Application,
    browser_of,
    call,
    decide_device,
    error,
    new_person,
    register,
    tokens,
)
from tests.support.people import trail
from tests.support.server import LiveServer


def text(page: httpx.Response) -> str:
    assert page.status_code == 200, page.text
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page.text)).split())


# --- consent

DATA = "all data: glucose entries, treatments, the status of devices, profiles, foods and settings of apps"


@pytest.mark.parametrize(
    ("scopes", "said"),
    [
        ("read", [f"Read {DATA}.", "It cannot change anything."]),
        ("write", [f"Add, change and delete {DATA}.", "It cannot read anything."]),
        ("api:entries:read", ["Read glucose entries.", "It cannot change anything."]),
        ("api:entries:read api:treatments:create", ["Read glucose entries.", "Add treatments."]),
        ("read offline_access", ["Go on when you are not there, until you withdraw it."]),
        ("execute", ["Administer this server: apps and their tokens, roles, people, applications", "Silence alarms."]),
        ("admin:api:audit:read", ["See, of the administration, the audit trail.", "It cannot change anything."]),
    ],
)
def test_the_page_says_in_words_what_is_asked_for(pair: LiveServer, browser: Browser, scopes: str, said: list[str]) -> None:
    app = register(pair, *(option for scope in scopes.split() for option in ("--scope", scope)))
    shown = text(browser.get(app.asking(scope=scopes)))
    for sentence in (*said, "registered here by whoever runs this server", "Afterwards you go on to viewer.example ."):
        assert sentence in shown
    assert ("You may not do all of this yourself" in shown) == (scopes in ("write", "execute", "admin:api:audit:read"))


def test_the_page_says_when_it_leads_to_a_program_of_the_device(pair: LiveServer, browser: Browser) -> None:
    app = register(pair, "--public", redirect="com.example.app:/callback")
    assert "you go back to a program on this device ( com.example.app: )" in text(browser.get(app.asking()))


def test_a_name_is_text(pair: LiveServer, browser: Browser) -> None:
    app = register(pair, name="<script>alert(1)</script>")
    assert "<script>alert" not in browser.get(app.asking()).text


# --- devices


@pytest.fixture
def watch(pair: LiveServer) -> Application:
    return register(pair, "--public", redirect="", name="watch")


@pytest.mark.parametrize("spelt", [str, str.lower, lambda code: code.replace("-", ""), lambda code: f" {code[:2]} {code[2:]} "])
def test_a_person_connects_a_device(watch: Application, browser: Browser, spelt: object) -> None:
    begun = tokens(watch.post("/oauth/device_authorization"))
    done = decide_device(browser, spelt(begun["user_code"]))  # type: ignore[operator]
    assert "Your device is connected" in text(done)
    issued = tokens(watch.token(DEVICE_CODE, device_code=begun["device_code"]))
    assert call(watch.server, issued["access_token"]).status_code == 200
    assert tokens(watch.refresh(issued["refresh_token"]))
    assert error(watch.token(DEVICE_CODE, device_code=begun["device_code"])) == (400, "invalid_grant")


def test_a_person_refuses_a_device(watch: Application, browser: Browser) -> None:
    begun = tokens(watch.post("/oauth/device_authorization"))
    assert "Nothing was allowed" in text(decide_device(browser, begun["user_code"], "deny"))
    assert error(watch.token(DEVICE_CODE, device_code=begun["device_code"])) == (400, "access_denied")


def test_opening_the_page_with_a_code_decides_nothing(watch: Application, browser: Browser) -> None:
    begun = tokens(watch.post("/oauth/device_authorization"))
    page = browser.get(f"/device?user_code={begun['user_code']}")
    assert f'value="{begun["user_code"]}"' in page.text
    assert error(watch.token(DEVICE_CODE, device_code=begun["device_code"])) == (400, "authorization_pending")
    stranger = Browser(watch.server).get(f"/device?user_code={begun['user_code']}")
    assert stranger.headers["location"] == f"/login?next=/device%3Fuser_code%3D{begun['user_code']}"


@pytest.mark.parametrize("code", ["", "BBBB-BBBB", "AEIO-UAEI", "x" * 10_000, "<b>", "\x00", "ＷＤＪＢＭＪＨＴ"])
def test_a_code_that_nobody_has_is_refused(browser: Browser, code: str) -> None:
    answer = browser.post("/device", browser.form("/device", "/device") | {"user_code": code})
    assert answer.status_code == 422
    assert "No device waits with this code" in answer.text


# --- my applications


def test_a_person_sees_and_withdraws_an_application(viewer: Application, browser: Browser, anna: str) -> None:
    assert "None so far" in text(browser.get("/account/applications"))
    issued = viewer.connected(browser, scope="read offline_access")
    shown = text(browser.get("/account/applications"))
    assert "Read all data" in shown
    assert "Go on when you are not there" in shown
    path = f"/account/applications/{viewer.id}/withdraw"
    done = browser.post(path, browser.form(path, path))
    assert (done.status_code, done.headers["location"]) == (303, "/account/applications?done=withdrawn")
    viewer.server.wait_everywhere(lambda: call(viewer.server, issued["access_token"]).status_code == 401)
    assert error(viewer.refresh(issued["refresh_token"])) == (400, "invalid_grant")
    assert browser.get(viewer.asking()).status_code == 200  # and is asked again
    assert "None so far" in text(browser.get("/account/applications"))
    assert browser.get(path).status_code == 404
    told = [each["action"] for each in trail(viewer.server.installation, "--actor", anna)]
    assert {"application-allowed", "application-withdrawn"} <= set(told)


def test_nobody_withdraws_for_another(viewer: Application, browser: Browser, pair: LiveServer) -> None:
    issued = viewer.connected(browser)
    other, path = browser_of(pair, new_person(pair)), f"/account/applications/{viewer.id}/withdraw"
    assert other.get(path).status_code == 404
    assert other.post(path, browser.form(path, path)).status_code == 403
    assert call(pair, issued["access_token"]).status_code == 200
