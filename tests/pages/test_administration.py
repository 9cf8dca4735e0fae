"""The pages of administration, used without JavaScript: links are followed, forms are sent as they stand there."""

import re
import time
from collections.abc import Callable, Sequence
from functools import partial
from html import unescape
from itertools import count
from typing import Any

import httpx
import pytest

from apiv3.app import Server
from apiv3.installation import Installation
from apiv3.settings import load
from tests.support.browsers import SAME_ORIGIN, Browser, choose_password, forms, signed_in
from tests.support.commands import here
from tests.support.factories import FreshServer
from tests.support.people import PASSWORD, add_person, done, sign_in, trail, user
from tests.support.server import LiveServer

ENTRIES = "/api/v3/entries"
TOKEN = re.compile(r'id="token" value="([^"]+)"')
LINK = re.compile(r'id="link" value="([^"]+)"')
_numbers = count()


def unique(name: str) -> str:
    return f"{name} {next(_numbers)} {time.time_ns()}"


@pytest.fixture(scope="module")
def anna(server: LiveServer) -> Browser:
    """An administrator's browser."""
    email = f"administrator.{time.time_ns()}@x.example"
    add_person(server.installation, email, PASSWORD, "admin", name=unique("Administrator"))
    return signed_in(server, email)


def sent(browser: Browser, page: str, action: str, **fields: Any) -> httpx.Response:
    """The answer to a form of a page, sent with some of its fields filled in; a redirect is followed."""
    answer = browser.post(action, {**browser.form(page, action), **fields})
    return browser.get(answer.headers["location"]) if answer.status_code == 303 else answer


def confirmed(browser: Browser, page: str) -> httpx.Response:
    """The answer once the question on a page is confirmed."""
    answer = browser.get(page)
    assert "Cancel" in answer.text, answer.text
    return sent(browser, page, page)


def added(browser: Browser, kind: str, **fields: Any) -> str:
    """The address of something new."""
    page = f"/admin/{kind}/add"
    answer = sent(browser, page, page, **fields)
    assert answer.status_code == 200, answer.text
    assert "is added" in answer.text
    return answer.url.path


def said(answer: httpx.Response) -> str:
    """What stands in the message that says what is wrong."""
    [text] = re.findall(r'role="alert">([^<]*)<', answer.text)
    return unescape(text)


