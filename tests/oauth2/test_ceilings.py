"""An application of an administrator administers only as far as its scopes go, on both databases."""

from typing import Any

import pytest

from tests.support.browsers import Browser
from tests.support.oauth2 import Application, browser_of, call, new_person, register
from tests.support.people import add_person, done, user
from tests.support.server import LiveServer
from tests.support.wire import unique

ADMINISTRATION = "/api/v2/authorization"
EVERYTHING = ("read", "write", "execute", "offline_access")


@pytest.fixture
def browser(pair: LiveServer) -> Browser:
    """The browser of an administrator."""
    return browser_of(pair, new_person(pair, "admin"))


def app_for(pair: LiveServer, *scopes: str) -> Application:
    return register(pair, *(option for scope in scopes for option in ("--scope", scope)))


@pytest.fixture
def targets(pair: LiveServer) -> dict[str, dict[str, Any]]:
    """What an administrator changes: for each kind a change that is harmless."""
    names = {kind: unique(kind) for kind in ("subjects", "roles", "users", "clients")}
    pair.subject(names["subjects"], "api:food:read")
    role = pair.admin("POST", "/roles", {"name": names["roles"], "permissions": ["api:food:read"]})
    person = add_person(pair.installation, f"{names['users']}@x.example", None, names["roles"], name=names["users"])
    client = pair.admin("POST", "/clients", {"name": names["clients"], "roles": [names["roles"]]})
    [subject] = [each for each in pair.admin("GET", "/subjects") if each["name"] == names["subjects"]]
    return {
        "subjects": {"_id": subject["_id"], "name": names["subjects"], "roles": subject["roles"], "notes": "changed"},
        "roles": {"_id": role["_id"], "name": names["roles"], "permissions": ["api:food:read"], "notes": "changed"},
        "users": {"_id": person["id"] if "id" in person else person["_id"], "name": f"{names['users']}!"},
        "clients": {"_id": client["_id"], "notes": "changed"},
    }


@pytest.mark.parametrize("kind", ["subjects", "roles", "users", "clients"])
def test_who_may_not_administer_by_scope_changes_nothing(
    pair: LiveServer, browser: Browser, targets: dict[str, dict[str, Any]], kind: str
) -> None:
    others = [f"admin:api:{each}:update" for each in targets if each != kind]
    app = app_for(pair, "read", "write", *others, f"admin:api:{kind}:update", f"admin:api:{kind}:read")
    path = f"{ADMINISTRATION}/{kind}"
    for scope in ("read write", " ".join(others), f"admin:api:{kind}:read"):
        narrow = app.connected(browser, scope=scope)["access_token"]
        for method in ("PUT", "POST"):
            assert call(pair, narrow, method, path, json=targets[kind]).status_code == 401, scope
        assert call(pair, narrow, "DELETE", f"{path}/{targets[kind]['_id']}").status_code == 401
    wide = app.connected(browser, scope=f"admin:api:{kind}:update")["access_token"]
    answer = call(pair, wide, "PUT", path, json=targets[kind])
    # It may change, but not one who may read food, which is not in its scope. The role is nobody yet.
    assert answer.status_code == (200 if kind == "roles" else 403), answer.text
    everything = app_for(pair, *EVERYTHING).connected(browser, scope=" ".join(EVERYTHING))["access_token"]
    assert call(pair, everything, "PUT", path, json=targets[kind]).status_code == 200


GIFTS = {
    "subjects": {"roles": ["admin"]},
    "roles": {"permissions": ["*"]},
    "users": {"roles": ["admin"]},
    "clients": {"roles": ["admin"]},
}


@pytest.mark.parametrize("kind", list(GIFTS))
def test_nobody_gives_away_by_an_application_what_it_may_not_do(
    pair: LiveServer, browser: Browser, targets: dict[str, dict[str, Any]], kind: str
) -> None:
    """The person may do everything, the application may administer and read food: it gives nobody more than that."""
    scopes = (f"admin:api:{kind}", "api:food:read")
    token = app_for(pair, *scopes).connected(browser, scope=" ".join(scopes))["access_token"]
    path = f"{ADMINISTRATION}/{kind}"
    assert call(pair, token, "PUT", path, json=targets[kind] | GIFTS[kind]).status_code == 403
    made = {"name": unique("gift"), "email": f"{unique('gift')}@x.example", **GIFTS[kind]}
    assert call(pair, token, "POST", path, json=made).status_code == 403
    assert made["name"] not in call_names(pair, kind)


def call_names(pair: LiveServer, kind: str) -> list[str]:
    return [each["name"] for each in pair.admin("GET", f"/{kind}")]


def test_a_token_that_administers_reads_no_secrets_beyond_its_scopes(pair: LiveServer, browser: Browser) -> None:
    """`execute` administers, but reads no documents: a subject that may would be a way around the ceiling."""
    app = app_for(pair, "execute")
    pair.subject(f"phone {app.id}", "api:entries:read")
    token = app.connected(browser, scope="execute")["access_token"]
    pair.wait_everywhere(lambda: call(pair, token, path=f"{ADMINISTRATION}/subjects").status_code == 200)
    subjects = call(pair, token, path=f"{ADMINISTRATION}/subjects").json()
    [phone] = [each for each in subjects if each["name"] == f"phone {app.id}"]
    assert "accessToken" not in phone
    assert call(pair, token, "POST", f"{ADMINISTRATION}/subjects/{phone['_id']}/rotate").status_code == 403
    assert call(pair, token).status_code == 403


def test_nobody_is_an_administrator_by_an_application_any_longer(pair: LiveServer) -> None:
    email = new_person(pair, "admin")
    app, browser = app_for(pair, *EVERYTHING), browser_of(pair, email)
    token = app.connected(browser, scope=" ".join(EVERYTHING))["access_token"]
    pair.wait_everywhere(lambda: call(pair, token, path=f"{ADMINISTRATION}/users").status_code == 200)
    done(user(pair.installation, "change", email, "--role", "readable", "--json"))
    pair.wait_everywhere(lambda: call(pair, token, path=f"{ADMINISTRATION}/users").status_code == 401)
    assert call(pair, token).status_code == 200
