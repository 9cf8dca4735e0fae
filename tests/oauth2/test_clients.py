"""Registering, changing and removing applications: by the command, the API and the pages, on both databases."""

import json
import re
import time
from html import unescape
from itertools import count
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from apiv3.security.oauth2 import clients as service
from tests.support.browsers import Browser, forms, signed_in
from tests.support.callers import Caller, refusal
from tests.support.commands import Done, here
from tests.support.oauth2 import CALLBACK, VERIFIER, call, challenge
from tests.support.people import PASSWORD, add_person, done, trail
from tests.support.server import LiveServer

FIELDS = ["_id", "client_id", "name", "redirect_uris", "scopes", "grants", "public", "introspect", "roles", "notes"]
FIELDS += ["owner", "created_at"]
POWER = "You cannot do this to one who holds a permission that you do not hold"
GIFT = "You cannot give away a permission that you do not hold"
_numbers = count()


@pytest.fixture
def name(server: LiveServer) -> str:
    return f"application {next(_numbers)} {server.port} {time.time_ns()}"


@pytest.fixture(scope="module")
def email(server: LiveServer) -> str:
    """The address of an administrator."""
    address = f"applications.{time.time_ns()}@x.example"
    add_person(server.installation, address, PASSWORD, "admin", name=address)
    return address


@pytest.fixture
def anna(server: LiveServer, email: str) -> Browser:
    """The administrator's browser."""
    return signed_in(server, email)


@pytest.fixture(scope="module")
def administrator(server: LiveServer) -> Caller:
    return Caller(server, "clients", "*")


def command(server: LiveServer, *arguments: str) -> Done:
    return here(server.installation, "client", *arguments)


def token(server: LiveServer, client: dict[str, Any], grant: str = "client_credentials", **fields: str) -> httpx.Response:
    body = {"grant_type": grant, "client_id": client["client_id"], **fields}
    if client.get("client_secret"):
        body["client_secret"] = client["client_secret"]
    return httpx.post(f"{server.url}/oauth/token", data=body, trust_env=False)


def reads(server: LiveServer, access: str) -> int:
    return call(server, access).status_code


def said(answer: httpx.Response) -> str:
    """What stands in the message of a page that says what is wrong."""
    [text] = re.findall(r'role="alert">([^<]*)<', answer.text)
    return unescape(text)


# --- from beginning to end


def test_an_application_by_the_command(server: LiveServer, name: str) -> None:
    added = done(command(server, "add", name, "--role", "readable", "--json"))
    assert re.fullmatch("[0-9a-f]{24}", added["client_id"])
    assert re.fullmatch(r"[A-Za-z0-9._~-]{43,}", added["client_secret"])
    assert (added["scopes"], added["grants"], added["kind"]) == (["read"], ["client_credentials"], "confidential")
    shown = done(command(server, "show", added["client_id"], "--json"))
    assert shown == {field: value for field, value in added.items() if field != "client_secret"}
    assert shown in done(command(server, "list", "--json"))
    issued = token(server, added).json()["access_token"]
    printed = command(server, "token", name, "--scope", "api:entries:read").output.strip()
    assert printed.startswith("at_")
    assert (reads(server, issued), reads(server, printed)) == (200, 200)

    changed = done(command(server, "change", name, "--notes", "for the pump", "--introspect", "--json"))
    assert changed == {**shown, "notes": "for the pump", "introspect": True}
    assert reads(server, issued) == 200
    rotated = done(command(server, "rotate", name, "--json"))
    assert rotated["client_secret"] != added["client_secret"]
    server.wait_everywhere(lambda: (reads(server, issued), reads(server, printed)) == (401, 401))
    assert token(server, added).status_code == 401
    again = token(server, rotated).json()["access_token"]
    assert reads(server, again) == 200

    assert command(server, "remove", name).output == f"Removed {name}.\n"
    server.wait_everywhere(lambda: reads(server, again) == 401)
    assert token(server, rotated).json()["error"] == "invalid_client"
    assert "There is no client" in command(server, "show", name).errors
    entries = trail(server.installation, "--target", added["client_id"])
    assert [each["action"] for each in entries] == ["client-made", "client-changed", "client-rotated", "client-removed"]
    for secret in (added["client_secret"], rotated["client_secret"]):
        assert secret not in json.dumps(entries) + server.output


