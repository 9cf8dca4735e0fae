"""Passkeys over the wire: signing in with one, adding, renaming and removing them; replays over two processes."""

from __future__ import annotations

import asyncio
import json
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any

import httpx
import pytest

from apiv3.storage.database import Database
from tests.support.authenticator import Authenticator
from tests.support.browsers import SAME_ORIGIN, Browser, choose_password, forms, signed_in
from tests.support.factories import FreshServer
from tests.support.people import PASSWORD, add_person, done, trail, user
from tests.support.server import LiveServer

REFUSED = "This passkey is not accepted."
SIGN_IN, CONFIRM, ADD = "/login/passkey", "/account/confirm", "/account/passkeys/add"
RENAME, REMOVE = "/account/passkeys/rename", "/account/passkeys/remove"
_numbers = count()


def person(server: LiveServer) -> str:
    """The address of a person of the test's own."""
    email = f"key.{next(_numbers)}.{time.time_ns()}@x.example"
    add_person(server.installation, email, PASSWORD, name=email)
    return email


def options(browser: Browser, path: str) -> dict[str, Any]:
    answer = browser.get(path, headers={"Accept": "application/json"})
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store"), answer.text
    found: dict[str, Any] = answer.json()
    return found


def added(server: LiveServer, browser: Browser, name: str = "phone") -> Authenticator:
    """A new passkey of the person who is signed in on a browser."""
    phone = Authenticator(server.url)
    answer = phone.create(options(browser, "/account/passkeys/options"))
    sent = browser.post(ADD, browser.form("/account", ADD) | {"name": name, "answer": json.dumps(answer)})
    assert (sent.status_code, sent.headers["location"]) == (303, "/account?done=passkey-added#passkeys"), sent.text
    return phone


def asked(browser: Browser) -> dict[str, Any]:
    """Open the form for signing in, and press the button for passkeys."""
    browser.get("/login")
    return options(browser, "/login/passkey/options")


def sent_in(browser: Browser, answer: object, after: str = "/account") -> httpx.Response:
    """Send the form for signing in with an answer of an authenticator."""
    fields = browser.form(f"/login?next={after}", SIGN_IN)
    return browser.post(SIGN_IN, fields | {"answer": json.dumps(answer)})


def refused(answer: httpx.Response) -> bool:
    return answer.status_code == 401 and REFUSED in answer.text and len(forms(answer.text, SIGN_IN)) == 1


@pytest.fixture
def anna(pair: LiveServer) -> str:
    return person(pair)


def test_a_person_signs_in_without_a_password(pair: LiveServer, anna: str) -> None:
    phone = added(pair, signed_in(pair, anna), "Annas Telefon")
    browser = Browser(pair)
    answer = sent_in(browser, phone.get(asked(browser)))
    assert (answer.status_code, answer.headers["location"]) == (303, "/account")
    page = browser.get("/account").text
    assert "Annas Telefon" in page
    assert browser.get("/api/v3/entries").status_code == 200
    entries = trail(pair.installation, "--actor", anna)
    assert [each["actor"]["way"] for each in entries if each["action"] == "sign-in"] == ["password", "passkey"]
    [entry] = [each for each in entries if each["action"] == "passkey-added"]
    assert (entry["target"]["name"], entry["details"]) == (anna, {"passkey": "Annas Telefon"})


def test_the_options_tell_nothing_about_anybody(pair: LiveServer, anna: str) -> None:
    before = asked(Browser(pair))
    added(pair, signed_in(pair, anna))
    stranger, known = asked(Browser(pair)), options(signed_in(pair, anna), "/login/passkey/options")
    assert len({before.pop("challenge"), stranger.pop("challenge"), known.pop("challenge")}) == 3
    assert before == stranger == known
    assert before["allowCredentials"] == []
    assert options(Browser(pair), "/login/passkey/options").keys() == before.keys() | {"challenge"}


def test_an_assertion_signs_in_once(pair: LiveServer, anna: str) -> None:
    phone = added(pair, signed_in(pair, anna))
    phone.step = phone.counter = 0
    browsers = [Browser(pair) for _ in range(8)]
    answer = phone.get(asked(browsers[0]))
    sheets = []
    for each in browsers:
        each.cookies = browsers[0].cookies
        sheets.append(each.form("/login", SIGN_IN) | {"answer": json.dumps(answer)})
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda each, sheet: each.post(SIGN_IN, sheet), browsers, sheets))
    assert sorted(each.status_code for each in answers) == [303, *[401] * 7]
    failures = [each for each in trail(pair.installation, "--action", "sign-in") if each["outcome"] == "failure"]
    mine = [each for each in failures if each["target"] and each["target"]["name"] == anna]
    assert [each["details"]["reason"] for each in mine] == ["the challenge was answered before"] * 7