def reads(server: LiveServer, token: str) -> int:
    now: dict[str, str | int] = {"now": time.time_ns() // 1_000_000, "token": token}
    return httpx.get(server.url + ENTRIES, params=now, trust_env=False).status_code


def rows(answer: httpx.Response) -> list[str]:
    """The heads of the rows of a table, without markup."""
    assert answer.status_code == 200, answer.text
    return [
        unescape(re.sub("<[^>]*>", "", each)).strip()
        for each in re.findall(r'<th scope="row">(.*?)</th>', answer.text, re.DOTALL)
    ]


# --- subjects and roles


def test_a_role_and_a_subject_from_beginning_to_end(server: LiveServer, anna: Browser) -> None:
    role, name = unique("reader"), unique("phone")
    place = added(anna, "roles", name=role, permissions="api:entries:read\r\n api:food:read \r\n\r\n", notes="for phones")
    subject = added(anna, "subjects", name=name, roles=[role, "denied"], notes="first\r\nsecond", timestamp="optional")
    [stored] = [each for each in server.admin("GET", "/subjects") if each["name"] == name]
    assert (stored["roles"], stored["notes"], stored["timestamp"]) == ([role, "denied"], "first\nsecond", "optional")
    [kept] = [each for each in server.admin("GET", "/roles") if each["name"] == role]
    assert kept["permissions"] == ["api:entries:read", "api:food:read"]

    page = anna.get(subject)
    assert stored["accessToken"] not in page.text
    shown = sent(anna, subject, f"{subject}/token")
    [token] = TOKEN.findall(shown.text)
    assert token == stored["accessToken"]
    assert reads(server, token) == 200

    assert "is changed" in sent(anna, place, f"{place}/change", name=role, permissions="api:food:read").text
    assert reads(server, token) == 403
    assert name in anna.get(place).text  # who has it
    assert "is in use by" in said(confirmed(anna, f"{place}/remove"))

    changed = sent(anna, subject, f"{subject}/change", name=name, roles=["readable"], timestamp="optional", notes="")
    assert "is changed" in changed.text
    assert reads(server, token) == 200

    assert "stop working within a second" in anna.get(f"{subject}/rotate").text
    assert reads(server, token) == 200
    [rotated] = TOKEN.findall(confirmed(anna, f"{subject}/rotate").text)
    assert (reads(server, token), reads(server, rotated)) == (401, 200)

    assert "is removed" in confirmed(anna, f"{subject}/remove").text
    assert reads(server, rotated) == 401
    assert anna.get(subject).status_code == 404
    assert "is removed" in confirmed(anna, f"{place}/remove").text
    actions = [each["action"] for each in trail(server.installation, "--target", stored["_id"])]
    assert actions == ["subject-made", "subject-changed", "token-rotated", "subject-removed"]


BAD: list[tuple[str, dict[str, Any], str]] = [
    ("subjects", {"name": "", "roles": []}, "Bad or missing name"),
    ("subjects", {"name": "x", "roles": ["nonsense"]}, "Unknown role"),
    ("subjects", {"name": "x\u202e"}, "Bad or missing name"),
    ("roles", {"name": "x", "permissions": "api:,:read"}, "Malformed permission"),
    ("roles", {"name": "", "permissions": ""}, "Bad or missing name"),
    ("clients", {"name": ""}, "Bad or missing name"),
    ("clients", {"name": "x", "roles": ["nonsense"]}, "Unknown role"),
    ("clients", {"name": "x", "redirects": "https://x/cb#f"}, "Bad redirect URI"),
    ("clients", {"name": "x", "scopes": ["read"], "permissions": "everything"}, "Bad scope"),
    ("clients", {"name": "x", "kind": "public", "grants": ["password"]}, "cannot have the grant"),
    ("users", {"email": "nobody", "roles": ["readable"]}, "Bad email"),
    ("users", {"email": "a@x.example", "roles": []}, "at least one role"),
    ("users", {"email": "a@x.example", "roles": ["nonsense"]}, "Unknown role"),
]


@pytest.mark.parametrize(("kind", "fields", "reason"), BAD)
def test_what_is_no_good_is_said_and_kept_in_the_form(kind: str, fields: dict[str, Any], reason: str, anna: Browser) -> None:
    page = f"/admin/{kind}/add"
    notes = "typed with care"
    extra = {"name": notes} if kind == "users" else {"notes": notes}
    empty: dict[str, Any] = {"roles": []} if kind != "roles" else {}
    answer = anna.post(page, {**anna.form(page, page), **empty, **extra, **fields})
    assert answer.status_code in (400, 409), answer.text
    assert reason in said(answer)
    assert notes in answer.text
    assert forms(answer.text, page)[0]["nonce"]


def test_what_a_stored_subject_cannot_become(anna: Browser) -> None:
    first, second = unique("first"), unique("second")
    added(anna, "subjects", name=first, roles=[])
    place = added(anna, "subjects", name=second, roles=[])
    answer = sent(anna, place, f"{place}/change", name=first, roles=[])
    assert answer.status_code == 409
    assert said(answer) == f"There is a subject named {first!r} already."
    assert second in anna.get(place).text


def test_a_built_in_role_can_only_be_replaced(server: LiveServer, anna: Browser) -> None:
    assert "built in" in anna.get("/admin/roles/activity").text
    assert anna.get("/admin/roles/activity/remove").status_code == 404
    page = "/admin/roles/add?name=activity"
    assert "api:activity:create" in anna.get(page).text
    answer = anna.post("/admin/roles/add", {**anna.form(page, "/admin/roles/add"), "permissions": "api:activity:read"})
    place = answer.headers["location"].partition("?")[0]
    [stored] = [each for each in server.admin("GET", "/roles") if each["name"] == "activity"]
    assert stored["permissions"] == ["api:activity:read"]
    assert "takes its place" in anna.get(f"{place}/remove").text
    assert "is removed" in confirmed(anna, f"{place}/remove").text


def test_what_is_stored_is_text_on_every_page(anna: Browser) -> None:
    bad = f'<b onclick="x">{next(_numbers)}</b>"\'&'
    form = "/admin/clients/add"
    answer = anna.post(form, {"nonce": anna.form(form, form)["nonce"], "name": f"{bad}!", "notes": bad})
    client = re.findall(r'id="client-id" value="([^"]+)"', answer.text)[0]
    for page in (f"/admin/clients/{client}", f"/admin/clients/{client}/remove", "/admin/clients?search=onclick"):
        assert "<b onclick" not in anna.get(page).text, page
    place = added(anna, "subjects", name=bad, roles=[], notes=bad)
    pages = [place, f"{place}/remove", f"{place}/rotate", "/admin/subjects?sort=-created", "/admin/audit"]
    pages += [f"/admin/check?subject={place.rpartition('/')[2]}", "/admin/check?permission=api:entries:read&search=onclick"]
    for page in pages:
        answer = anna.get(page)
        assert "&lt;b onclick=" in answer.text, page
        assert "<b onclick" not in answer.text, page
    for page in ("/admin/subjects", "/admin/audit", "/admin/check", "/admin/users"):
        answer = anna.get(page, params={"search": bad, "permission": bad, "actor": bad, "since": bad, "subject": bad})
        assert "<b onclick" not in answer.text, page
    assert "is removed" in confirmed(anna, f"{place}/remove").text


# --- who may do what


def test_who_may_do_what(server: LiveServer, anna: Browser) -> None:
    role, name = unique("reader"), unique("asked")
    server.admin("POST", "/roles", {"name": role, "permissions": ["api:entries:read"]})
    subject = server.admin("POST", "/subjects", {"name": name, "roles": [role]})
    ask = partial(anna.get, "/admin/check")

    def cells(answer: httpx.Response, head: str) -> list[str]:
        [row] = [each for each in re.findall("<tr>.*?</tr>", answer.text, re.DOTALL) if head in each]
        return [re.sub("<[^>]*>", "", each).strip() for each in re.findall("<td>(.*?)</td>", row, re.DOTALL)]

    permission = {"permission": "api:entries:read", "search": name}
    assert cells(ask(params=permission), name) == ["yes", role]
    by_name = {"subject": name}
    assert cells(ask(params=by_name), "<code>api:entries:read</code>") == ["yes", role]
    assert cells(ask(params=by_name), "<code>api:food:read</code>") == ["no", "–"]
    assert cells(ask(params={"subject": subject["_id"]}), "<code>api:entries:read</code>") == ["yes", role]
    server.admin("PUT", "/subjects", {**subject, "roles": ["denied"]})
    assert cells(ask(params=permission), name) == ["no", "–"]
    for params in ({"permission": ":::"}, {"subject": unique("nobody")}):
        assert "cannot be checked" in said(ask(params=params))


# --- tables


@pytest.fixture(scope="module")
def many(server: LiveServer) -> str:
    """The part of their names that 60 subjects share."""
    word = f"crowd{server.port}"
    for number in range(60):
        server.admin("POST", "/subjects", {"name": f"{word} {number:02d}", "roles": [], "notes": f"{59 - number:02d}"})
    return word


def test_tables_are_sorted_searched_and_paged(anna: Browser, many: str) -> None:
    ask = partial(anna.get, "/admin/subjects")
    names = [f"{many} {number:02d}" for number in range(60)]
    assert rows(ask(params={"search": many})) == names[:50]
    assert rows(ask(params={"search": many.upper(), "page": 2})) == names[50:]
    assert rows(ask(params={"search": many, "sort": "-name"})) == names[:9:-1]
    assert rows(ask(params={"search": many, "sort": "notes", "page": 2})) == names[9::-1]
    assert rows(ask(params={"search": f"{many} 07"})) == [names[7]]
    assert "Nothing was found" in ask(params={"search": unique("none")}).text
    for page in ("0", "-1", "x", "99999", "1e9", ""):
        assert ask(params={"search": many, "page": page, "sort": "nonsense"}).status_code == 200


def test_the_audit_trail_is_filtered_sorted_and_paged(server: LiveServer, anna: Browser, many: str) -> None:
    ask = partial(anna.get, "/admin/audit")

    def targets(**params: Any) -> list[str]:
        return re.findall(rf"{many} \d\d", ask(params={"search": many, **params}).text.partition("<tbody>")[2])

    names = [f"{many} {number:02d}" for number in range(60)]
    assert targets() == names[:9:-1]
    assert targets(page=2) == names[9::-1]
    assert targets(page=99) == names[9::-1]
    assert targets(sort="time") == names[:50]
    assert targets(sort="-target", page=2) == names[9::-1]
    assert targets(action="subject-made") == names[:9:-1]
    assert targets(target=names[3]) == [names[3]]
    for other in ({"action": "subject-removed"}, {"outcome": "failure"}, {"actor": "nobody"}, {"since": "2100-01-01"}):
        assert targets(**other) == []
    assert targets(until="2000-01-01") == []
    assert "A time must be like" in said(ask(params={"since": "yesterday"}))
    assert ask(params={"action": "nonsense", "outcome": "nonsense", "sort": "details"}).status_code == 200


# --- people


def test_a_person_from_beginning_to_end(server: LiveServer, anna: Browser) -> None:
    email, name = f"ben.{time.time_ns()}@x.example", unique("Ben")
    page = "/admin/users/add"
    answer = anna.post(page, {**anna.form(page, page), "email": email, "name": name, "roles": ["readable"]})  # type: ignore[dict-item]
    [link] = LINK.findall(answer.text)
    assert link.startswith(f"{server.url}/invitation/")
    person = done(user(server.installation, "show", email, "--json"))
    place = f"/admin/users/{person['_id']}"
    assert "invited" in anna.get(place).text
    assert link not in anna.get(place).text

    [newer] = LINK.findall(sent(anna, place, f"{place}/invite").text)
    assert choose_password(link).status_code == 404
    assert choose_password(newer).status_code == 200
    ben = signed_in(server, email)
    assert name in rows(anna.get("/admin/sessions", params={"search": name}))

    page = anna.get(place).text
    assert "do not change them" in page
    assert not any("roles" in fields for fields in forms(page, f"{place}/change"))
    changed = sent(anna, place, f"{place}/change", name=name, email=f"x{email}", roles="admin", disabled="true")
    assert "is changed" in changed.text
    now = done(user(server.installation, "show", person["_id"], "--json"))
    assert now == {**person, "email": f"x{email}"}

    assert "can be enabled again" in anna.get(f"{place}/disable").text
    assert ben.is_signed_in()
    assert "is disabled" in confirmed(anna, f"{place}/disable").text
    assert not ben.is_signed_in()
    assert sign_in(server, f"x{email}").status_code == 401
    assert "is enabled" in sent(anna, place, f"{place}/enable").text
    assert sign_in(server, f"x{email}").status_code == 200
    assert "is removed" in confirmed(anna, f"{place}/remove").text
    assert sign_in(server, f"x{email}").status_code == 401
    assert anna.get(place).status_code == 404
    assert trail(server.installation, "--action", "account-removed")[-1]["target"]["name"] == name


def test_roles_of_people_are_not_changed_as_those_of_subjects(server: LiveServer, anna: Browser) -> None:
    person = add_person(server.installation, f"carla.{time.time_ns()}@x.example", name=unique("Carla"))
    place = f"/admin/subjects/{person['_id']}"
    assert anna.get(place).headers["location"] == f"/admin/users/{person['_id']}"
    nonces = (forms(anna.get("/admin/subjects/add").text, "/admin/subjects/add")[0]["nonce"] for _ in range(9))
    for action in ("change", "token", "rotate", "remove"):
        data = {"nonce": next(nonces), "name": person["name"], "roles": "admin"}
        assert anna.post(f"{place}/{action}", data).status_code == 404
    assert done(user(server.installation, "show", person["_id"], "--json")) == person
    assert person["name"] not in rows(anna.get("/admin/subjects", params={"search": person["name"]}))


def test_a_session_is_ended(server: LiveServer, anna: Browser) -> None:
    email, name = f"dora.{time.time_ns()}@x.example", unique("Dora")
    add_person(server.installation, email, name=name)
    dora, other = signed_in(server, email), signed_in(server, email)
    assert anna.get("/admin/sessions").status_code == 200
    found = anna.get("/admin/sessions", params={"search": name, "sort": "begun"})
    assert rows(found) == [name, name]
    first, _second = re.findall(r'href="(/admin/sessions/[0-9a-f]{24}/end)"', found.text)
    assert "signed out on this browser" in anna.get(first).text
    assert dora.is_signed_in()
    assert "is ended" in confirmed(anna, first).text
    assert not dora.is_signed_in()
    assert other.is_signed_in()
    assert anna.get(first).status_code == 404
    ended = trail(server.installation, "--action", "session-ended")[-1]
    assert (ended["target"]["email"], ended["actor"]["way"]) == (email, "session")


def test_failed_sign_ins_are_seen(server: LiveServer, anna: Browser) -> None:
    email, name = f"eve.{time.time_ns()}@x.example", unique("Eve")
    add_person(server.installation, email, name=name)
    assert sign_in(server, email, "my secret by mistake").status_code == 401
    assert sign_in(server, "typed a password here", "x").status_code == 401
    page = anna.get("/admin/failures").text
    assert name in page
    assert "no such account" in page
    assert "127.0.0.1" in page
    assert "by mistake" not in page
    assert "typed a password" not in page
    assert name in anna.get("/admin/failures", params={"search": email, "sort": "target"}).text
    assert name not in anna.get("/admin/failures", params={"search": "nobody at all"}).text


def test_the_state_is_told(fresh_server: FreshServer, database: str) -> None:
    server = fresh_server(database)
    add_person(server.installation, "anna@x.example", PASSWORD, "admin", name="Anna")
    browser = signed_in(server, "anna@x.example")
    entry = {"date": 1_600_000_000_000, "app": "test", "type": "sgv", "sgv": 100}
    answer = server.client(server.subject("writer", "api:*:*")).post(ENTRIES, json=entry)
    assert answer.status_code == 201
    page = browser.get("/admin/state").text
    assert "apiv3 0." in page
    assert "as set by <code>WORKERS</code>" in page
    assert ("sqlite 3." if database == "sqlite" else "postgresql 1") in page
    assert "2020-09-13 12:26:40 UTC" in page
    assert '<span class="tag wrong">unknown</span>' in page
    (server.installation.data / "last_backup").touch()
    assert "unknown" not in browser.get("/admin/state").text


# --- rights


def _demands() -> dict[str, list[tuple[str, str]]]:
    """Permission -> the pages and forms that demand it."""
    settings = load(database_url="sqlite:///nowhere", api_secret="x" * 12, jwt_key="x" * 32, hub_key="x" * 43)
    found: dict[str, list[tuple[str, str]]] = {}
    for route in Server(Installation(settings)).routes():
        if route.path.startswith("/admin/"):
            found.setdefault(route.permission, []).append((route.method, route.path))
    return found


class Limited:
    """A person whose role has the permissions that the test gives it."""

    def __init__(self, server: LiveServer) -> None:
        email = f"limited.{time.time_ns()}@x.example"
        self._server = server
        self._role = server.admin("POST", "/roles", {"name": unique("limited"), "permissions": ["api:food:read"]})
        self.roles = [self._role["name"]]
        add_person(server.installation, email, PASSWORD, self._role["name"], name=email)
        self.browser = signed_in(server, email)

    def may(self, *permissions: str) -> Browser:
        self._server.admin("PUT", "/roles", {**self._role, "permissions": permissions})
        return self.browser


@pytest.fixture(scope="module")
def limited(shared_servers: Callable[[str], LiveServer]) -> Limited:
    return Limited(shared_servers("sqlite"))


@pytest.mark.parametrize("permission", _demands())
def test_each_page_and_each_action_has_its_permission(permission: str, limited: Limited) -> None:
    """Who holds all others is refused, with the name of what is missing; who holds it alone is not."""
    others = [each for each in _demands() if each != permission]
    refused = limited.may(*others)
    for method, path in _demands()[permission]:
        address = path.replace("{_id}", "0" * 24)
        answer = refused.request(method, address, headers=SAME_ORIGIN, data={} if method == "POST" else None)
        assert (answer.status_code, answer.json()["message"]) == (403, f"Missing permission {permission}")
    admitted = limited.may(permission)
    for method, path in _demands()[permission]:
        if method == "GET":
            assert admitted.get(path.replace("{_id}", "0" * 24)).status_code in (200, 404)


def test_pages_show_only_what_the_viewer_may_do(limited: Limited) -> None:
    browser = limited.may("admin:api:subjects:read")
    page = browser.get("/admin/subjects").text
    assert "Add a subject" not in page
    assert "/admin/roles" not in page
    assert limited.may("api:food:read").get("/admin").status_code == 403
    assert "Administration" not in browser.get("/").text


def test_tokens_of_the_more_powerful_are_not_shown(server: LiveServer) -> None:
    subject = server.admin("POST", "/subjects", {"name": unique("powerful"), "roles": ["admin"]})
    browser, page = Limited(server).may("admin:api:subjects:read"), f"/admin/subjects/{subject['_id']}"
    shown = browser.get(page)
    assert shown.status_code == 200
    assert "This subject may do more than you" in shown.text
    answer = browser.post(f"{page}/token", {"nonce": browser.form("/account", "/logout")["nonce"]})
    assert answer.status_code == 403
    assert subject["accessToken"] not in shown.text + answer.text


def test_nobody_ends_a_session_of_who_holds_more(server: LiveServer) -> None:
    email = f"strong.{time.time_ns()}@x.example"
    add_person(server.installation, email, PASSWORD, "admin", name=email)
    strong, browser = signed_in(server, email), Limited(server).may("admin:api:sessions")
    [place] = re.findall(r"/admin/sessions/[0-9a-f]{24}/end", browser.get(f"/admin/sessions?search={email}").text)
    assert browser.get(place).status_code == 403
    assert browser.post(place, {"nonce": browser.form("/account", "/logout")["nonce"]}).status_code == 403
    assert strong.is_signed_in()


def test_nobody_gives_away_more_than_they_hold(server: LiveServer) -> None:
    limited = Limited(server)
    browser = limited.may("admin:api:subjects", "admin:api:roles", "admin:api:users", "api:entries:read")
    gift = "You cannot give away a permission that you do not hold."
    for kind, fields in (
        ("subjects", {"name": unique("x"), "roles": ["admin"]}),
        ("roles", {"name": unique("x"), "permissions": "*"}),
        ("users", {"email": f"x.{time.time_ns()}@x.example", "roles": ["admin"]}),
    ):
        page = f"/admin/{kind}/add"
        answer = sent(browser, page, page, **fields)
        assert (answer.status_code, said(answer)) == (403, gift)
    powerful = add_person(
        server.installation, f"powerful.{time.time_ns()}@x.example", PASSWORD, "admin", name=unique("powerful")
    )
    place = f"/admin/users/{powerful['_id']}"
    power = "You cannot do this to one who holds a permission that you do not hold."
    for action in ("invite", "change"):
        answer = sent(browser, place, f"{place}/{action}")
        assert (answer.status_code, said(answer)) == (403, power)
    own = added(browser, "subjects", name=unique("x"), roles=limited.roles)
    answer = sent(browser, own, f"{own}/change", name=unique("x"), roles=["readable"])
    assert (answer.status_code, said(answer)) == (403, gift)


def test_the_last_active_administrator_stays(fresh_server: FreshServer, database: str) -> None:
    server = fresh_server(database)
    person = add_person(server.installation, "anna@x.example", PASSWORD, "admin", name="Anna")
    browser = signed_in(server, "anna@x.example")
    place = f"/admin/users/{person['_id']}"
    for action in ("disable", "remove"):
        answer = confirmed(browser, f"{place}/{action}")
        assert (answer.status_code, said(answer)) == (409, "This is the last active administrator; make another one first.")
    page = "/admin/roles/add?name=admin"
    form = browser.form(page, "/admin/roles/add")
    answer = browser.post("/admin/roles/add", {**form, "permissions": "api:entries:read"})
    assert (answer.status_code, said(answer)) == (409, "This is the last active administrator; make another one first.")
    assert browser.is_signed_in()


def test_nothing_happens_without_a_good_nonce(server: LiveServer, anna: Browser) -> None:
    place = added(anna, "subjects", name=unique("kept"), roles=[])
    page = f"{place}/remove"
    fields = anna.form(page, page)
    for data in ({}, {"nonce": ""}, {"nonce": fields["nonce"][:-1]}):
        assert anna.post(page, data).status_code == 403
    assert anna.post(page, fields, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert anna.get(page).status_code == 200
    assert Browser(server).get(page).headers["location"].startswith("/login?next=")
    assert anna.post(page, anna.form(page, page)).status_code == 303


def test_every_page_is_whole(server: LiveServer, anna: Browser) -> None:
    """Whatever can be reached by links is a page, is kept by no cache, and has a nonce in each of its forms."""
    seen: set[str] = set()
    kinds: set[str] = set()
    left: Sequence[str] = ["/admin"]
    done(here(server.installation, "client", "add", unique("application"), "--json"))
    start = anna.get("/admin")
    assert (start.status_code, start.headers["location"]) == (303, "/admin/subjects")
    left = ["/admin/subjects"]
    while left:
        path, *left = left
        kind = re.sub(r"[0-9a-f]{24}", "{}", path)
        if path in seen or kind in {*kinds, "/admin"} or "{}?" in kind:
            continue
        seen.add(path)
        kinds.add(kind)
        answer = anna.get(path)
        assert answer.status_code == 200, path
        assert answer.headers["cache-control"] == "no-store"
        assert not re.search(r'<script(?![^>]* src=)|<style|\s(style|on\w+)="', answer.text), path
        for form in re.findall(r'<form[^>]*method="post".*?</form>', answer.text, re.DOTALL):
            assert 'name="nonce"' in form, path
        links = map(unescape, re.findall(r'href="(/admin[^"]*)"', answer.text))
        left += [each for each in links if "sort=" not in each and "page=" not in each and "search=" not in each]
    assert {
        "/admin/clients/{}/rotate",
        "/admin/subjects/{}/remove",
        "/admin/roles/admin",
        "/admin/users/{}",
        "/admin/state",
    } <= kinds


def test_a_change_of_another_process_is_seen_at_once(fresh_server: FreshServer) -> None:
    server = fresh_server(workers=2)
    add_person(server.installation, "anna@x.example", PASSWORD, "admin", name="Anna")
    server.wait_everywhere(lambda: sign_in(server, "anna@x.example").status_code == 200)
    browser = signed_in(server, "anna@x.example")
    server.wait_everywhere(lambda: browser.get("/admin/subjects").status_code == 200)
    for number in range(6):
        place = added(browser, "subjects", name=f"phone {number}", roles=[])
        assert f"phone {number}" in rows(browser.get("/admin/subjects"))
        assert "is removed" in confirmed(browser, f"{place}/remove").text
        assert f"phone {number}" not in rows(browser.get("/admin/subjects"))