def test_an_application_by_the_api(server: LiveServer, administrator: Caller, name: str) -> None:
    body = {"name": name, "redirect_uris": [CALLBACK], "scopes": ["read", "offline_access"], "roles": "readable", "notes": "x"}
    added = administrator.made("POST", json=body)
    assert list(added) == [*FIELDS, "client_secret"]
    assert added["grants"] == ["authorization_code", "refresh_token"]
    assert added["scopes"] == ["offline_access", "read"]
    [own] = [each for each in server.admin("GET", "/subjects") if each["name"] == administrator.name]
    assert (added["owner"], "application" in own) == (own["_id"], False)
    [listed] = [each for each in administrator.made("GET") if each["_id"] == added["_id"]]
    assert listed == {field: added[field] for field in FIELDS}

    change = {"_id": added["_id"], "introspect": True, "redirect_uris": None, "name": f"{name}!"}
    assert administrator.made("PUT", json=change) == {**listed, "introspect": True, "name": f"{name}!"}
    rotated = administrator.made("POST", f"/{added['_id']}/rotate")
    assert list(rotated) == [*FIELDS, "client_secret"]
    assert rotated["client_secret"] != added["client_secret"]
    assert administrator.made("DELETE", f"/{added['_id']}") == {}
    assert refusal(administrator.ask("DELETE", f"/{added['_id']}"))[0] == 404
    assert refusal(administrator.ask("PUT", json={"_id": added["_id"]}))[0] == 404


def test_an_application_on_pages(server: LiveServer, anna: Browser, name: str) -> None:
    page = "/admin/clients/add"
    fields = anna.form(page, page)
    sent: dict[str, Any] = {"nonce": fields["nonce"], "name": name, "kind": "confidential", "roles": ["readable"]}
    sent |= {"scopes": ["read", "write"], "permissions": "api:food:read\r\n", "grants": ["client_credentials"]}
    answer = anna.post(page, sent)
    [client] = re.findall(r'id="client-id" value="([^"]+)"', answer.text)
    [secret] = re.findall(r'id="client-secret" value="([^"]+)"', answer.text)
    access = token(server, {"client_id": client, "client_secret": secret}).json()["access_token"]
    assert reads(server, access) == 200

    place = f"/admin/clients/{client}"
    assert secret not in anna.get(place).text
    assert "Last used" in anna.get(place).text
    shown = done(command(server, "show", name, "--json"))
    assert (shown["scopes"], shown["roles"]) == (["api:food:read", "read", "write"], ["readable"])
    assert name in anna.get("/admin/clients", params={"search": name, "sort": "-created"}).text
    assert "application" in anna.get("/admin/subjects", params={"search": name}).text.partition("<tbody>")[2]
    assert f'href="{place}"' in anna.get(f"/admin/subjects/{client}").text
    assert "It is an application" in anna.get(f"/admin/subjects/{client}/remove").text

    form = anna.form(place, f"{place}/change")["nonce"]
    changed = anna.post(f"{place}/change", sent | {"nonce": form, "scopes": ["read", "write"], "introspects": "true"})
    assert changed.headers["location"] == f"{place}?done=changed"
    assert done(command(server, "show", name, "--json")) == {**shown, "introspect": True}
    assert "stop working within a second" in anna.get(f"{place}/rotate").text
    answer = anna.post(f"{place}/rotate", anna.form(f"{place}/rotate", f"{place}/rotate"))
    [newer] = re.findall(r'id="client-secret" value="([^"]+)"', answer.text)
    assert (newer != secret, reads(server, access)) == (True, 401)
    assert token(server, {"client_id": client, "client_secret": newer}).status_code == 200
    answer = anna.post(f"{place}/remove", anna.form(f"{place}/remove", f"{place}/remove"))
    assert answer.headers["location"] == "/admin/clients?done=removed"
    assert anna.get(place).status_code == 404