def test_a_challenge_of_something_or_somebody_else_does_not_sign_in(pair: LiveServer, anna: str) -> None:
    browser = signed_in(pair, anna)
    phone = added(pair, browser)
    visitor = Browser(pair)
    foreign = asked(visitor)
    adding = options(browser, "/account/passkeys/options")
    for wrong in (adding | {"rpId": adding["rp"]["id"]}, options(browser, "/account/confirm/options")):
        assert refused(sent_in(visitor, phone.get(wrong)))
    other = Browser(pair)
    assert refused(sent_in(other, phone.get(foreign)))  # the challenge is of another browser
    fields = browser.form("/account", ADD)
    sent = browser.post(ADD, fields | {"name": "x", "answer": json.dumps(Authenticator(pair.url).create(adding | foreign))})
    assert (sent.status_code, "The passkey could not be added: try again." in sent.text) == (422, True)
    assert sent_in(visitor, phone.get(asked(visitor))).status_code == 303


def test_what_is_no_answer_is_refused_alike(pair: LiveServer, anna: str) -> None:
    browser = Browser(pair)
    strange: list[Any] = [None, "", 5, [], {}, {"id": "x", "rawId": "x", "type": "public-key", "response": {}}]
    for answer in strange:
        assert refused(sent_in(browser, answer))
    fields = browser.form("/login", SIGN_IN)
    assert refused(browser.post(SIGN_IN, fields | {"answer": "{"}))
    assert browser.post(SIGN_IN, browser.form("/login", SIGN_IN)).status_code == 401
    assert browser.session is None


def test_a_form_needs_its_nonce_and_its_own_page(pair: LiveServer, anna: str) -> None:
    phone = added(pair, signed_in(pair, anna))
    browser = Browser(pair)
    fields = browser.form("/login", SIGN_IN) | {"answer": json.dumps(phone.get(asked(browser)))}
    assert browser.post(SIGN_IN, fields | {"nonce": "x"}).status_code == 403
    stale = browser.post(SIGN_IN, {name: value for name, value in fields.items() if name != "nonce"})
    assert (stale.status_code, "please send it again" in stale.text) == (403, True)
    assert browser.post(SIGN_IN, fields).status_code == 303
    assert browser.post(SIGN_IN, fields).status_code == 303  # sent twice: signed in already
    for path in (ADD, RENAME, REMOVE, CONFIRM):
        assert browser.post(path, {"passkey": "x", "name": "y"}).status_code == 403
        foreign = browser.post(path, browser.form("/account", "/logout"), headers={"Sec-Fetch-Site": "cross-site"})
        assert foreign.status_code == 403
    assert len(forms(browser.get("/account").text, REMOVE)) == 1


def test_a_counter_that_does_not_grow_is_told_to_the_operator(pair: LiveServer, anna: str) -> None:
    phone = added(pair, signed_in(pair, anna))
    browser = Browser(pair)
    assert sent_in(browser, phone.get(asked(browser))).status_code == 303
    phone.counter -= 1
    browser = Browser(pair)
    assert refused(sent_in(browser, phone.get(asked(browser))))
    last = trail(pair.installation, "--action", "sign-in")[-1]
    assert (last["outcome"], last["target"]["name"]) == ("failure", anna)
    assert last["details"]["reason"] == "the signature counter did not grow: 1, then 1"


def test_passkeys_are_renamed_and_removed(pair: LiveServer, anna: str) -> None:
    browser = signed_in(pair, anna)
    phone = added(pair, browser)
    renamed = browser.post(RENAME, browser.form("/account", RENAME) | {"name": "<b>tablet</b>"})
    assert renamed.status_code == 303
    page = browser.get(renamed.headers["location"]).text
    assert "&lt;b&gt;tablet&lt;/b&gt;" in page
    assert "<b>tablet" not in page
    bad = browser.post(RENAME, browser.form("/account", RENAME) | {"name": " "})
    assert (bad.status_code, "Bad name" in bad.text) == (422, True)
    fields = browser.form("/account", REMOVE)
    stranger = signed_in(pair, person(pair))
    added(pair, stranger)
    theirs = stranger.form("/account", REMOVE) | {"passkey": fields["passkey"]}
    assert stranger.post(REMOVE, theirs).status_code == 404
    assert stranger.post(RENAME, stranger.form("/account", RENAME) | {"passkey": fields["passkey"]}).status_code == 404
    assert browser.post(REMOVE, fields).status_code == 303
    assert forms(browser.get("/account").text, REMOVE) == []
    visitor = Browser(pair)
    assert refused(sent_in(visitor, phone.get(asked(visitor))))
    [entry] = [each for each in trail(pair.installation, "--actor", anna) if each["action"] == "passkey-removed"]
    assert entry["details"] == {"passkey": "<b>tablet</b>"}


