"""What time does to codes and tokens, on both databases. Nobody waits for it: the moments in the database move back."""

import httpx
import pytest

from tests.support.browsers import Browser
from tests.support.factories import FreshServer
from tests.support.oauth2 import DEVICE_CODE, Application, age, browser_of, call, error, new_person, post, register, tokens
from tests.support.server import LiveServer
from tests.support.wire import now_ms

DAY = 86_400
SLACK = 20
"""Seconds that a test may take until it asks."""


@pytest.mark.parametrize(("age_of_code", "good"), [(60 - SLACK, True), (60, False)])
def test_a_code_is_good_for_a_minute(viewer: Application, browser: Browser, age_of_code: int, good: bool) -> None:
    code = viewer.code(browser)
    age(viewer.server, "codes", code, age_of_code)
    answer = viewer.exchange(code)
    assert answer.status_code == 200 if good else error(answer) == (400, "invalid_grant")


# --- refresh tokens


def test_the_answer_is_repeated_until_the_grace_is_over(viewer: Application, browser: Browser) -> None:
    first = viewer.connected(browser, scope="read offline_access")
    second = tokens(viewer.refresh(first["refresh_token"]))
    age(viewer.server, "refresh_tokens", first["refresh_token"], 30 - SLACK)
    assert tokens(viewer.refresh(first["refresh_token"]))["refresh_token"] == second["refresh_token"]
    age(viewer.server, "refresh_tokens", first["refresh_token"], SLACK)
    assert error(viewer.refresh(first["refresh_token"])) == (400, "invalid_grant")  # somebody has a copy
    assert error(viewer.refresh(second["refresh_token"])) == (400, "invalid_grant")
    viewer.server.wait_everywhere(lambda: call(viewer.server, second["access_token"]).status_code == 401)


@pytest.mark.parametrize(("idle", "good"), [(30 * DAY - SLACK, True), (30 * DAY, False)])
def test_a_refresh_token_expires_when_nobody_uses_it(viewer: Application, browser: Browser, idle: int, good: bool) -> None:
    issued = viewer.connected(browser, scope="read offline_access")
    age(viewer.server, "refresh_tokens", issued["refresh_token"], idle)
    described = tokens(viewer.post("/oauth/introspect", {"token": issued["refresh_token"]}))
    assert described["active"] is good
    answer = viewer.refresh(issued["refresh_token"])
    assert answer.status_code == 200 if good else error(answer) == (400, "invalid_grant")


def test_a_grant_ends_after_a_year_however_often_it_is_used(viewer: Application, browser: Browser) -> None:
    issued = viewer.connected(browser, scope="read offline_access")
    age(viewer.server, "grants", issued["access_token"], 365 * DAY - 600)
    second = tokens(viewer.refresh(issued["refresh_token"]))
    assert 600 - SLACK * 2 <= second["expires_in"] <= 600
    described = tokens(viewer.post("/oauth/introspect", {"token": second["refresh_token"]}))
    assert 0 < described["exp"] - now_ms() / 1000 <= 600


def test_a_used_refresh_token_is_not_active(viewer: Application, browser: Browser) -> None:
    issued = viewer.connected(browser, scope="read offline_access")
    tokens(viewer.refresh(issued["refresh_token"]))
    assert tokens(viewer.post("/oauth/introspect", {"token": issued["refresh_token"]})) == {"active": False}


def test_an_expired_access_token_is_not_active(viewer: Application, browser: Browser, pair: LiveServer) -> None:
    token = viewer.connected(browser)["access_token"]
    age(pair, "access_tokens", token, 3600)
    assert tokens(viewer.post("/oauth/introspect", {"token": token})) == {"active": False}
    assert error(post(pair, "/oauth/tokeninfo", {"access_token": token})) == (400, "invalid_token")
    assert call(pair, token).status_code == 401


# --- devices


@pytest.fixture
def watch(pair: LiveServer) -> Application:
    return register(pair, "--public", redirect="", name="watch")


def test_a_device_waits_for_a_quarter_of_an_hour(watch: Application, browser: Browser) -> None:
    begun = tokens(watch.post("/oauth/device_authorization"))
    age(watch.server, "device_codes", begun["device_code"], 900 - SLACK)
    assert error(watch.token(DEVICE_CODE, device_code=begun["device_code"])) == (400, "authorization_pending")
    age(watch.server, "device_codes", begun["device_code"], SLACK)
    assert error(watch.token(DEVICE_CODE, device_code=begun["device_code"])) == (400, "expired_token")
    typed = browser.post("/device", browser.form("/device", "/device") | {"user_code": begun["user_code"]})
    assert (typed.status_code, "No device waits with this code" in typed.text) == (422, True)


def test_a_device_that_polls_steadily_is_never_told_to_slow_down(watch: Application) -> None:
    """The interval is 5 s. Networks delay one poll more than another, so one may come almost a second early."""
    device = tokens(watch.post("/oauth/device_authorization"))["device_code"]
    for pause in (5, 4.1, 5.9, 4.1, 4.1, 30):
        assert error(watch.token(DEVICE_CODE, device_code=device)) == (400, "authorization_pending"), pause
        age(watch.server, "device_codes", device, pause)
    assert error(watch.token(DEVICE_CODE, device_code=device)) == (400, "authorization_pending")
    assert error(watch.token(DEVICE_CODE, device_code=device)) == (400, "slow_down")
    age(watch.server, "device_codes", device, 5)  # a hasty poll does not make it wait longer
    assert error(watch.token(DEVICE_CODE, device_code=device)) == (400, "authorization_pending")


def test_a_device_is_of_one_client(watch: Application, pair: LiveServer) -> None:
    device = tokens(watch.post("/oauth/device_authorization"))["device_code"]
    other = register(pair, "--public", redirect="", name="other")
    assert error(other.token(DEVICE_CODE, device_code=device)) == (400, "invalid_grant")
    assert error(watch.token(DEVICE_CODE, device_code=device)) == (400, "authorization_pending")


# --- when something was used


def test_what_was_used_in_the_last_seconds_is_stored_at_the_end(fresh_server: FreshServer, database: str) -> None:
    server = fresh_server(database)
    app, browser = register(server), browser_of(server, email := new_person(server))
    token = app.connected(browser)["access_token"]
    age(server, "grants", token, 2 * DAY)
    before = used(browser.get("/account/applications"))
    assert before[0] == before[1]  # since, last used
    assert call(server, token).status_code == 200
    server.stop()
    server.start()
    again = browser_of(server, email)
    since, seen = used(again.get("/account/applications"))
    assert (since, seen > since) == (before[0], True)


def used(page: httpx.Response) -> list[str]:
    """The moments on a page."""
    assert page.status_code == 200, page.text
    return [part.partition('"')[0] for part in page.text.split('<time datetime="')[1:]]