@pytest.mark.parametrize(
    ("body", "grants"),
    [
        ({"redirect_uris": [CALLBACK]}, ["authorization_code", "refresh_token"]),
        ({"redirect_uris": ["com.example.app:/cb"], "public": True}, ["authorization_code", "refresh_token"]),
        ({}, ["client_credentials"]),
        ({"public": True}, ["device_code", "refresh_token"]),
        ({"grants": "device_code client_credentials"}, ["device_code", "client_credentials"]),
    ],
)
def test_what_is_not_said_fits_the_rest(administrator: Caller, body: dict[str, Any], grants: list[str], name: str) -> None:
    added = administrator.made("POST", json={"name": name, **body})
    assert (added["grants"], added["scopes"], added["introspect"]) == (grants, ["read"], False)
    assert ("client_secret" in added) != added["public"]
    if added["public"]:
        assert refusal(administrator.ask("POST", f"/{added['_id']}/rotate")) == (400, "A public client has no secret")
        assert refusal(administrator.ask("PUT", json={"_id": added["_id"], "public": False}))[0] == 400


# --- what is no good

HOSTILE = {
    "https://x/cb#f": "it has a fragment",
    "https://x/cb#": "it has a fragment",
    "#": "it has a fragment",
    "com.example.app:/cb#": "it has a fragment",
    "JaVaScRiPt:alert(1)": "it must begin with",
    "javascript://x.example/%0aalert(1)": "it must begin with",
    "data:text/html,x": "it must begin with",
    "DATA:text/html;base64,eA==": "it must begin with",
    "vbscript:x": "it must begin with",
    "https://anna:secret@x/cb": "it contains a user name",
    "https://x.example@evil.example/": "it contains a user name",
    "http://localhost@evil.example/": "it contains a user name",
    "http://x.example/cb": "it must begin with",
    "http://127.0.0.1.evil.example/cb": "it must begin with",
    "https://x:99999/cb": "its port",
    "https://x/\u00e4": "it is not a URI",
    "https://x/\\evil.example": "it is not a URI",
    "//x.example/cb": "it must begin with",
    "/cb": "it must begin with",
    "https://x/" + "a" * 1000: "more than 1000 characters",
}


@pytest.fixture(scope="module")
def victim(administrator: Caller) -> dict[str, Any]:
    """An application that stays as it is."""
    body = {"name": f"victim {time.time_ns()}", "redirect_uris": [CALLBACK]}
    added: dict[str, Any] = administrator.made("POST", json=body)
    return added


@pytest.mark.parametrize("uri", HOSTILE, ids=lambda uri: uri[:40])
def test_no_way_of_registering_takes_a_hostile_redirect_uri(
    uri: str, server: LiveServer, administrator: Caller, anna: Browser, victim: dict[str, Any], name: str
) -> None:
    reason = HOSTILE[uri]
    for refused in (
        command(server, "add", name, f"--redirect={uri}"),
        command(server, "change", victim["name"], f"--redirect={uri}"),
    ):
        assert (refused.status, refused.output) == (1, "")
        assert refused.errors.startswith("Error: Bad redirect URI")
        assert reason in refused.errors
    for answer in (
        administrator.ask("POST", json={"name": name, "redirect_uris": [CALLBACK, uri]}),
        administrator.ask("PUT", json={"_id": victim["_id"], "redirect_uris": [CALLBACK, uri]}),
    ):
        assert answer.status_code == 400
        assert reason in answer.json()["message"]
    place = f"/admin/clients/{victim['_id']}"
    for page, action in (("/admin/clients/add", "/admin/clients/add"), (place, f"{place}/change")):
        answer = anna.post(action, {"nonce": anna.form(page, action)["nonce"], "name": name, "redirects": f"{CALLBACK}\n{uri}"})
        assert (answer.status_code, reason in said(answer)) == (400, True)
    [stored] = [each for each in administrator.made("GET") if each["_id"] == victim["_id"]]
    assert stored["redirect_uris"] == [CALLBACK]
    assert name not in [each["name"] for each in administrator.made("GET")]


