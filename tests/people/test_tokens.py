"""People sign in for user tokens, which open every secured route until they expire or the account changes."""

import base64
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import formatdate
from itertools import count
from pathlib import Path

import httpx
import pytest

from tests.support.commands import here
from tests.support.factories import FreshServer
from tests.support.people import PASSWORD, add_person, done, sign_in, token, trail, user
from tests.support.server import LiveServer

ENTRIES = "/api/v3/entries"
EPOCH = datetime(2011, 1, 1, tzinfo=UTC).timestamp()
_numbers = count()


@pytest.fixture
def anna(server: LiveServer) -> str:
    """The address of a person of the test's own."""
    address = f"anna.{next(_numbers)}.{time.time_ns()}@x.example"
    add_person(server.installation, address, name=address)
    return address


def get(server: LiveServer, headers: dict[str, str], path: str = ENTRIES) -> httpx.Response:
    dated = {"Date": formatdate(usegmt=True)} | headers
    return httpx.get(server.url + path, headers=dated, trust_env=False, verify=False)


def ways(token: str) -> list[dict[str, str]]:
    return [
        {"Authorization": token},
        {"Authorization": f"Bearer {token}"},
        {"Authorization": f"bearer {token}"},
        {"Authentication-Token": token},
    ]


def statuses(server: LiveServer, token: str) -> set[int]:
    return {get(server, headers).status_code for headers in ways(token)}


def until(server: LiveServer, token: str, status: int) -> None:
    server.wait_everywhere(lambda: statuses(server, token) == {status}, f"never {status}")


def test_a_token_opens_what_the_roles_allow(server: LiveServer, anna: str) -> None:
    answer = sign_in(server, anna)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    body = answer.json()
    assert list(body) == ["auth_token", "user_id"]
    assert body["user_id"] == done(user(server.installation, "show", anna, "--json"))["_id"]
    assert statuses(server, body["auth_token"]) == {200}
    headers = {"Authorization": body["auth_token"], "Date": formatdate(usegmt=True)}
    entry = {"date": 1_700_000_000_000, "app": "test", "type": "sgv", "sgv": 100}
    refused = httpx.post(server.url + ENTRIES, json=entry, headers=headers, trust_env=False, verify=False)
    assert (refused.status_code, refused.json()["message"]) == (403, "Missing permission api:entries:create")
    undated = httpx.get(server.url + ENTRIES, headers={"Authorization": body["auth_token"]}, trust_env=False, verify=False)
    assert (undated.status_code, undated.json()["message"]) == (401, "Missing Date header")


def test_the_timestamp_counts_from_2011(server: LiveServer, anna: str) -> None:
    value, stamp, signature = token(server, anna).split(".")
    assert value
    assert signature
    seconds = int.from_bytes(base64.urlsafe_b64decode(stamp + "=="), "big")
    assert abs(EPOCH + seconds - time.time()) < 30


@pytest.mark.parametrize("spelling", [str.upper, str.title, lambda text: f" {text} "])
def test_the_address_may_be_spelled_in_any_case(server: LiveServer, anna: str, spelling: object) -> None:
    assert callable(spelling)
    assert sign_in(server, spelling(anna)).status_code == 200


def test_what_is_wrong_is_one_answer(server: LiveServer, anna: str) -> None:
    invited, disabled = f"i.{anna}", f"d.{anna}"
    add_person(server.installation, invited, None, name=invited)
    add_person(server.installation, disabled, name=disabled)
    assert user(server.installation, "disable", disabled).status == 0
    wrong = [
        (anna, "not the password"),
        (anna, ""),
        (anna, "x" * 5000),
        ("nobody@x.example", PASSWORD),
        ("no address", PASSWORD),
    ]
    wrong += [
        (invited, PASSWORD),
        (invited, ""),
        (disabled, PASSWORD),
        ("", ""),
        (anna, PASSWORD + "\0x"),
        (anna, PASSWORD + " "),
    ]
    answers = [sign_in(server, *pair) for pair in wrong]
    assert {answer.status_code for answer in answers} == {401}
    assert {answer.text for answer in answers} == {'{"status":401,"message":"Wrong e-mail address or password"}'}


BODIES = ["", "[]", "{}", '"text"', "null", '{"email":"a@x.example"}', '{"password":"x"}', '{"email":1,"password":"x"}']
BODIES += ['{"email":"a@x.example","password":null}', '{"email":["a@x.example"],"password":"x"}', "{", "email=a&password=b"]


