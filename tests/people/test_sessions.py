"""Sessions of people: how they begin, what they open, and how they end in every process."""

from __future__ import annotations

import asyncio
import re
import string
import time
from collections.abc import Callable
from email.utils import formatdate
from ipaddress import IPv4Address
from itertools import count
from pathlib import Path

import httpx
import pytest
from cryptography import x509

from apiv3.model.sessions import browser_name
from apiv3.storage.database import Database
from apiv3.web.next_page import LONGEST, checked_next
from tests.support.browsers import SAME_ORIGIN, Browser, forms, signed_in
from tests.support.engineio import socket
from tests.support.factories import FreshServer
from tests.support.live import Stream
from tests.support.people import PASSWORD, add_person, done, token, trail, user
from tests.support.server import LiveServer
from tests.support.storage import execute
from tests.support.tls import self_signed
from tests.support.waiting import wait_until

ENTRIES = "/api/v3/entries"
ANOTHER = "another long secret"
_BASE64 = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"
HOUR = 3_600_000
"""Ms."""
_numbers = count()


def person(server: LiveServer, *roles: str) -> str:
    """The address of a person of the test's own."""
    email = f"anna.{next(_numbers)}.{time.time_ns()}@x.example"
    add_person(server.installation, email, PASSWORD, *roles, name=email)
    return email


@pytest.fixture
def tls_server(fresh_server: FreshServer, tmp_path: Path) -> LiveServer:
    made = self_signed(tmp_path, x509.IPAddress(IPv4Address("127.0.0.1")))
    return fresh_server(arguments=["--tls-cert", str(made.certificate), "--tls-key", str(made.key)])


@pytest.fixture
def anna(pair: LiveServer) -> str:
    return person(pair)


# --- how a session begins


def test_a_session_opens_what_the_roles_allow_without_a_timestamp(pair: LiveServer, anna: str) -> None:
    browser = Browser(pair)
    answer = browser.sign_in(anna, after="/account")
    assert (answer.status_code, answer.headers["location"]) == (303, "/account")
    assert answer.headers["cache-control"] == "no-store"
    [cookie] = [each for each in answer.headers.get_list("set-cookie") if each.startswith("session=")]
    assert re.fullmatch(r"session=[\w-]{43}; Path=/; Max-Age=2592000; HttpOnly; SameSite=Lax", cookie)
    for _ in range(10):
        assert browser.get(ENTRIES).status_code == 200
    assert browser.get("/api/v3/status").json()["result"]["apiPermissions"]["entries"] == "r"
    assert anna in browser.get("/account").text
    missing = browser.request("POST", ENTRIES, json={}, headers=SAME_ORIGIN)
    assert (missing.status_code, missing.json()["message"]) == (403, "Missing permission api:entries:create")
    assert browser.session is not None
    assert browser.session not in pair.output
    entry = [each for each in trail(pair.installation, "--actor", anna) if each["action"] == "sign-in"]
    assert [(each["actor"]["way"], each["outcome"]) for each in entry] == [("password", "success")]


def test_what_is_wrong_is_the_form_again(pair: LiveServer, anna: str) -> None:
    browser = Browser(pair)
    for email, password in ((anna, "not the password"), ("nobody@x.example", PASSWORD), ("<b>", ""), (anna, "x" * 5000)):
        answer = browser.sign_in(email, password)
        assert (answer.status_code, "Wrong e-mail address or password." in answer.text) == (401, True)
        assert forms(answer.text, "/login")[0]["email"] == email
        assert browser.session is None
        assert "<b>" not in answer.text
    again = forms(answer.text, "/login")[0]
    assert browser.post("/login", again | {"email": anna, "password": PASSWORD}).status_code == 303