def test_an_invitation_shows_the_passkeys_that_stay(pair: LiveServer, anna: str) -> None:
    phone = added(pair, signed_in(pair, anna), "old phone")
    link = str(done(user(pair.installation, "invite", anna, "--json"))["invitation"])
    browser = Browser(pair)
    accepted = browser.post(link, browser.form(link, "") | {"password": "another long secret"})
    assert (accepted.status_code, "old phone" in accepted.text) == (200, True)
    [fields] = forms(accepted.text, REMOVE)
    assert browser.post(REMOVE, fields).status_code == 303
    visitor = Browser(pair)
    assert refused(sent_in(visitor, phone.get(asked(visitor))))
    again = str(done(user(pair.installation, "invite", anna, "--json"))["invitation"])
    assert "Passkeys that stay" not in choose_password(pair.url + again, "a third long secret").text


async def lapse(server: LiveServer, *emails: str) -> None:
    """Eleven minutes pass, for these people."""
    database = Database(server.installation.database_url)
    await database.connect()
    try:
        marks = ", ".join("?" for _ in emails)
        accounts = f"SELECT id FROM accounts WHERE email IN ({marks})"
        sql = f"UPDATE sessions SET authenticated = authenticated - 660000 WHERE subject IN ({accounts})"
        async with database.transaction("test") as connection:
            await connection.execute(database.dialect.sql(sql), *emails)
    finally:
        await database.disconnect()


def test_adding_asks_who_it_is_after_ten_minutes(fresh_server: FreshServer, database: str) -> None:
    server = fresh_server(database)
    anna, ben = person(server), person(server)
    browser, other = signed_in(server, anna), signed_in(server, ben)
    phone, stranger = added(server, browser), added(server, other)
    asyncio.run(lapse(server, anna, ben))
    server.restart()  # which also forgets what it knew of the session
    assert forms(browser.get("/account").text, ADD) == []
    asking = browser.get("/account/passkeys/options", headers={"Accept": "application/json"})
    assert (asking.status_code, asking.json()["message"][:21]) == (403, "Load this page again ")

    value = browser.session
    wrong = browser.post(CONFIRM, browser.form("/account", CONFIRM) | {"confirmation": "wrong"})
    assert (wrong.status_code, "Wrong password." in wrong.text) == (422, True)
    for key in (stranger, Authenticator(server.url)):
        answer = key.get(options(browser, "/account/confirm/options"))
        said = browser.post(CONFIRM, browser.form("/account", CONFIRM, 1) | {"answer": json.dumps(answer)})
        assert (said.status_code, REFUSED in said.text) == (401, True)
    failures = trail(server.installation, "--action", "sign-in")
    assert "the passkey is of another person" in str([each for each in failures if each["outcome"] == "failure"])
    answer = phone.get(asked(Browser(server)))
    said = browser.post(CONFIRM, browser.form("/account", CONFIRM, 1) | {"answer": json.dumps(answer)})
    assert said.status_code == 401
    assert browser.session == value

    answer = phone.get(options(browser, "/account/confirm/options"))
    said = browser.post(CONFIRM, browser.form("/account", CONFIRM, 1) | {"answer": json.dumps(answer)})
    assert (said.status_code, said.headers["location"]) == (303, "/account?done=confirmed#passkeys")
    assert browser.session != value
    added(server, browser, "second")

    assert other.post(CONFIRM, other.form("/account", CONFIRM) | {"confirmation": PASSWORD}).status_code == 303
    added(server, other, "second")


def test_without_a_session_there_is_nothing_to_add(pair: LiveServer) -> None:
    browser = Browser(pair)
    for path in ("/account/passkeys/options", "/account/confirm/options"):
        answer = browser.get(path)
        assert (answer.status_code, answer.headers["location"].split("?")[0]) == (303, "/login")
    for path in (ADD, RENAME, REMOVE, CONFIRM):
        assert browser.request("POST", path, data={}, headers=SAME_ORIGIN).status_code == 303


def test_a_disabled_or_removed_person_is_refused(pair: LiveServer, anna: str) -> None:
    phone, browser = added(pair, signed_in(pair, anna)), Browser(pair)
    assert user(pair.installation, "disable", anna).status == 0
    assert refused(sent_in(browser, phone.get(asked(browser))))
    assert user(pair.installation, "enable", anna).status == 0
    assert sent_in(browser, phone.get(asked(browser))).status_code == 303
    assert user(pair.installation, "remove", anna).status == 0
    browser = Browser(pair)
    assert refused(sent_in(browser, phone.get(asked(browser))))


def test_the_page_says_where_passkeys_work(fresh_server: FreshServer) -> None:
    for url, origin, words in (
        ("", None, "Passkeys need a host name"),
        ("http://data.example.org", "http://data.example.org", "Passkeys need HTTPS"),
        ("https://data.example.org:8443", "https://data.example.org:8443", 'data-obstacle=""'),
    ):
        server = fresh_server(env={"PUBLIC_URL": url})
        page = Browser(server).get("/login", headers={"X-Forwarded-Host": "evil.example"}).text
        assert words in page
        assert f'data-origin="{origin or server.url}"' in page
        assert "evil" not in page
        host = options(Browser(server), "/login/passkey/options")["rpId"]
        assert host == ("data.example.org" if url else "127.0.0.1")