@pytest.mark.parametrize("body", BODIES)
def test_what_is_malformed_is_400(server: LiveServer, body: str) -> None:
    assert httpx.post(f"{server.url}/api/requestAuthToken", content=body, trust_env=False, verify=False).status_code == 400


def test_two_credentials_are_refused(server: LiveServer, anna: str) -> None:
    good = token(server, anna)
    both = [{"Authorization": good, "Authentication-Token": good}, {"Authorization": f"{good}, {good}"}]
    both += [{"Authorization": f"Bearer {good}, {good}"}]
    assert {get(server, headers).status_code for headers in both} == {400}
    for headers in ways(good):
        assert get(server, headers, f"{ENTRIES}?token=other-0123456789abcdef").status_code == 400


def test_in_a_url_it_is_refused(server: LiveServer, anna: str) -> None:
    good = token(server, anna)
    assert get(server, {}, f"{ENTRIES}?token={good}").status_code == 401
    assert get(server, {}, f"/api/v2/authorization/request/{good}").status_code == 401


def test_what_was_tampered_with_is_refused(server: LiveServer, anna: str) -> None:
    good = token(server, anna)
    value, stamp, signature = good.split(".")
    later = base64.urlsafe_b64encode((2**32 - 1).to_bytes(4, "big")).decode().rstrip("=")
    forged = [f"{value}.{later}.{signature}", f"{value}.{stamp}.{signature[:-2]}", f"{value[:-4]}.{stamp}.{signature}"]
    forged += [f"{value}.{stamp}.", f"{value}..{signature}", f"{value}.{stamp}.{signature}.{signature}", good + "=", value]
    for bad in forged:
        assert statuses(server, bad) == {401}, bad
    assert statuses(server, good) == {200}


def test_other_credentials_have_no_place_in_its_header(server: LiveServer, anna: str) -> None:
    shown = user(server.installation, "show", anna, "--json")
    access = next(each["accessToken"] for each in server.admin("GET", "/subjects") if each["_id"] == done(shown)["_id"])
    assert get(server, {"Authorization": f"Bearer {access}"}).status_code == 200
    for other in (access, server.jwt(access), "nonsense"):
        assert get(server, {"Authentication-Token": other}).status_code == 401


def test_it_expires(shared_servers: Callable[[str], LiveServer], tmp_path: Path) -> None:
    """At a server of the same installation with less patience, while it is good at another one."""
    server = shared_servers("sqlite")
    address = f"short.{time.time_ns()}@x.example"
    add_person(server.installation, address, name=address)
    good = token(server, address)
    settings = {"APIV3_DATA": str(server.installation.data), "SECURITY_TOKEN_MAX_AGE": "1"}
    impatient = LiveServer(replace(server.installation, folder=tmp_path, settings=settings))
    impatient.start()
    try:
        until(impatient, good, 401)
        assert statuses(server, good) == {200}
    finally:
        impatient.stop()


ENDS = {
    "password": ("user", "password"),
    "disable": ("user", "disable"),
    "remove": ("user", "remove"),
    "rotate": ("subject", "rotate"),
}


@pytest.mark.parametrize("way", ENDS)
def test_what_ends_a_token_ends_it_everywhere(way: str, pair: LiveServer) -> None:
    place, address, other = pair.installation, f"anna.{way}@x.example", f"ben.{way}@x.example"
    add_person(place, address, name=address)
    add_person(place, other, name=other)
    tokens, others = [token(pair, address) for _ in range(2)], token(pair, other)
    access = next(each["accessToken"] for each in pair.admin("GET", "/subjects") if each["name"] == address)
    assert [statuses(pair, each) for each in tokens] == [{200}, {200}]
    options = ("--password-stdin",) if way == "password" else ()
    assert here(place, *ENDS[way], address, *options, stdin=b"another long secret\n").status == 0
    for each in tokens:
        until(pair, each, 401)
    pair.wait_everywhere(lambda: get(pair, {"Authorization": f"Bearer {access}"}).status_code == 401)
    assert statuses(pair, others) == {200}
    if way == "disable":
        assert sign_in(pair, address).status_code == 401
        assert here(place, "user", "enable", address).status == 0
        assert statuses(pair, tokens[0]) == {401}
        until(pair, token(pair, address), 200)
    if way == "password":
        assert sign_in(pair, address).status_code == 401
        assert statuses(pair, token(pair, address, "another long secret")) == {200}