def test_a_value_from_before_the_sign_in_is_worth_nothing_after_it(pair: LiveServer, anna: str) -> None:
    for planted in ("A" * 43, "short", signed_in(pair, person(pair)).session or ""):
        browser = Browser(pair)
        browser.session = planted
        if not browser.is_signed_in():
            assert browser.sign_in(anna).status_code == 303
            assert browser.session != planted
            browser.session = planted
            assert not browser.is_signed_in()
    first, second = signed_in(pair, anna), signed_in(pair, anna)
    assert first.session != second.session
    before = Browser(pair)
    before.get("/login")
    value = before.cookies["form"]
    assert before.sign_in(anna).status_code == 303
    assert "form" not in before.cookies
    before.session = value
    assert not before.is_signed_in()


def test_over_tls_the_cookie_is_for_this_host_alone(tls_server: LiveServer) -> None:
    email = person(tls_server)
    browser = Browser(tls_server)
    answer = browser.sign_in(email)
    cookies = [each for each in answer.headers.get_list("set-cookie") if "session" in each]
    assert len(cookies) == 1
    assert re.fullmatch(r"__Host-session=[\w-]{43}; Path=/; Max-Age=\d+; Secure; HttpOnly; SameSite=Lax", cookies[0])
    value = browser.session
    assert browser.is_signed_in()
    browser.cookies = httpx.Cookies()
    assert browser.get("/account", headers={"Cookie": f"session={value}"}).status_code == 303
    assert browser.get("/account", headers={"Cookie": f"__Host-session={value}"}).status_code == 200


def test_a_long_user_agent_is_shown_short_and_escaped(pair: LiveServer, anna: str) -> None:
    browser = signed_in(pair, anna, **{"User-Agent": "<script>alert(1)</script>" + "x" * 5000})
    page = browser.get("/account").text
    assert "<script>alert" not in page
    assert "x" * 100 not in page
    assert "&lt;script&gt;alert" in page


@pytest.mark.parametrize(
    ("user_agent", "name"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox on Linux"),
        (
            "Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/140.0 Safari/537.36 Edg/140.0",
            "Edge on Windows",
        ),
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Version/18.0 Safari/604.1",
            "Safari on iPhone",
        ),
        ("Mozilla/5.0 (Linux; Android 15) AppleWebKit/537.36 Chrome/140.0 Mobile Safari/537.36", "Chrome on Android"),
        ("curl/8.5.0", "curl"),
        ("\x1b[31m", "[31m"),
        ("", "unknown"),
        ("y" * 5000, "y" * 40),
    ],
)
def test_browsers_have_short_names(user_agent: str, name: str) -> None:
    assert browser_name(user_agent) == name


# --- where a person goes after the sign-in


EVIL = [
    "//evil",
    "////evil",
    "/\\evil",
    "/%5Cevil",
    "https:evil",
    "https://evil",
    "/%2Fevil",
    "/\t/evil",
    "/\n//evil",
    "evil",
    "",
]
EVIL += [
    "/%2F%2Fevil",
    "javascript:alert(1)",
    "\\\\evil",
    "/a" * LONGEST,
    "/%0d%0aSet-Cookie:x=y",
    " //evil",
    "/\x00",
    "/é",
    "",
]


@pytest.mark.parametrize("after", EVIL)
def test_no_page_elsewhere_comes_next(after: str) -> None:
    assert checked_next(after) == "/"


@pytest.mark.parametrize("after", ["/", "/account", "/admin/users?page=2&search=a%20b", "/caf%C3%A9", "/a//b", "/x#y"])
def test_a_path_of_this_server_comes_next(after: str) -> None:
    assert checked_next(after) == after


@pytest.mark.parametrize("after", ["//evil", "/%5Cevil", "/account"])
def test_next_is_checked_at_every_step(pair: LiveServer, anna: str, after: str) -> None:
    expected = "/account" if after == "/account" else "/"
    browser = Browser(pair)
    fields = forms(browser.get("/login", params={"next": after}).text, "/login")[0]
    assert fields["next"] == expected
    sent = browser.post("/login", fields | {"next": after, "email": anna, "password": PASSWORD})
    assert (sent.status_code, sent.headers["location"]) == (303, expected)
    signed = browser.get("/login", params={"next": after})
    assert (signed.status_code, signed.headers["location"]) == (303, expected)
    again = browser.post("/login", fields | {"next": after})
    assert (again.status_code, again.headers["location"]) == (303, expected)


