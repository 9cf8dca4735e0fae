"""People under /api/v2/authorization/users, on both databases."""

import time
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any

import httpx
import pytest

from tests.support.browsers import choose_password
from tests.support.callers import Caller, refusal
from tests.support.factories import FreshServer
from tests.support.people import PASSWORD, add_person, done, sign_in, token, trail, user
from tests.support.server import LiveServer

FIELDS = ["_id", "name", "email", "roles", "groups", "ous", "disabled", "created_at"]
REFUSED = {"status": 401, "message": "Unauthorized", "description": "Invalid/Missing"}
ACTIONS = ("read", "create", "update", "delete")
POWER = "You cannot do this to one who holds a permission that you do not hold"
GIFT = "You cannot give away a permission that you do not hold"
LAST = "This is the last active administrator; make another one first"
_numbers = count()


@pytest.fixture(scope="module")
def administrator(server: LiveServer) -> Caller:
    return Caller(server, "users", "*")


@pytest.fixture
def email(server: LiveServer) -> str:
    return f"anna.{next(_numbers)}.{server.port}@x.example"


def test_a_person_from_beginning_to_end(server: LiveServer, administrator: Caller, email: str) -> None:
    added = administrator.made("POST", json={"email": email.upper(), "name": email, "roles": ["readable", "careportal"]})
    assert list(added) == [*FIELDS, "invitation"]
    assert (added["name"], added["roles"], added["disabled"]) == (email, ["readable", "careportal"], False)
    shown = {name: added[name] for name in FIELDS}
    assert done(user(server.installation, "show", email, "--json")) == shown
    assert shown in administrator.made("GET")
    assert choose_password(server.url + added["invitation"]).status_code == 200
    good = token(server, email)

    changed = administrator.made("PUT", json={"_id": added["_id"], "roles": "activity", "email": f"x{email}", "name": None})
    assert changed == {**shown, "roles": ["activity"], "email": f"x{email}"}
    assert sign_in(server, email).status_code == 401

    invited = administrator.made("POST", f"/{added['_id']}/invitation")
    assert list(invited) == [*FIELDS, "invitation"]
    assert invited["invitation"] != added["invitation"]
    assert administrator.made("PUT", json={"_id": added["_id"], "disabled": True}) == {**changed, "disabled": True}
    assert httpx.get(server.url + invited["invitation"], trust_env=False).status_code == 404
    assert sign_in(server, f"x{email}").status_code == 401
    assert administrator.ask("POST", f"/{added['_id']}/invitation").status_code == 409
    assert administrator.made("PUT", json={**changed, "disabled": False}) == changed
    assert sign_in(server, f"x{email}").status_code == 200
    now = {"now": time.time_ns() // 1_000_000}
    answer = httpx.get(f"{server.url}/api/v3/status", params=now, headers={"Authorization": good}, trust_env=False)
    assert answer.status_code == 401

    assert administrator.made("DELETE", f"/{added['_id']}") == {}
    assert administrator.ask("DELETE", f"/{added['_id']}").status_code == 404
    assert added["_id"] not in {each["_id"] for each in administrator.made("GET")}
    entries = trail(server.installation, "--target", added["_id"])
    assert [each["action"] for each in entries if each["action"] != "sign-in"] == [
        "account-made",
        "invitation-made",
        "invitation-used",
        "account-changed",
        "invitation-made",
        "account-changed",
        "account-disabled",
        "account-changed",
        "account-enabled",
        "account-removed",
    ]
    assert {each["actor"]["way"] for each in entries if each["action"].startswith("account")} == {"access token"}


def test_nothing_is_kept_by_caches(administrator: Caller, email: str) -> None:
    added = administrator.ask("POST", json={"email": email, "roles": ["readable"]})
    answers = [added, administrator.ask("GET"), administrator.ask("POST", f"/{added.json()['_id']}/invitation")]
    answers += [administrator.ask("PUT", json={}), administrator.ask("DELETE", "/x")]
    assert {answer.headers["cache-control"] for answer in answers} == {"no-store"}


def test_a_secret_is_nowhere_in_the_log(server: LiveServer, administrator: Caller, email: str) -> None:
    path = administrator.made("POST", json={"email": email, "roles": ["readable"]})["invitation"]
    httpx.get(server.url + path, trust_env=False)
    assert path.rpartition("/")[2] not in server.output
    assert path.rpartition("/")[2] not in str(trail(server.installation))


BAD: list[tuple[str, dict[str, Any]]] = [
    ("POST", {"roles": ["readable"]}),
    ("POST", {"email": "no address", "roles": ["readable"]}),
    ("POST", {"email": 7, "roles": ["readable"]}),
    ("POST", {"email": "a@x.example"}),
    ("POST", {"email": "a@x.example", "roles": []}),
    ("POST", {"email": "a@x.example", "roles": None}),
    ("POST", {"email": "a@x.example", "roles": ["nonsense"]}),
    ("POST", {"email": "a@x.example", "roles": [7]}),
    ("POST", {"email": "a@x.example", "roles": ["readable"], "name": "x\n"}),
    ("POST", {"email": "a@x.example", "roles": ["readable"], "name": 7}),
    ("PUT", {"email": "no address"}),
    ("PUT", {"email": ""}),
    ("PUT", {"name": ""}),
    ("PUT", {"roles": []}),
    ("PUT", {"roles": ["nonsense"]}),
    ("PUT", {"disabled": "true"}),
    ("PUT", {"disabled": 0}),
]


@pytest.fixture(scope="module")
def somebody(server: LiveServer) -> dict[str, Any]:
    return add_person(server.installation, f"somebody.{time.time_ns()}@x.example", name=f"somebody {time.time_ns()}")


@pytest.mark.parametrize(("method", "body"), BAD)
def test_what_is_no_good_is_refused(method: str, body: dict[str, Any], administrator: Caller, somebody: dict[str, Any]) -> None:
    before = administrator.made("GET")
    answer = administrator.ask(method, json={"_id": somebody["_id"], **body} if method == "PUT" else body)
    assert answer.status_code == 400, answer.text
    assert administrator.made("GET") == before


def test_what_is_taken_or_unknown(administrator: Caller, somebody: dict[str, Any], email: str) -> None:
    for taken in ({"email": somebody["email"].upper()}, {"email": email, "name": somebody["name"]}):
        assert administrator.ask("POST", json={"roles": ["readable"], **taken}).status_code == 409
    unknown = "0" * 24
    assert administrator.ask("PUT", json={"_id": unknown, "name": "x"}).status_code == 404
    assert administrator.ask("PUT", json={"name": "x"}).status_code in (400, 404)
    assert administrator.ask("POST", f"/{unknown}/invitation").status_code == 404
    assert administrator.ask("DELETE", f"/{unknown}").status_code == 404


@pytest.mark.parametrize("action", ACTIONS)
def test_each_action_has_its_permission(action: str, server: LiveServer, somebody: dict[str, Any]) -> None:
    """Each is refused to who holds all the others, and a subject is no person here."""
    caller = Caller(server, "users", *(f"admin:api:users:{other}" for other in ACTIONS if other != action))
    requests: dict[str, list[tuple[str, str, Any]]] = {
        "read": [("GET", "", None)],
        "create": [("POST", "", {"email": "refused@x.example", "roles": ["denied"]})],
        "update": [("PUT", "", {"_id": somebody["_id"]}), ("POST", f"/{somebody['_id']}/invitation", None)],
        "delete": [("DELETE", f"/{somebody['_id']}", None)],
    }
    for method, path, body in requests[action]:
        answer = caller.ask(method, path, body)
        assert (answer.status_code, answer.json()) == (401, REFUSED)


def test_nobody_gives_away_more_than_they_hold(server: LiveServer, email: str) -> None:
    limited = Caller(server, "users", "admin:api:users", "api:entries:read")
    [own] = [each["roles"] for each in server.admin("GET", "/subjects") if each["name"] == limited.name]
    powerful = add_person(server.installation, email, PASSWORD, "admin", name=email)
    assert refusal(limited.ask("POST", json={"email": f"x{email}", "roles": ["readable"]})) == (403, GIFT)
    made = limited.made("POST", json={"email": f"x{email}", "roles": own})
    for roles in (["admin"], [*own, "readable"]):
        assert refusal(limited.ask("PUT", json={"_id": made["_id"], "roles": roles})) == (403, GIFT)
    assert refusal(limited.ask("POST", f"/{powerful['_id']}/invitation")) == (403, POWER)
    assert limited.made("POST", f"/{made['_id']}/invitation")["roles"] == own
    assert limited.made("PUT", json={"_id": made["_id"], "roles": ["denied"]})["roles"] == ["denied"]


def test_nobody_changes_who_holds_more(server: LiveServer, email: str) -> None:
    limited = Caller(server, "users", "admin:api:users", "admin:api:subjects", "api:entries:read")
    strong = add_person(server.installation, email, PASSWORD, "admin", name=email)
    changes: list[dict[str, Any]] = [{"name": f"y{email}"}, {"email": f"y{email}"}, {"roles": ["denied"]}]
    for change in [*changes, {"disabled": True}, {"disabled": False}]:
        assert refusal(limited.ask("PUT", json={"_id": strong["_id"], **change})) == (403, POWER)
    assert refusal(limited.ask("DELETE", f"/{strong['_id']}")) == (403, POWER)
    assert refusal(limited.ask("POST", f"/{strong['_id']}/invitation")) == (403, POWER)
    assert sign_in(server, email).status_code == 200


def test_an_unused_invitation_ends_when_the_person_gains_a_role(server: LiveServer, email: str) -> None:
    def invited(number: int) -> tuple[str, str]:
        body = {"email": f"{number}{email}", "roles": ["denied", "careportal"]}
        made = server.admin("POST", "/users", body)
        return made["_id"], server.url + made["invitation"]

    def status(link: str) -> int:
        return httpx.get(link, trust_env=False).status_code

    (by_users, link), (by_subjects, other) = invited(1), invited(2)
    server.admin("PUT", "/users", {"_id": by_users, "roles": ["careportal"]})
    assert [status(link), status(other)] == [200, 200]
    server.admin("PUT", "/users", {"_id": by_users, "roles": ["careportal", "readable"]})
    server.admin("PUT", "/subjects", {"_id": by_subjects, "name": f"2{email}", "roles": ["readable"]})
    assert [status(link), status(other)] == [404, 404]


def test_an_unused_invitation_ends_when_a_role_of_the_person_gains_a_permission(server: LiveServer, email: str) -> None:
    role = server.admin("POST", "/roles", {"name": f"role of {email}", "permissions": ["api:entries:read", "api:food:read"]})
    links: list[str] = []
    for name in (role["name"], "readable"):
        made = server.admin("POST", "/users", {"email": f"{len(links)}{email}", "roles": [name]})
        links.append(server.url + made["invitation"])

    def statuses() -> list[int]:
        return [httpx.get(link, trust_env=False).status_code for link in links]

    server.admin("PUT", "/roles", {**role, "permissions": ["api:food:read"], "notes": "It loses one."})
    assert statuses() == [200, 200]
    server.admin("PUT", "/roles", {**role, "permissions": ["api:food:read", "api:entries:create"]})
    assert statuses() == [404, 200]


# --- the last administrator


@pytest.fixture
def crowd(fresh_server: FreshServer, database: str) -> LiveServer:
    return fresh_server(database, workers=2)


def test_the_last_active_administrator_stays(crowd: LiveServer) -> None:
    caller = Caller(crowd, "users", "*")
    ben, eve = (add_person(crowd.installation, f"{name}@x.example", PASSWORD, "admin", name=name) for name in ("ben", "eve"))
    known = {ben["_id"], eve["_id"]}
    crowd.wait_everywhere(lambda: known <= {each["_id"] for each in caller.made("GET")})

    def disable(person: dict[str, Any]) -> int:
        return caller.ask("PUT", json={"_id": person["_id"], "disabled": True}).status_code

    with ThreadPoolExecutor(2) as threads:
        both = list(threads.map(disable, (ben, eve)))
    assert sorted(both) == [200, 409]
    left = (ben, eve)[both.index(409)]
    ways = [("PUT", "", {"_id": left["_id"], "disabled": True}), ("PUT", "", {"_id": left["_id"], "roles": ["readable"]})]
    for method, path, body in [*ways, ("DELETE", f"/{left['_id']}", None)]:
        assert refusal(caller.ask(method, path, body)) == (409, LAST)
    assert sign_in(crowd, left["email"]).status_code == 200
    other = (ben, eve)[both.index(200)]
    assert caller.made("PUT", json={"_id": other["_id"], "disabled": False})["disabled"] is False
    assert caller.made("PUT", json={"_id": left["_id"], "roles": ["readable"]})["roles"] == ["readable"]
