"""The server as two processes: one for logins, one for the data, on one database."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from apiv3.app import Server
from apiv3.installation import Installation as Built
from apiv3.settings import load
from apiv3.web.halves import half_of
from tests.support.browsers import signed_in
from tests.support.factories import NewDatabase
from tests.support.installation import Installation
from tests.support.oauth2 import call, register, tokens
from tests.support.people import PASSWORD, add_person, sign_in
from tests.support.server import LiveServer
from tests.support.waiting import wait_until

SHARED = {"/api/v3/version", "/api/v3/version.json", "/healthz"}
KEY = "k" * 43


@dataclass
class Halves:
    login: LiveServer
    api: LiveServer


@pytest.fixture(scope="module")
def halves(database: str, new_database: NewDatabase, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Halves]:
    """Each half has a data directory of its own, and so only the secrets that it was given or has made."""
    with new_database(database, migrated=True) as url:
        login = Installation(tmp_path_factory.mktemp("login"), url, {"JWT_KEY": KEY, "PUBLIC_URL": "https://data.example"})
        api = Installation(tmp_path_factory.mktemp("api"), url, login.settings, login.secret)
        servers = LiveServer(login, arguments=("--only", "login")), LiveServer(api, arguments=("--only", "api"))
        try:
            for server in servers:
                server.start()
            yield Halves(*servers)
        finally:
            for server in servers:
                server.stop()


def paths() -> list[str]:
    """The path of every route that answers GET or POST, with something in the place of its parameter."""
    secrets = {"api_secret": SecretStr("x" * 12), "jwt_key": SecretStr("x" * 32), "hub_key": SecretStr("x" * 43)}
    routes = Server(Built(load(database_url="sqlite:///nowhere", **secrets))).routes()
    return sorted({route.path for route in routes})


@pytest.mark.parametrize("path", paths())
def test_every_route_belongs_to_a_half(path: str) -> None:
    assert half_of(path) in ("login", "api") or path in SHARED or path.startswith("/static/")


def test_a_collection_with_a_similar_name_belongs_to_the_data() -> None:
    assert half_of("/api/v3/versions") == "api"


def test_every_route_is_at_one_half_or_both(halves: Halves) -> None:
    """What a half does not serve is answered like what there is not."""
    for path in paths():
        url = re.sub(r"\{[^}]*\}", "5f5f5f5f5f5f5f5f5f5f5f5f", path)
        methods = {server: httpx.options(server.url + url, trust_env=False) for server in (halves.login, halves.api)}
        unknown = {server for server, answer in methods.items() if answer.status_code == 404}
        served = {"login": {halves.api}, "api": {halves.login}, None: set()}[half_of(path)]
        assert unknown == served, path
        for server in unknown:
            answer = httpx.get(server.url + url, trust_env=False)
            assert (answer.status_code, answer.json()["message"]) == (404, "Bad operation or collection")


def test_both_say_that_they_are_there(halves: Halves) -> None:
    for server in (halves.login, halves.api):
        health = httpx.get(f"{server.url}/healthz", trust_env=False)
        assert (health.status_code, health.json()) == (200, {"status": "ok"})
        assert httpx.get(f"{server.url}/api/v3/version", trust_env=False).json()["result"]["apiVersion"]


def test_each_has_only_the_secrets_that_it_needs(halves: Halves) -> None:
    def made(server: LiveServer) -> set[str]:
        return {path.name for path in Path(server.installation.data).iterdir() if "key" in path.name or "secret" in path.name}

    assert made(halves.login) == set()
    assert made(halves.api) == {"hub_key"}


def test_who_signs_in_at_one_is_known_at_the_other_until_the_end(halves: Halves) -> None:
    email = "anna@x.example"
    add_person(halves.login.installation, email, PASSWORD, "readable")
    browser = signed_in(halves.login, email)
    cookies = dict(browser.cookies)

    def status() -> int:
        return httpx.get(f"{halves.api.url}/api/v3/entries", cookies=cookies, trust_env=False).status_code

    assert status() == 200
    assert 'href="/account"' in browser.get("/").text
    browser.post("/logout", browser.form("/account", "/logout"))
    wait_until(lambda: status() == 401)


def test_a_user_token_of_one_works_at_the_other_until_the_end(halves: Halves) -> None:
    email = "ben@x.example"
    person = add_person(halves.login.installation, email, PASSWORD, "readable")
    token = sign_in(halves.login, email).json()["auth_token"]
    client, headers = halves.api.client(), {"Authorization": f"Bearer {token}"}
    assert client.get("/api/v3/entries", headers=headers).status_code == 200
    halves.api.admin("PUT", "/users", {"_id": person["_id"], "disabled": True})
    wait_until(lambda: client.get("/api/v3/entries", headers=headers).status_code == 401)
    assert sign_in(halves.login, email).status_code == 401


def test_an_application_gets_its_token_at_one_and_uses_it_at_the_other(halves: Halves) -> None:
    application = register(halves.login, "--role", "readable", "--scope", "read", redirect="", name="algorithm")
    access = tokens(application.token("client_credentials"))["access_token"]
    assert call(halves.api, access).status_code == 200
    assert application.post("/oauth/revoke", {"token": access}).status_code == 200
    wait_until(lambda: call(halves.api, access).status_code == 401)