MALFORMED: list[tuple[dict[str, Any], str]] = [
    ({"name": ""}, "Bad or missing name"),
    ({"name": "x\u202e"}, "Bad or missing name"),
    ({"name": 7}, "Bad name"),
    ({"_id": "x"}, "Bad _id: it must be 24 lower-case hex digits"),
    ({"redirect_uris": [7]}, "Bad redirect_uris: it must be a list of texts"),
    ({"redirect_uris": {}}, "Bad redirect_uris: it must be a list of texts"),
    ({"redirect_uris": [f"https://x/{number}" for number in range(21)]}, "Too many redirect URIs: at most 20"),
    ({"scopes": 1}, "Bad scopes"),
    ({"scopes": ["everything"]}, "Bad scope 'everything'"),
    ({"scopes": ["read write"]}, "Bad scope 'read write'"),
    ({"scopes": ["api:,:read"]}, "Bad scope"),
    ({"scopes": [f"api:x{number}:read" for number in range(51)]}, "Too many scopes"),
    ({"scopes": ["api:" + "x" * 2000 + ":read"]}, "Too many scopes"),
    ({"grants": ["implicit"]}, "Unknown grant 'implicit'"),
    ({"grants": ["authorization_code"]}, "needs a redirect URI"),
    ({"grants": ["client_credentials"], "public": True}, "cannot have the grant client_credentials"),
    ({"grants": ["password"], "public": True}, "cannot have the grant password"),
    ({"public": "yes"}, "Bad public: it must be true or false"),
    ({"introspect": 1}, "Bad introspect: it must be true or false"),
    ({"roles": ["nonsense"]}, "Unknown role 'nonsense'"),
    ({"notes": "x" * 10_001}, "Bad notes"),
]


@pytest.mark.parametrize(("body", "reason"), MALFORMED, ids=lambda value: str(value)[:50])
def test_what_is_no_good_is_refused(administrator: Caller, body: dict[str, Any], reason: str, name: str) -> None:
    status, message = refusal(administrator.ask("POST", json={"name": name, **body}))
    assert (status, reason in message) == (400, True), message


def test_what_does_not_fit_a_stored_application_is_refused(administrator: Caller, victim: dict[str, Any], name: str) -> None:
    administrator.made("POST", json={"name": name})
    for change, status in (
        ({"name": name}, 409),
        ({"redirect_uris": []}, 400),
        ({"grants": ["authorization_code", "implicit"]}, 400),
        ({"public": True}, 400),
        ({"scopes": ["nonsense"]}, 400),
        ({"roles": ["nonsense"]}, 400),
        ({"introspect": "no"}, 400),
    ):
        assert refusal(administrator.ask("PUT", json={"_id": victim["_id"], **change}))[0] == status, change
    assert refusal(administrator.ask("POST", json={"name": name}))[0] == 409
    assert refusal(administrator.ask("POST", json={"_id": victim["_id"], "name": f"{name}!"}))[0] == 409
    for sent in ("[]", "x", None):
        assert administrator.ask("POST", json=sent).status_code == 400