# --- forms and their nonces


def respelled(nonce: str) -> str:
    """The same nonce with another last letter: two bits of it carry nothing, and decoders of Base64 pass over them."""
    return nonce[:-1] + _BASE64[_BASE64.index(nonce[-1]) ^ 1]


def test_each_nonce_is_good_once_in_any_order(pair: LiveServer, anna: str) -> None:
    browser, others = signed_in(pair, anna), [signed_in(pair, anna) for _ in range(2)]
    pages = [forms(browser.get("/account").text, "/account/sessions/end") for _ in range(2)]
    found = browser.get("/account").text
    ids = {each["session"] for each in forms(found, "/account/sessions/end")}
    assert len(ids) == 3
    unknown = {"session": "0" * 24}
    for fields in (pages[1][2], pages[0][0], pages[1][0], pages[0][2]):
        assert browser.post("/account/sessions/end", fields | unknown).status_code == 404
        for nonce in (fields["nonce"], respelled(fields["nonce"])):
            used = browser.post("/account/sessions/end", fields | unknown | {"nonce": nonce})
            assert used.status_code == 403
    assert all(each.is_signed_in() for each in others)


def test_nonces_belong_to_their_session(pair: LiveServer, anna: str) -> None:
    browser, other = signed_in(pair, anna), signed_in(pair, anna)
    nonce = other.form("/account", "/account/sessions/end")["nonce"]
    login = Browser(pair).form("/login", "/login")["nonce"]
    for bad in (nonce, login, nonce[:-1] + "x", "", "x" * 5000, "\x00"):
        fields = browser.form("/account", "/account/sessions/end")
        assert browser.post("/account/sessions/end", fields | {"nonce": bad}).status_code == 403
    assert browser.post("/account/sessions/end", {"session": "x"}).status_code == 403
    assert other.is_signed_in()


def test_a_form_for_signing_in_is_good_once(pair: LiveServer, anna: str) -> None:
    browser = Browser(pair)
    fields = browser.form("/login", "/login") | {"email": anna, "password": "wrong"}
    assert browser.post("/login", fields).status_code == 401
    used = browser.post("/login", fields | {"password": PASSWORD})
    assert used.status_code == 403
    fresh = forms(used.text, "/login")[0]
    stranger = Browser(pair)
    assert stranger.post("/login", fresh | {"email": anna, "password": PASSWORD}).status_code == 403
    assert browser.post("/login", {"email": anna, "password": PASSWORD}).status_code == 403
    assert browser.session is None
    assert browser.post("/login", fresh | {"email": anna, "password": PASSWORD}).status_code == 303