def test_a_role_that_is_taken_away_bites(server: LiveServer, anna: str) -> None:
    good = token(server, anna)
    assert statuses(server, good) == {200}
    assert user(server.installation, "change", anna, "--role", "denied").status == 0
    until(server, good, 403)


def test_a_stream_ends_with_the_account(server: LiveServer, anna: str) -> None:
    headers = {"Authorization": token(server, anna)}
    url = f"{server.url}/api/v3/events?collections=entries"
    with httpx.stream("GET", url, headers=headers, trust_env=False, verify=False) as stream:
        lines = stream.iter_lines()
        assert next(lines).startswith("retry")
        assert user(server.installation, "disable", anna).status == 0
        assert all("data" not in line for line in lines)


# --- passwords


def test_every_character_counts(server: LiveServer, anna: str) -> None:
    long = "x" * 72 + "1"
    assert user(server.installation, "password", anna, password=long).status == 0
    assert [sign_in(server, anna, each).status_code for each in (long, "x" * 72 + "2", "x" * 72)] == [200, 401, 401]
    assert user(server.installation, "password", anna, password="abcdefghijkl\0mnop").status == 0
    answers = [sign_in(server, anna, each).status_code for each in ("abcdefghijkl\0mnop", "abcdefghijkl", "abcdefghijkl\0mnoq")]
    assert answers == [200, 401, 401]


def test_two_spellings_of_one_letter_are_one(server: LiveServer, anna: str) -> None:
    composed, decomposed = "r\u00e9sum\u00e9 of a long day", "re\u0301sume\u0301 of a long day"
    assert user(server.installation, "password", anna, password=composed).status == 0
    assert [sign_in(server, anna, each).status_code for each in (composed, decomposed)] == [200, 200]


def test_a_cheap_hash_is_renewed_at_sign_in(fresh_server: FreshServer) -> None:
    server = fresh_server(env={"PASSWORD_ROUNDS": "6"})
    place = server.installation
    place.settings = {**place.settings, "PASSWORD_ROUNDS": "4"}
    add_person(place, "anna@x.example")
    with ThreadPoolExecutor(2) as threads:
        answers = list(threads.map(lambda _: sign_in(server, "anna@x.example"), range(2)))
    assert [answer.status_code for answer in answers] == [200, 200]
    good = [answer.json()["auth_token"] for answer in answers]
    assert statuses(server, good[0]) | statuses(server, good[1]) == {200}
    assert sign_in(server, "anna@x.example").status_code == 200


# --- guesses


def test_strangers_lock_nobody_out(fresh_server: FreshServer) -> None:
    server = fresh_server(workers=2, env={"AUTH_FAIL_DELAY": "1"})
    add_person(server.installation, "anna@x.example", name="anna")
    good = token(server, "anna@x.example")
    with ThreadPoolExecutor(8) as threads:
        guesses = list(threads.map(lambda n: sign_in(server, "anna@x.example", f"guess number {n}").status_code, range(40)))
    assert set(guesses) <= {401, 429}
    assert statuses(server, good) == {200}
    assert sign_in(server, "anna@x.example").status_code == 200
    assert sign_in(server, "anna@x.example", "wrong again").status_code == 401


def test_guesses_add_up_over_all_processes(fresh_server: FreshServer) -> None:
    server = fresh_server("postgres", workers=2, env={"AUTH_FAIL_DELAY": "300"})
    add_person(server.installation, "anna@x.example")
    for n in range(7):
        assert sign_in(server, "anna@x.example", f"guess number {n}").status_code == 401
    started = time.monotonic()
    assert sign_in(server, "anna@x.example").status_code == 200
    assert time.monotonic() - started >= 0.6


def test_the_trail_knows_who_signed_in(server: LiveServer, anna: str) -> None:
    assert sign_in(server, anna).status_code == 200
    assert sign_in(server, anna, "wrong password").status_code == 401
    assert sign_in(server, "my secret by mistake", "x").status_code == 401
    entries = [each for each in trail(server.installation, "--action", "sign-in") if anna in str(each)]
    assert [(each["outcome"], each["actor"]["way"], each["address"]) for each in entries] == [
        ("success", "token", "127.0.0.1"),
        ("failure", "token", "127.0.0.1"),
    ]
    assert [each["target"]["email"] for each in entries] == [anna, anna]
    assert "by mistake" not in str(trail(server.installation))
    assert PASSWORD not in str(trail(server.installation))
    assert PASSWORD not in server.output