def test_there_is_room_for_so_many(server: LiveServer, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    done(command(server, "add", name, "--json"))
    monkeypatch.setattr(service, "MOST_CLIENTS", 1)
    refused = command(server, "add", f"{name}!")
    assert (refused.status, "There are too many applications, at most 1" in refused.errors) == (1, True)
    assert command(server, "remove", name).status == 0


# --- who may do it


def test_nobody_registers_or_touches_what_may_do_more(server: LiveServer, administrator: Caller, name: str) -> None:
    strong = administrator.made("POST", json={"name": name, "roles": ["admin"]})
    lesser = Caller(server, "clients", "admin:api:clients", "api:entries:read")
    assert refusal(lesser.ask("POST", json={"name": f"{name}!", "roles": ["admin"]})) == (403, GIFT)
    own = lesser.made("POST", json={"name": f"{name}!"})
    assert refusal(lesser.ask("PUT", json={"_id": own["_id"], "roles": ["readable"]})) == (403, GIFT)
    for method, path, body in (
        ("PUT", "", {"_id": strong["_id"], "redirect_uris": ["https://evil.example/"]}),
        ("POST", f"/{strong['_id']}/rotate", None),
        ("DELETE", f"/{strong['_id']}", None),
    ):
        assert refusal(lesser.ask(method, path, body)) == (403, POWER), method
    assert token(server, strong).status_code == 200
    assert lesser.made("DELETE", f"/{own['_id']}") == {}


def test_nobody_touches_on_pages_what_may_do_more(server: LiveServer, administrator: Caller, name: str) -> None:
    strong = administrator.made("POST", json={"name": name, "roles": ["admin"]})
    role = server.admin("POST", "/roles", {"name": f"lesser {name}"[:200], "permissions": ["admin:api:clients"]})
    email = f"lesser.{time.time_ns()}@x.example"
    add_person(server.installation, email, PASSWORD, role["name"], name=email)
    browser, place = signed_in(server, email), f"/admin/clients/{strong['_id']}"
    for page, action in (
        (place, f"{place}/change"),
        (f"{place}/rotate", f"{place}/rotate"),
        (f"{place}/remove", f"{place}/remove"),
    ):
        answer = browser.post(action, {"nonce": browser.form(page, action)["nonce"], "name": name})
        assert (answer.status_code, said(answer)) == (403, f"{POWER}.")
    page = "/admin/clients/add"
    answer = browser.post(page, {"nonce": browser.form(page, page)["nonce"], "name": f"{name}!", "roles": "admin"})
    assert (answer.status_code, said(answer)) == (403, f"{GIFT}.")
    assert token(server, strong).status_code == 200


@pytest.mark.parametrize("action", ["create", "read", "update", "delete"])
def test_each_endpoint_demands_its_permission(server: LiveServer, action: str) -> None:
    others = [each for each in ("create", "read", "update", "delete") if each != action]
    caller, none = Caller(server, "clients", *(f"admin:api:clients:{each}" for each in others)), "0" * 24
    calls = {
        "read": [("GET", "")],
        "create": [("POST", "")],
        "update": [("PUT", ""), ("POST", f"/{none}/rotate")],
        "delete": [("DELETE", f"/{none}")],
    }
    for method, path in calls[action]:
        assert refusal(caller.ask(method, path, {})) == (401, "Unauthorized")


# --- an application is a subject


def test_an_application_is_a_subject(server: LiveServer, administrator: Caller, name: str) -> None:
    added = administrator.made("POST", json={"name": name, "roles": ["readable"]})
    access = token(server, added).json()["access_token"]
    [subject] = [each for each in server.admin("GET", "/subjects") if each["_id"] == added["_id"]]
    assert (subject["name"], subject["application"]) == (name, True)
    assert done(here(server.installation, "subject", "show", name, "--json"))["application"] is True
    assert refusal(administrator.ask("POST", json={"name": administrator.name}))[0] == 409
    renamed = server.admin("PUT", "/subjects", {"_id": added["_id"], "name": f"{name}!", "roles": ["denied"]})
    assert renamed["application"] is True
    [listed] = [each for each in administrator.made("GET") if each["_id"] == added["_id"]]
    assert (listed["name"], listed["roles"]) == (f"{name}!", ["denied"])
    assert reads(server, access) == 403  # its token lives, and its subject may do nothing
    server.admin("DELETE", f"/subjects/{added['_id']}")
    assert added["_id"] not in [each["_id"] for each in administrator.made("GET")]
    assert (reads(server, access), token(server, added).json()["error"]) == (401, "invalid_client")


# --- what a change ends


class Person:
    """Somebody who uses an application."""

    def __init__(self, server: LiveServer, client: dict[str, Any], browser: Browser) -> None:
        self._server, self._client, self._browser = server, client, browser

    def open(self, redirect: str = CALLBACK) -> httpx.Response:
        """The answer of the authorization endpoint: the page that asks, or the way back."""
        query = {"response_type": "code", "client_id": self._client["client_id"], "redirect_uri": redirect, "state": "s"}
        query |= {"scope": "read", "code_challenge": challenge(), "code_challenge_method": "S256"}
        return self._browser.get("/oauth/authorize", params=query)

    def allow(self, page: httpx.Response) -> httpx.Response:
        [action] = re.findall(r'action="(/oauth/authorize[^"]*)"', page.text)
        [form] = forms(page.text, unescape(action))
        return self._browser.post(unescape(action), {"nonce": form["nonce"], "decision": "allow"})

    def code(self) -> str:
        """A code, with consent where that is asked for."""
        answer = self.open()
        back = answer if answer.status_code != 200 else self.allow(answer)
        return parse_qs(urlsplit(back.headers["location"]).query)["code"][0]

    def redeem(self, code: str) -> httpx.Response:
        sent = {"code": code, "redirect_uri": CALLBACK, "code_verifier": VERIFIER}
        return token(self._server, self._client, "authorization_code", **sent)


@pytest.fixture
def viewer(administrator: Caller, name: str) -> dict[str, Any]:
    body = {"name": name, "redirect_uris": [CALLBACK], "scopes": ["read", "write", "offline_access"]}
    added: dict[str, Any] = administrator.made("POST", json=body)
    return added


@pytest.fixture
def person(server: LiveServer, viewer: dict[str, Any], anna: Browser) -> Person:
    return Person(server, viewer, anna)


@pytest.mark.parametrize("change", [{"scopes": ["read"]}, {"grants": ["authorization_code"]}], ids=["scope", "grant"])
def test_who_loses_a_scope_or_a_grant_loses_all_tokens(
    server: LiveServer, administrator: Caller, viewer: dict[str, Any], person: Person, change: dict[str, Any]
) -> None:
    access = person.redeem(person.code()).json()["access_token"]
    unused = person.code()
    assert reads(server, access) == 200
    assert person.open().status_code in (302, 303)  # the consent is remembered
    administrator.made("PUT", json={"_id": viewer["_id"], **change})
    assert reads(server, access) == 401
    assert person.redeem(unused).json()["error"] == "invalid_grant"
    page = person.open()
    assert page.status_code == 200
    administrator.made("PUT", json={"_id": viewer["_id"], "scopes": ["read"], "grants": ["authorization_code"]})
    administrator.made("PUT", json={"_id": viewer["_id"], "scopes": ["api:entries:read"]})
    assert person.allow(page).status_code == 403  # the request was for more than the application may ask for now


def test_other_redirect_uris_keep_tokens_and_ask_anew(
    server: LiveServer, administrator: Caller, viewer: dict[str, Any], person: Person
) -> None:
    access, unused = person.redeem(person.code()).json()["access_token"], person.code()
    other = "https://other.example/"
    administrator.made("PUT", json={"_id": viewer["_id"], "redirect_uris": [CALLBACK, other]})
    page = person.open(other)
    assert page.status_code == 200  # nobody consented to this address
    assert person.redeem(unused).json()["error"] == "invalid_grant"
    administrator.made("PUT", json={"_id": viewer["_id"], "redirect_uris": [CALLBACK]})
    assert person.allow(page).status_code == 403
    assert reads(server, access) == 200


def test_wider_scopes_and_a_new_name_end_nothing(
    server: LiveServer, administrator: Caller, viewer: dict[str, Any], person: Person, name: str
) -> None:
    access, unused = person.redeem(person.code()).json()["access_token"], person.code()
    scopes = [*viewer["scopes"], "api:food:create"]
    administrator.made("PUT", json={"_id": viewer["_id"], "scopes": scopes, "name": f"{name}?", "introspect": True})
    assert reads(server, access) == 200
    assert person.redeem(unused).status_code == 200
    assert person.open().status_code in (302, 303)


def test_the_page_says_for_whom_an_application_acts(viewer: dict[str, Any], person: Person, anna: Browser, email: str) -> None:
    place = f"/admin/clients/{viewer['_id']}"
    assert "For nobody at the moment" in anna.get(place).text
    person.redeem(person.code())
    table = anna.get(place).text.partition('aria-labelledby="held-title"')[2]
    assert email in table
    assert '<span class="tag">read</span>' in table
