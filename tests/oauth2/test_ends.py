"""What ends the access of applications, on both databases: in every process, also for connections that are open."""

from collections.abc import Callable

import pytest

from tests.support.browsers import Browser
from tests.support.commands import here
from tests.support.engineio import socket
from tests.support.live import Stream
from tests.support.oauth2 import DEVICE_CODE, Application, browser_of, call, decide_device, error, new_person, register, tokens
from tests.support.people import done, user
from tests.support.server import LiveServer

ANOTHER = "another long secret"
End = Callable[[Application, str, Browser, str], object]


def ran(app: Application, *arguments: str) -> None:
    result = here(app.server.installation, *arguments)
    assert result.status == 0, result.errors


def disable(app: Application, email: str, _browser: Browser, _refresh_token: str) -> None:
    ran(app, "user", "disable", email)


def remove_person(app: Application, email: str, _browser: Browser, _refresh_token: str) -> None:
    ran(app, "user", "remove", email)


def new_password(app: Application, email: str, _browser: Browser, _refresh_token: str) -> None:
    done(user(app.server.installation, "password", email, "--json", password=ANOTHER))


def sign_out_elsewhere(_app: Application, _email: str, browser: Browser, _refresh_token: str) -> None:
    fields = browser.form("/account", "/account/sessions/end-others")
    assert browser.post("/account/sessions/end-others", fields).status_code == 303


def rotate_token(app: Application, email: str, _browser: Browser, _refresh_token: str) -> None:
    ran(app, "subject", "rotate", email)


def withdraw(app: Application, _email: str, browser: Browser, _refresh_token: str) -> None:
    path = f"/account/applications/{app.id}/withdraw"
    assert browser.post(path, browser.form(path, path)).status_code == 303


def revoke(app: Application, _email: str, _browser: Browser, refresh_token: str) -> None:
    assert app.post("/oauth/revoke", {"token": refresh_token}).status_code == 200


def remove_client(app: Application, _email: str, _browser: Browser, _refresh_token: str) -> None:
    ran(app, "client", "remove", app.id)


def remove_its_subject(app: Application, _email: str, _browser: Browser, _refresh_token: str) -> None:
    ran(app, "subject", "remove", app.id)


def rotate_secret(app: Application, _email: str, _browser: Browser, _refresh_token: str) -> None:
    ran(app, "client", "rotate", app.id)


def narrow_client(app: Application, _email: str, _browser: Browser, _refresh_token: str) -> None:
    ran(app, "client", "change", app.id, "--scope", "api:treatments:read", "--scope", "offline_access")


GONE = (remove_client, remove_its_subject, rotate_secret)
"""After these the client itself is refused."""
ENDS = [disable, remove_person, new_password, sign_out_elsewhere, rotate_token, withdraw, revoke, narrow_client, *GONE]


@pytest.mark.parametrize("end", ENDS)
def test_what_ends_all_tokens_of_an_application(viewer: Application, browser: Browser, anna: str, end: End) -> None:
    server, issued = viewer.server, viewer.connected(browser, scope="read offline_access")
    token, refresh_token = issued["access_token"], issued["refresh_token"]
    pending = viewer.code(browser, scope="read offline_access")
    server.wait_everywhere(lambda: call(server, token).status_code == 200)
    with Stream(server, token, "collections=entries") as stream, socket(server) as page:
        assert page.subscribe(token, collections=["entries"])["success"] is True
        end(viewer, anna, browser, refresh_token)
        server.wait_everywhere(lambda: call(server, token).status_code == 401)
        assert stream.ends()
        page.expect("41/storage")
    if end not in GONE:
        for each in (token, refresh_token):
            assert tokens(viewer.post("/oauth/introspect", {"token": each})) == {"active": False}
    expected = (401, "invalid_client") if end in GONE else (400, "invalid_grant")
    assert error(viewer.refresh(refresh_token)) == expected
    if end is not revoke:  # it ends one family; a code that was allowed a moment ago begins another
        assert error(viewer.exchange(pending)) == expected


def test_a_role_that_is_taken_away_bites_at_the_next_request(viewer: Application, browser: Browser, anna: str) -> None:
    server, issued = viewer.server, viewer.connected(browser, scope="read offline_access")
    token = issued["access_token"]
    server.wait_everywhere(lambda: call(server, token).status_code == 200)
    with Stream(server, token, "collections=entries") as stream:
        done(user(server.installation, "change", anna, "--role", "denied", "--json"))
        server.wait_everywhere(lambda: call(server, token).status_code == 403)
        assert stream.ends()
    refreshed = tokens(viewer.refresh(issued["refresh_token"]))["access_token"]
    assert call(server, refreshed).status_code == 403


def test_a_new_role_widens_a_token_only_as_far_as_its_scopes(viewer: Application, browser: Browser, anna: str) -> None:
    server, token = viewer.server, viewer.connected(browser, scope="read")["access_token"]
    done(user(server.installation, "change", anna, "--role", "admin", "--json"))
    server.wait_everywhere(lambda: call(server, token, path="/api/v3/settings/x").status_code == 404)
    assert call(server, token, "POST", json={}).status_code == 403
    for path in ("/subjects", "/users", "/clients", "/roles", "/permissions"):
        assert call(server, token, path=f"/api/v2/authorization{path}").status_code == 401


@pytest.mark.parametrize("end", [disable, new_password, rotate_token])
def test_a_device_ends_with_its_person(pair: LiveServer, browser: Browser, anna: str, end: End) -> None:
    watch = register(pair, "--public", redirect="")
    begun = tokens(watch.post("/oauth/device_authorization"))
    assert decide_device(browser, begun["user_code"]).status_code == 200
    end(watch, anna, browser, "")
    assert error(watch.token(DEVICE_CODE, device_code=begun["device_code"])) == (400, "invalid_grant")


def test_a_device_that_is_withdrawn_before_it_asks_gets_nothing(pair: LiveServer, browser: Browser) -> None:
    watch = register(pair, "--public", redirect="")
    first, second = (tokens(watch.post("/oauth/device_authorization")) for _ in range(2))
    for begun in (first, second):
        assert decide_device(browser, begun["user_code"]).status_code == 200
    assert tokens(watch.token(DEVICE_CODE, device_code=first["device_code"]))
    withdraw(watch, "", browser, "")
    assert error(watch.token(DEVICE_CODE, device_code=second["device_code"])) == (400, "invalid_grant")


def test_the_other_person_of_an_application_goes_on(viewer: Application, browser: Browser, anna: str, pair: LiveServer) -> None:
    other = viewer.connected(browser_of(pair, new_person(pair)), scope="read offline_access")
    viewer.connected(browser, scope="read offline_access")
    done(user(pair.installation, "disable", anna, "--json"))
    assert call(pair, other["access_token"]).status_code == 200
    assert viewer.refresh(other["refresh_token"]).status_code == 200
