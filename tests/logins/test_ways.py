"""Every way in is told, and every end: on both databases, by whichever of two processes."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable

import httpx
import pytest

from tests.oauth2 import test_ends
from tests.support.authenticator import Authenticator
from tests.support.browsers import SAME_ORIGIN, Browser, signed_in
from tests.support.commands import here
from tests.support.logins import Channel
from tests.support.oauth2 import (
    DEVICE_CODE,
    browser_of,
    decide_device,
    new_person,
    register,
    tokens,
    unique,
)
from tests.support.people import PASSWORD, done, token, user
from tests.support.server import LiveServer
from tests.support.waiting import wait_until

ANOTHER = "another long secret"


# --- ways in


def password(server: LiveServer, email: str) -> str:
    return str(browser_of(server, email).session)


def passkey(server: LiveServer, email: str) -> str:
    browser, phone = signed_in(server, email), Authenticator("https://data.example")
    made = browser.get("/account/passkeys/options", headers={"Accept": "application/json"}).json()
    fields = browser.form("/account", "/account/passkeys/add") | {"name": "phone", "answer": json.dumps(phone.create(made))}
    assert browser.post("/account/passkeys/add", fields).status_code == 303
    other = Browser(server)
    other.get("/login")
    asked = other.get("/login/passkey/options", headers={"Accept": "application/json"}).json()
    answer = {"answer": json.dumps(phone.get(asked))}
    assert other.post("/login/passkey", other.form("/login", "/login/passkey") | answer).status_code == 303
    return str(other.session)


def invitation(server: LiveServer, email: str) -> str:
    path = done(user(server.installation, "invite", email, "--json"))["invitation"]
    browser = Browser(server)
    fields = browser.form(path, "")
    assert browser.post(path, fields | {"password": PASSWORD}).status_code in (200, 303)
    return str(browser.session)


def user_token(server: LiveServer, email: str) -> str:
    return token(server, email)


def oauth2_code(server: LiveServer, email: str) -> str:
    return str(register(server, "--scope", "read").connected(browser_of(server, email))["access_token"])


def oauth2_refreshed(server: LiveServer, email: str) -> str:
    app = register(server, "--scope", "read", "--scope", "offline_access")
    issued = app.connected(browser_of(server, email), scope="read offline_access")
    return str(tokens(app.refresh(issued["refresh_token"], scope="read"))["access_token"])


def oauth2_device(server: LiveServer, email: str) -> str:
    watch = register(server, "--public", redirect="")
    begun = tokens(watch.post("/oauth/device_authorization", {"scope": "read"}))
    assert decide_device(browser_of(server, email), begun["user_code"]).status_code == 200
    return str(tokens(watch.token(DEVICE_CODE, device_code=begun["device_code"]))["access_token"])


def oauth2_password(server: LiveServer, email: str) -> str:
    app = register(server, "--scope", "read", "--grant", "password", redirect="")
    return str(tokens(app.token("password", username=email, password=PASSWORD, scope="read"))["access_token"])


def jwt(server: LiveServer, email: str) -> str:
    shown = here(server.installation, "subject", "show", email, "--json")
    return server.jwt(json.loads(shown.output)["accessToken"])


Way = Callable[[LiveServer, str], str]
WAYS: dict[Way, str] = {
    password: "password",
    passkey: "passkey",
    invitation: "invitation",
    user_token: "token",
    oauth2_code: "oauth2",
    oauth2_refreshed: "oauth2",
    oauth2_device: "oauth2",
    oauth2_password: "oauth2",
    jwt: "access-token",
}


def member(server: LiveServer) -> str:
    """The address of a new person in a group and an organisational unit."""
    email = new_person(server, "readable", "careportal")
    done(user(server.installation, "change", email, "--group", "nurses", "--group", "tutors", "--ou", "ward 7", "--json"))
    return email


@pytest.mark.parametrize("way", WAYS)
def test_every_way_in_is_told(pair: LiveServer, channel: Channel, way: Way) -> None:
    email, before = member(pair), time.time_ns() // 1_000_000
    secret = way(pair, email)
    session = channel.login(secret)
    assert (session["via"], session["address"]) == (WAYS[way], "127.0.0.1")
    assert before <= session["opened"] <= time.time_ns() // 1_000_000
    assert session["user"] == {"_id": person_id(pair, email), "name": email}
    assert (session["groups"], session["ous"]) == (["nurses", "tutors"], ["ward 7"])
    assert session["granted"] == ["*:*:read", "api:treatments:create"]
    assert session["ceilings"] == ([["api:*:read"]] if WAYS[way] == "oauth2" else [])
    assert session["expires"] > time.time_ns() // 1_000_000
    assert secret not in json.dumps(session)


def person_id(server: LiveServer, email: str) -> str:
    return str(done(user(server.installation, "show", email, "--json"))["_id"])


def test_an_application_that_acts_for_itself(pair: LiveServer, channel: Channel) -> None:
    app = register(pair, "--scope", "api:entries:create", "--role", "careportal", "--grant", "client_credentials", redirect="")
    issued = tokens(app.token("client_credentials"))
    session = channel.login(issued["access_token"])
    assert (session["via"], session["user"]["_id"]) == ("oauth2", app.id)
    assert (session["granted"], session["ceilings"]) == (["api:treatments:create"], [["api:entries:create"]])
    printed = here(pair.installation, "client", "token", app.id)
    assert channel.login(printed.output.strip())["address"] == ""


def test_the_first_person(fresh_server: Callable[..., LiveServer], database: str) -> None:
    server = fresh_server(database)
    with Channel(server, server.subject("service", "admin:bus:logins:read")) as channel:
        [path] = re.findall(rf"{re.escape(server.url)}(/invitation/first/\S+)", server.output)
        browser = Browser(server)
        fields = browser.form(path, "") | {"email": "anna@x.example", "name": "anna", "password": PASSWORD}
        assert browser.post(path, fields).status_code in (200, 303)
        assert channel.login(str(browser.session))["via"] == "invitation"


# --- ends of what people have


def disable(server: LiveServer, email: str) -> None:
    done(user(server.installation, "disable", email, "--json"))


def remove(server: LiveServer, email: str) -> None:
    done(user(server.installation, "remove", email, "--json"))


def new_password(server: LiveServer, email: str) -> None:
    done(user(server.installation, "password", email, "--json", password=ANOTHER))


def rotate(server: LiveServer, email: str) -> None:
    assert here(server.installation, "subject", "rotate", email).status == 0


def remove_subject(server: LiveServer, email: str) -> None:
    assert here(server.installation, "subject", "remove", email).status == 0


def accept_an_invitation(server: LiveServer, email: str) -> None:
    invitation(server, email)


REASONS: dict[Callable[[LiveServer, str], None], str] = {
    disable: "disabled",
    remove: "revoked",
    new_password: "revoked",
    rotate: "revoked",
    remove_subject: "revoked",
    accept_an_invitation: "revoked",
}
KINDS = (password, user_token, oauth2_code, jwt)


@pytest.mark.parametrize("end", REASONS)
def test_every_end_of_a_person_is_told(pair: LiveServer, channel: Channel, end: Callable[[LiveServer, str], None]) -> None:
    email = new_person(pair)
    secrets = [way(pair, email) for way in KINDS]
    sessions = [channel.login(secret) for secret in secrets]
    end(pair, email)
    left = {session["session"] for session in sessions}
    while left:
        told = channel.next()
        if told.kind == "logout" and told.data["session"] in left:
            assert told.data["reason"] == REASONS[end]
            left.remove(told.data["session"])


@pytest.mark.parametrize("end", [remove, remove_subject])
def test_the_removal_of_a_person_without_applications_is_told(
    pair: LiveServer, channel: Channel, end: Callable[[LiveServer, str], None]
) -> None:
    email = new_person(pair)
    session = channel.login(token(pair, email))
    end(pair, email)
    assert channel.reason(session) == "revoked"


def sign_out(browser: Browser, _other: Browser) -> None:
    assert browser.post("/logout", browser.form("/account", "/logout")).status_code == 303


def end_on_another(_browser: Browser, other: Browser) -> None:
    page = "/account/sessions/end"
    assert other.post(page, other.form("/account", page, 1)).status_code == 303  # the first one is its own


def end_all_others(_browser: Browser, other: Browser) -> None:
    page = "/account/sessions/end-others"
    assert other.post(page, other.form("/account", page)).status_code == 303


ENDED = {sign_out: "signed out", end_on_another: "ended", end_all_others: "revoked"}


@pytest.mark.parametrize("end", ENDED)
def test_every_end_of_a_session_is_told(pair: LiveServer, channel: Channel, end: Callable[[Browser, Browser], None]) -> None:
    email = new_person(pair)
    browser, other = browser_of(pair, email), browser_of(pair, email)
    session = channel.login(str(browser.session))
    end(browser, other)
    assert channel.reason(session) == ENDED[end]


def test_an_administrator_ends_a_session(pair: LiveServer, channel: Channel) -> None:
    browser, boss = browser_of(pair, new_person(pair)), browser_of(pair, new_person(pair, "admin"))
    session, name = channel.login(str(browser.session)), channel.login(str(browser.session))["user"]["name"]
    links = boss.get(f"/admin/sessions?search={name}").text.split('href="')
    [path] = [
        each.partition('"')[0] for each in links if each.startswith("/admin/sessions/") and "/end" in each.partition('"')[0]
    ]
    assert boss.post(path, boss.form(path, path)).status_code == 303
    assert channel.reason(session) == "ended"


def test_a_session_that_goes_on_under_another_value(pair: LiveServer, channel: Channel) -> None:
    browser = browser_of(pair, new_person(pair))
    old = channel.login(str(browser.session))
    page = "/account/password"
    fields = browser.form("/account", page) | {"old": PASSWORD, "password": ANOTHER}
    assert browser.post(page, fields).status_code == 303
    assert channel.reason(old) == "ended"
    new = channel.login(str(browser.session))
    assert (new["via"], new["opened"]) == (old["via"], old["opened"])


@pytest.mark.parametrize("end", test_ends.ENDS)
def test_every_end_of_an_application_is_told(pair: LiveServer, channel: Channel, end: test_ends.End) -> None:
    email = new_person(pair)
    browser = browser_of(pair, email)
    app = register(pair, "--scope", "read", "--scope", "offline_access")
    issued = app.connected(browser, scope="read offline_access")
    session = channel.login(issued["access_token"])
    end(app, email, browser, issued["refresh_token"])
    assert channel.reason(session) == ("disabled" if end is test_ends.disable else "revoked")


def test_one_token_is_revoked_by_itself(pair: LiveServer, channel: Channel) -> None:
    app, email = register(pair, "--scope", "read"), new_person(pair)
    issued = [app.connected(browser_of(pair, email))["access_token"] for _ in range(2)]
    revoked, other = map(channel.login, issued)
    assert app.post("/oauth/revoke", {"token": issued[0]}).status_code == 200
    assert channel.reason(revoked) == "revoked"
    assert other["session"] in channel.sessions


def test_a_replayed_code_ends_what_it_gave(pair: LiveServer, channel: Channel) -> None:
    app = register(pair, "--scope", "read")
    code = app.code(browser_of(pair, new_person(pair)))
    session = channel.login(tokens(app.exchange(code))["access_token"])
    assert app.exchange(code).status_code == 400
    assert channel.reason(session) == "revoked"


# --- changes of rights


def test_other_roles_are_told(pair: LiveServer, channel: Channel) -> None:
    email = new_person(pair)
    browser = browser_of(pair, email)
    sessions = [channel.login(str(browser.session)), channel.login(token(pair, email)), channel.login(jwt(pair, email))]
    done(user(pair.installation, "change", email, "--role", "careportal", "--ou", "ward 8", "--json"))
    for session in sessions:
        changed = channel.sessions[session["session"]]
        if changed == session:
            changed = channel.about(session, "change")
        assert changed == session | {"granted": ["api:treatments:create"], "ous": ["ward 8"]}
    before = browser.session

    def has_another_value() -> bool:
        return browser.get("/account", headers=SAME_ORIGIN).status_code == 200 and browser.session != before

    wait_until(has_another_value)  # as soon as the process that answers knows of the change
    assert channel.reason(sessions[0]) == "ended"
    assert channel.login(str(browser.session))["granted"] == ["api:treatments:create"]


def test_another_role_of_the_same_name_is_told(pair: LiveServer, channel: Channel) -> None:
    name = unique("role", pair)
    made = pair.admin("POST", "/roles", {"name": name, "permissions": ["api:food:read"]})
    session = channel.login(token(pair, new_person(pair, name)))
    pair.admin("PUT", "/roles", {"_id": made["_id"], "name": name, "permissions": ["api:food:read", "api:food:create"]})
    assert channel.about(session, "change") == session | {"granted": ["api:food:read", "api:food:create"]}


def test_a_built_in_role_that_is_replaced_and_comes_back_is_told(pair: LiveServer, channel: Channel) -> None:
    session = channel.login(token(pair, new_person(pair, "activity")))
    made = pair.admin("POST", "/roles", {"name": "activity", "permissions": ["api:food:read"]})
    assert channel.about(session, "change") == session | {"granted": ["api:food:read"]}
    pair.admin("DELETE", f"/roles/{made['_id']}")
    assert channel.about(session, "change") == session


def test_what_others_do_is_no_change(pair: LiveServer, channel: Channel) -> None:
    session = channel.login(token(pair, new_person(pair)))
    pair.admin("POST", "/roles", {"name": unique("role", pair), "permissions": ["api:food:read"]})
    done(user(pair.installation, "change", new_person(pair), "--role", "careportal", "--json"))
    channel.login(token(pair, new_person(pair)))
    assert [told for told in channel.heard if told.data.get("session") == session["session"]] == [
        told for told in channel.heard if told.data == session
    ]


def test_a_refused_sign_in_tells_nothing(pair: LiveServer, channel: Channel) -> None:
    email = new_person(pair)
    assert Browser(pair).sign_in(email, "wrong horse battery staple").status_code == 401
    body = {"email": email, "password": "wrong horse battery staple"}
    assert httpx.post(f"{pair.url}/api/requestAuthToken", json=body, trust_env=False).status_code == 401
    channel.login(token(pair, new_person(pair)))
    assert email not in json.dumps([told.data for told in channel.heard])