CROSS = [
    {"Origin": "null"},
    {"Origin": "https://evil.example"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
]
CROSS += [{"Sec-Fetch-Site": "cross-site", "Origin": "null"}, {"Sec-Fetch-Site": "nonsense"}]


@pytest.mark.parametrize("headers", CROSS)
def test_pages_of_other_sites_send_nothing(pair: LiveServer, anna: str, headers: dict[str, str]) -> None:
    browser = signed_in(pair, anna)
    fields = browser.form("/account", "/logout")
    assert browser.post("/logout", fields, headers=headers).status_code == 403
    assert browser.is_signed_in()
    stranger = Browser(pair)
    sign_in = stranger.form("/login", "/login") | {"email": anna, "password": PASSWORD}
    assert stranger.post("/login", sign_in, headers=headers).status_code == 403
    assert stranger.session is None


OWN: list[dict[str, str]] = [
    {},
    {"Origin": "null", "Sec-Fetch-Site": "same-origin"},
    {"Sec-Fetch-Site": "none"},
    {"Origin": "OWN"},
]


@pytest.mark.parametrize("headers", OWN)
def test_pages_of_this_server_do(pair: LiveServer, anna: str, headers: dict[str, str]) -> None:
    own = {name: pair.url if value == "OWN" else value for name, value in headers.items()}
    browser = Browser(pair)
    fields = browser.form("/login", "/login") | {"email": anna, "password": PASSWORD}
    assert browser.post("/login", fields, headers=own).status_code == 303
    answer = browser.post("/logout", browser.form("/account", "/logout"), headers=own)
    assert (answer.status_code, answer.headers["location"]) == (303, "/login")
    assert browser.session is None


def test_a_script_of_a_page_writes_with_a_nonce(pair: LiveServer) -> None:
    browser = signed_in(pair, person(pair, "admin"))
    entry = {"date": 1_700_000_000_000, "app": "test", "device": f"d{next(_numbers)}", "type": "sgv", "sgv": 100}
    nonce = browser.form("/account", "/logout")["nonce"]
    for headers, status in (
        ({}, 403),
        ({"X-Nonce": "x"}, 403),
        ({"X-Nonce": nonce, "Sec-Fetch-Site": "cross-site"}, 403),
        ({"X-Nonce": nonce}, 201),
        ({"X-Nonce": nonce}, 403),
    ):
        answer = browser.request("POST", ENTRIES, json=entry, headers=headers)
        assert answer.status_code == status, answer.text
    assert browser.get(f"{ENTRIES}?device={entry['device']}").json()["result"][0]["sgv"] == 100
    assert browser.request("DELETE", f"{ENTRIES}/{answer.headers.get('x', 'y')}", headers={}).status_code == 403
    admin = "/api/v2/authorization/subjects"
    assert browser.get(admin).status_code == 200
    assert browser.request("POST", admin, json={"name": "x", "roles": []}).status_code == 403


def test_two_credentials_are_refused(pair: LiveServer, anna: str) -> None:
    browser, good = signed_in(pair, anna), token(pair, anna)
    dated = {"Date": formatdate(usegmt=True)}
    for headers in ({"Authorization": good}, {"Authorization": f"Bearer {good}"}, {"Authentication-Token": good}):
        assert browser.get(ENTRIES, headers=dated | headers).status_code == 400
    assert browser.get(f"{ENTRIES}?token=x", headers=dated).status_code == 400
    value = browser.session
    twice = {"Cookie": f"session={value}; session={value}"}
    browser.cookies = httpx.Cookies()
    assert browser.get(ENTRIES, headers=twice).status_code == 400
    # Cookies of others, which all ports of a loopback address share, are nothing to this server.
    others = {"Cookie": "session=eyJhIjoxfQ.Zx.y; other=1", "Authorization": good}
    assert browser.get(ENTRIES, headers=dated | others).status_code == 200
    assert browser.get(ENTRIES, headers={"Authorization": f"Bearer {value}"} | dated).status_code == 401


# --- what ends a session


def test_signing_out_ends_it_everywhere(pair: LiveServer, anna: str) -> None:
    browser = signed_in(pair, anna)
    other = signed_in(pair, anna)
    value = browser.session
    for method in ("GET", "HEAD", "OPTIONS", "PUT"):
        assert browser.request(method, "/logout", headers={"Sec-Purpose": "prefetch"}).status_code in (204, 404)
    assert browser.is_signed_in()
    assert browser.post("/logout", {}).status_code == 403
    assert browser.post("/logout", browser.form("/account", "/logout")).status_code == 303
    assert browser.session is None
    assert value is not None
    browser.session = value
    pair.wait_everywhere(lambda: browser.get(ENTRIES).status_code == 401)
    assert other.is_signed_in()
    [out] = [each for each in trail(pair.installation, "--actor", anna) if each["action"] == "sign-out"]
    assert (out["actor"]["way"], out["target"]["email"]) == ("session", anna)
    assert Browser(pair).post("/logout", {}).headers["location"] == "/login"


def listening(server: LiveServer, browser: Browser) -> Stream:
    stream = Stream(server, None, headers={"Cookie": f"session={browser.session}"})
    assert stream.status == 200
    return stream


def sign_out(server: LiveServer, email: str, browser: Browser, other: Browser) -> None:
    assert browser.post("/logout", browser.form("/account", "/logout")).status_code == 303


def end_others(server: LiveServer, email: str, browser: Browser, other: Browser) -> None:
    assert other.post(OTHERS, other.form("/account", OTHERS)).status_code == 303


def end_one(server: LiveServer, email: str, browser: Browser, other: Browser) -> None:
    page = other.get("/account").text
    [fields] = [each for each in forms(page, "/account/sessions/end") if each["session"] not in _this(page)]
    assert other.post("/account/sessions/end", fields).status_code == 303


def disable(server: LiveServer, email: str, browser: Browser, other: Browser) -> None:
    done(user(server.installation, "disable", email, "--json"))


def lose_a_role(server: LiveServer, email: str, browser: Browser, other: Browser) -> None:
    done(user(server.installation, "change", email, "--role", "denied", "--json"))


OTHERS = "/account/sessions/end-others"


def _this(page: str) -> str:
    """The part of the page with the current session's row."""
    return page.partition("(this one)")[2].partition("</tr>")[0]


@pytest.mark.parametrize("end", [sign_out, end_others, end_one, disable, lose_a_role])
def test_open_streams_and_sockets_end_with_it(pair: LiveServer, anna: str, end: Callable[..., None]) -> None:
    browser, other = signed_in(pair, anna), signed_in(pair, anna)
    streams = [listening(pair, browser) for _ in range(6)]  # in both processes, most likely
    end(pair, anna, browser, other)
    for stream in streams:
        assert stream.ends()
        stream.close()


@pytest.mark.parametrize("end", [sign_out, lose_a_role])
def test_a_socket_may_subscribe_with_the_session_of_its_page(pair: LiveServer, anna: str, end: Callable[..., None]) -> None:
    browser, other = signed_in(pair, anna), signed_in(pair, anna)
    cookie = {"Cookie": f"session={browser.session}"}
    with socket(pair, additional_headers=cookie) as page:
        answer = page.subscribe("")
        assert (answer["success"], "entries" in answer["collections"]) == (True, True)
        end(pair, anna, browser, other)
        page.expect("41/storage")
    if end is lose_a_role:
        return
    browser.session = cookie["Cookie"].partition("=")[2]
    pair.wait_everywhere(lambda: not browser.is_signed_in())
    for headers in (cookie, {}, {"Cookie": f"session={other.session}", "Sec-Fetch-Site": "cross-site"}):
        with socket(pair, additional_headers=headers) as page:
            assert page.subscribe("")["success"] is False


# --- a new password, and the end of all others


def by_page(server: LiveServer, email: str, browser: Browser) -> None:
    fields = browser.form("/account", "/account/password") | {"old": PASSWORD, "password": ANOTHER}
    answer = browser.post("/account/password", fields)
    assert (answer.status_code, answer.headers["location"]) == (303, "/account?done=password")


def by_command(server: LiveServer, email: str, browser: Browser) -> None:
    done(user(server.installation, "password", email, "--json", password=ANOTHER))


def by_invitation(server: LiveServer, email: str, browser: Browser) -> None:
    link = done(user(server.installation, "invite", email, "--json"))["invitation"]
    invited = Browser(server)
    assert invited.post(link, invited.form(link, "") | {"password": ANOTHER}).status_code == 200
    assert invited.is_signed_in()


def by_the_button(server: LiveServer, email: str, browser: Browser) -> None:
    assert browser.post(OTHERS, browser.form("/account", OTHERS)).status_code == 303


def by_disabling(server: LiveServer, email: str, browser: Browser) -> None:
    disable(server, email, browser, browser)


def by_rotation(server: LiveServer, email: str, browser: Browser) -> None:
    assert server.installation.run("subject", "rotate", email).returncode == 0


@pytest.mark.parametrize("way", [by_page, by_command, by_invitation, by_the_button, by_disabling, by_rotation])
def test_it_ends_every_other_session_and_token(pair: LiveServer, anna: str, way: Callable[..., None]) -> None:
    browser, other, good = signed_in(pair, anna), signed_in(pair, anna), token(pair, anna)
    value = browser.session
    way(pair, anna, browser)

    def is_over() -> bool:
        headers = {"Authorization": good, "Date": formatdate(usegmt=True)}
        statuses = other.get(ENTRIES).status_code, Browser(pair).get(ENTRIES, headers=headers).status_code
        return statuses == (401, 401)

    pair.wait_everywhere(is_over)
    if way in (by_page, by_the_button):
        assert browser.session != value
        pair.wait_everywhere(browser.is_signed_in)
        assert browser.get("/account").text.count("(this one)") == 1
    else:
        pair.wait_everywhere(lambda: not browser.is_signed_in())
    assert value is not None
    browser.session = value
    assert not browser.is_signed_in()


def test_a_new_password_takes_the_old_one(pair: LiveServer, anna: str) -> None:
    browser = signed_in(pair, anna)
    for old, new in (("wrong", ANOTHER), ("", ANOTHER), (PASSWORD, "short"), (PASSWORD, anna)):
        fields = browser.form("/account", "/account/password") | {"old": old, "password": new}
        answer = browser.post("/account/password", fields)
        assert (answer.status_code, 'role="alert"' in answer.text) == (422, True)
    assert signed_in(pair, anna).is_signed_in()
    by_page(pair, anna, browser)
    changed = browser.get("/account?done=password")
    assert "Your password is changed." in changed.text
    assert Browser(pair).sign_in(anna).status_code == 401
    assert signed_in(pair, anna, ANOTHER).is_signed_in()
    found = [each for each in trail(pair.installation, "--actor", anna) if each["action"] == "password-changed"]
    assert [each["actor"]["way"] for each in found] == ["session"]


def test_nobody_ends_the_session_of_another(pair: LiveServer, anna: str) -> None:
    browser, ben = signed_in(pair, anna), signed_in(pair, person(pair))
    theirs = ben.form("/account", "/account/sessions/end")["session"]
    answers = []
    for wanted in (theirs, "0" * 24):
        fields = browser.form("/account", "/account/sessions/end") | {"session": wanted}
        answers.append(browser.post("/account/sessions/end", fields))
    assert [answer.status_code for answer in answers] == [404, 404]
    texts = [answer.text.replace(answer.headers["x-request-id"], "") for answer in answers]
    assert texts[0] == texts[1]
    assert ben.is_signed_in()


def test_my_sessions_are_listed_and_ended(pair: LiveServer, anna: str) -> None:
    browser = signed_in(pair, anna)
    other = signed_in(pair, anna, **{"User-Agent": "Mozilla/5.0 (iPhone) AppleWebKit Version/18.0 Safari/604.1"})
    page = browser.get("/account").text
    assert ("Firefox on Linux" in page, "Safari on iPhone" in page, "127.0.0.1" in page) == (True, True, True)
    end_one(pair, anna, other, browser)
    pair.wait_everywhere(lambda: not other.is_signed_in())
    assert "Safari on iPhone" not in browser.get("/account").text
    [ended] = [each for each in trail(pair.installation, "--actor", anna) if each["action"] == "session-ended"]
    assert ended["details"]["browser"] == "Safari on iPhone"
    own = browser.form("/account", "/account/sessions/end")
    assert browser.post("/account/sessions/end", own).headers["location"] == "/login"
    assert not browser.is_signed_in()


def test_another_role_makes_another_value(pair: LiveServer, anna: str) -> None:
    browser = signed_in(pair, anna)
    value = browser.session
    done(user(pair.installation, "change", anna, "--role", "readable", "--role", "careportal", "--json"))
    wait_until(lambda: browser.is_signed_in() and browser.session != value)
    renewed = browser.session
    pair.wait_everywhere(browser.is_signed_in)
    assert browser.session == renewed
    assert value is not None
    browser.session = value
    pair.wait_everywhere(lambda: not browser.is_signed_in())


# --- limits, and what stays behind


def test_a_form_that_comes_too_late_changes_nothing(pair: LiveServer, anna: str) -> None:
    browser = signed_in(pair, anna)
    fields = browser.form("/account", "/account/password") | {"old": PASSWORD, "password": ANOTHER}
    sign_out(pair, anna, browser, browser)
    late = browser.post("/account/password", fields)
    assert (late.status_code, late.headers["location"]) == (303, "/login?next=/account&lost=1")
    page = browser.get(late.headers["location"])
    assert "what you sent was not used" in page.text
    sent = browser.post("/login", forms(page.text, "/login")[0] | {"email": anna, "password": PASSWORD})
    assert sent.headers["location"] == "/account"
    assert browser.is_signed_in()


def test_a_page_sends_strangers_to_the_form_and_back(pair: LiveServer) -> None:
    stranger = Browser(pair)
    assert stranger.get("/account").headers["location"] == "/login?next=/account"
    assert stranger.get("/account?done=x&y=%2F").headers["location"] == "/login?next=/account%3Fdone%3Dx%26y%3D%252F"
    assert stranger.get(ENTRIES).status_code == 401


def test_limits(fresh_server: FreshServer) -> None:
    server = fresh_server(env={"SESSION_IDLE_MINUTES": "0.04", "SESSION_MAX_DAYS": "0.00007"})
    email = person(server)
    used, idle, polling = (signed_in(server, email) for _ in range(3))
    stream = listening(server, idle)

    def is_over(browser: Browser) -> bool:
        """Whether the session has ended, by requests that are no use of it."""
        page = browser.get("/account", headers={"Sec-Fetch-Dest": "empty"})
        return (browser.get(ENTRIES).status_code, page.status_code) == (401, 303)

    while not is_over(polling):
        assert used.is_signed_in()
    assert is_over(idle)
    assert stream.ends()
    stream.close()
    assert used.is_signed_in()
    wait_until(lambda: not used.is_signed_in())
    assert "; Max-Age=7;" in Browser(server).sign_in(email).headers["set-cookie"]


def test_a_form_counts_as_a_use_and_what_a_page_asks_for_does_not(fresh_server: FreshServer) -> None:
    server = fresh_server()
    browser = signed_in(server, person(server))
    background = {"Sec-Fetch-Dest": "empty"}

    def seen_after(*forms_sent: dict[str, str]) -> int:
        """When the session was last used, in ms before now: an hour ago, unless these forms are a use."""
        server.stop()
        asyncio.run(aged(server, HOUR))
        server.start()
        assert browser.get(ENTRIES).status_code == 200
        fields = forms(browser.get("/account", headers=background).text, "/account/sessions/end")[0]
        for each in forms_sent:
            assert browser.post("/account/sessions/end", fields | each).status_code == 404
        server.stop()  # which stores when sessions were used
        return time.time_ns() // 1_000_000 - asyncio.run(aged(server, 0))

    assert seen_after() >= HOUR
    assert seen_after({"session": "0" * 24}) < HOUR


def test_a_use_shortly_before_the_end_is_stored_at_once(fresh_server: FreshServer, database: str) -> None:
    """Otherwise another process, which does not know of it yet, would end the session."""
    server = fresh_server(database, env={"SESSION_IDLE_MINUTES": "60"})
    browser, url = signed_in(server, person(server)), server.installation.database_url
    [(seen,)] = execute(url, "UPDATE sessions SET seen = seen - ? RETURNING seen", HOUR - 90_000)
    assert browser.is_signed_in()
    [(stored,)] = execute(url, "SELECT seen FROM sessions")
    assert stored > seen


async def aged(server: LiveServer, by: int) -> int:
    """Let some ms pass for the only session; when it was last used, in ms since 1970."""
    database = Database(server.installation.database_url)
    await database.connect()
    try:
        async with database.transaction("test") as connection:
            [(seen,)] = await connection.fetch(f"UPDATE sessions SET seen = seen - {by} RETURNING seen")
    finally:
        await database.disconnect()
    return int(seen)


def test_only_signing_in_and_forms_make_rows(pair: LiveServer, anna: str) -> None:
    good = token(pair, anna)
    before = rows(pair)
    headers = {"Authorization": good, "Date": formatdate(usegmt=True)}
    with httpx.Client(base_url=pair.url, trust_env=False) as client:
        for _ in range(1000):
            assert client.get("/api/v3/version", headers=headers).status_code == 200
        for _ in range(20):
            assert client.get(ENTRIES, headers=headers).status_code == 200
        for _ in range(1000):
            assert client.get("/login").status_code == 200
    assert rows(pair) == before


def rows(server: LiveServer) -> tuple[int, ...]:
    """The numbers of sessions and of nonces in the database."""

    async def count_them() -> tuple[int, ...]:
        database = Database(server.installation.database_url)
        await database.connect()
        try:
            found = [await database.fetch(f"SELECT count(*) FROM {table}") for table in ("sessions", "nonces")]
        finally:
            await database.disconnect()
        return tuple(int(number) for ((number,),) in found)

    return asyncio.run(count_them())


def test_a_stranger_who_guesses_locks_nobody_out(fresh_server: FreshServer) -> None:
    server = fresh_server(env={"AUTH_FAIL_DELAY": "1"})
    email = person(server)
    browser, stranger = signed_in(server, email), Browser(server)
    for _ in range(100):
        assert stranger.sign_in(email, "a guess").status_code == 401
        assert stranger.get(ENTRIES, headers={"Cookie": "session=" + "x" * 43}).status_code == 401
    assert browser.is_signed_in()
    assert signed_in(server, email).is_signed_in()


def test_who_has_too_many_attempts_waiting_is_told_when_to_come_back(fresh_server: FreshServer) -> None:
    server = fresh_server(env={"AUTH_FAIL_DELAY": "10000"})
    email, stranger = person(server), Browser(server)
    for _ in range(6):
        assert stranger.sign_in(email, "a guess").status_code == 401
    refused = asyncio.run(_first_answer(server, stranger, email, 12))
    assert (refused.status_code, refused.headers["retry-after"], refused.headers["cache-control"]) == (429, "1", "no-store")
    assert "Too many requests, try again later." in refused.text


async def _first_answer(server: LiveServer, stranger: Browser, email: str, number: int) -> httpx.Response:
    """The first answer to a number of guesses at once; the others are not waited for."""
    async with httpx.AsyncClient(base_url=server.url, trust_env=False, cookies=stranger.cookies) as client:

        async def guess() -> httpx.Response:
            nonce = forms((await client.get("/login")).text, "/login")[0]["nonce"]
            data = {"email": email, "password": "a guess", "nonce": nonce}
            return await client.post("/login", data=data, headers=SAME_ORIGIN)

        guesses = [asyncio.create_task(guess()) for _ in range(number)]
        finished, waiting = await asyncio.wait(guesses, return_when=asyncio.FIRST_COMPLETED)
        for each in waiting:
            each.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
    return finished.pop().result()


def test_a_removed_person_stays_named_in_the_trail(pair: LiveServer, anna: str) -> None:
    browser = signed_in(pair, anna)
    done(user(pair.installation, "remove", anna, "--json"))
    pair.wait_everywhere(lambda: not browser.is_signed_in())
    named = [(each["action"], (each["target"] or {}).get("email")) for each in trail(pair.installation) if anna in str(each)]
    assert [action for action, _ in named][-1] == "account-removed"
    assert {email for _, email in named} == {anna}
