"""What people see and decide about applications, on both databases, over two processes, without JavaScript."""

import html
import re

import httpx
import pytest

from tests.support.browsers import Browser, forms
from tests.support.factories import FreshServer
from tests.support.oauth2 import (
    CALLBACK,
    DEVICE_CODE,
    Application,
    browser_of,
    call,
    decide_device,
    error,
    new_person,
    register,
    tokens,
    unique,
)
from tests.support.people import token, trail, user
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


def test_a_form_decides_about_the_device_that_it_has_shown(watch: Application, browser: Browser) -> None:
    shown, other = (tokens(watch.post("/oauth/device_authorization")) for _ in range(2))
    for changes in ({"user_code": other["user_code"]}, {"user_code": other["user_code"], "seal": ""}, {"seal": "x"}):
        asked = browser.post("/device", browser.form("/device", "/device") | {"user_code": shown["user_code"]})
        [fields] = forms(asked.text, "/device/decide")
        assert browser.post("/device/decide", fields | {"decision": "allow"} | changes).status_code == 403
    for begun in (shown, other):
        assert error(watch.token(DEVICE_CODE, device_code=begun["device_code"])) == (400, "authorization_pending")


def test_a_device_is_decided_about_once(watch: Application, browser: Browser) -> None:
    begun = tokens(watch.post("/oauth/device_authorization"))
    asked = [browser.post("/device", browser.form("/device", "/device") | {"user_code": begun["user_code"]}) for _ in range(2)]
    first, second = (forms(page.text, "/device/decide")[0] for page in asked)
    assert browser.post("/device/decide", first | {"decision": "deny"}).status_code == 200
    assert browser.post("/device/decide", second | {"decision": "allow"}).status_code == 422
    assert error(watch.token(DEVICE_CODE, device_code=begun["device_code"])) == (400, "access_denied")


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


def test_who_registered_an_application_sees_who_uses_it(pair: LiveServer, browser: Browser, anna: str) -> None:
    ran = user(pair.installation, "change", anna, "--role", "admin", "--role", "readable", "--json")
    assert ran.status == 0, ran.errors
    body = {"name": unique("registered", pair), "redirect_uris": [CALLBACK]}
    headers = {"Authorization": f"Bearer {token(pair, anna)}"}
    url = f"{pair.url}/api/v2/authorization/clients"
    pair.wait_everywhere(lambda: httpx.get(url, headers=headers, trust_env=False, timeout=60).status_code == 200)
    answer = httpx.post(url, json=body, headers=headers, trust_env=False, timeout=60)
    assert answer.status_code == 200, answer.text
    app = Application(pair, answer.json()["client_id"], answer.json()["client_secret"])
    title = "Applications that you registered"
    assert title not in text(browser.get("/account/applications"))  # nobody uses it
    ben = new_person(pair)
    app.connected(other := browser_of(pair, ben))
    shown = text(browser.get("/account/applications"))
    assert f"{body['name']} {ben} read" in shown.partition(title)[2]
    assert title not in text(other.get("/account/applications"))  # it is not his
    path = f"/account/applications/{app.id}/withdraw"
    assert other.post(path, other.form(path, path)).status_code == 303
    assert title not in text(browser.get("/account/applications"))


# --- without security


@pytest.fixture(scope="module")
def open_server(database: str, lasting_server: FreshServer) -> LiveServer:
    """A server whose security is switched off, with an application that was registered before."""
    return lasting_server(database, env={"API3_SECURITY_ENABLE": "false"})


def test_without_security_nobody_is_asked_and_nothing_is_allowed(open_server: LiveServer) -> None:
    """There is no person who could allow anything: pages lead to the sign-in, and forms do nothing."""
    stranger, app = Browser(open_server), register(open_server, "--grant", "authorization_code", "--grant", "device_code")
    begun = tokens(app.post("/oauth/device_authorization"))
    for path in (app.asking(), "/device", "/account/applications", f"/account/applications/{app.id}/withdraw"):
        answer = stranger.get(path)
        assert (answer.status_code, answer.headers["location"][:12]) == (303, "/login?next="), path
    for path in ("/oauth/authorize", "/device", "/device/decide", f"/account/applications/{app.id}/withdraw"):
        answer = stranger.post(path, {"decision": "allow", "nonce": "x", "user_code": begun["user_code"], "seal": "x"})
        assert answer.status_code == 303, (path, answer.text)
        assert answer.headers["location"].startswith("/login"), path
    assert error(app.token(DEVICE_CODE, device_code=begun["device_code"])) == (400, "authorization_pending")
    assert "Traceback" not in open_server.output
