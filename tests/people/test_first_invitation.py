"""The first start invites the first administrator, who is nobody in particular yet; the invitation is good once."""

import re
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from apiv3.installation import Installation
from apiv3.model.errors import Forbidden
from apiv3.provisioning import revealed
from apiv3.security.accounts.first_invitation import FirstInvitation
from apiv3.settings import load
from tests.support.browsers import Browser, signed_in
from tests.support.factories import FreshServer
from tests.support.people import PASSWORD, add_person, done, trail, user
from tests.support.server import LiveServer

FIELDS = {"email": "anna@x.example", "name": "Anna", "password": PASSWORD}


@pytest.fixture
def fresh(fresh_server: FreshServer, database: str) -> LiveServer:
    return fresh_server(database, workers=2)


def links(server: LiveServer) -> list[str]:
    return re.findall(rf"{re.escape(server.url)}(/invitation/first/\S+)", server.output)


def use(server: LiveServer, path: str, **fields: str) -> httpx.Response:
    browser = Browser(server)
    return browser.post(path, browser.form(path, "") | FIELDS | fields)


def test_it_makes_the_first_administrator_once(fresh: LiveServer) -> None:
    [link] = links(fresh)
    browser = Browser(fresh)
    for method in ("HEAD", "GET", "GET", "OPTIONS"):
        assert browser.request(method, link).status_code in (200, 204)
    answer = browser.post(link, browser.form(link, "") | FIELDS)
    assert answer.status_code == 200, answer.text
    assert "signed in" in answer.text
    [person] = done(user(fresh.installation, "list", "--json"))
    assert (person["email"], person["name"], person["roles"]) == ("anna@x.example", "Anna", ["admin"])
    assert browser.get("/admin").status_code == 303
    assert signed_in(fresh, "anna@x.example").is_signed_in()
    assert Browser(fresh).get(link).status_code == 404
    assert Browser(fresh).post(link, FIELDS).status_code in (403, 404)
    made = trail(fresh.installation, "--action", "account-made")
    assert [(each["actor"]["name"], each["actor"]["way"], each["address"]) for each in made] == [
        ("Anna", "invitation", "127.0.0.1")
    ]
    code = link.rpartition("/")[2]
    assert fresh.output.count(code) == 1  # no line of the access log has it
    fresh.restart()
    assert len(links(fresh)) == 1


def test_one_of_many_at_once_wins(fresh: LiveServer) -> None:
    [link] = links(fresh)
    browsers = [Browser(fresh) for _ in range(6)]
    forms = [browser.form(link, "") for browser in browsers]

    def send(number: int) -> int:
        fields = {"email": f"anna{number}@x.example", "name": f"Anna {number}"}
        return browsers[number].post(link, forms[number] | FIELDS | fields).status_code

    with ThreadPoolExecutor(6) as threads:
        answers = list(threads.map(send, range(6)))
    assert sorted(answers) == [200, *[404] * 5]
    assert len(done(user(fresh.installation, "list", "--json"))) == 1


def test_what_is_wrong_leaves_it_good(fresh_server: FreshServer) -> None:
    server = fresh_server()
    [link] = links(server)
    wrong = [{"email": "anna"}, {"password": "short"}, {"name": "x\u202e"}, {"name": "admin"}, {"password": "password1234"}]
    for fields in wrong:
        answer = use(server, link, **fields)
        assert answer.status_code == 422, answer.text
        assert 'role="alert"' in answer.text
        assert FIELDS["password"] not in answer.text
    assert Browser(server).post(link, FIELDS).status_code == 403  # without the nonce of a form
    for other in (
        link[:-1],
        link + "x",
        link.replace("first/", "first/x"),
        "/invitation/first/x",
        f"/invitation/first/{'x' * 999}",
    ):
        assert Browser(server).get(other).status_code == 404
    assert done(user(server.installation, "list", "--json")) == []
    assert use(server, link, email="", name="").status_code == 422
    assert use(server, link).status_code == 200


def test_an_account_by_another_way_ends_it(fresh_server: FreshServer) -> None:
    server = fresh_server()
    [link] = links(server)
    add_person(server.installation, "ben@x.example", name="Ben")
    late = Browser(server).get(link)
    assert (late.status_code, "apiv3 user add" in late.text) == (404, True)


def test_it_begins_with_the_public_url(fresh_server: FreshServer) -> None:
    server = fresh_server(env={"PUBLIC_URL": "https://data.example.org"})
    assert "    https://data.example.org/invitation/first/" in server.output
    assert f"{server.url}/invitation" not in server.output


async def test_it_is_good_for_72_hours(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(database_url="sqlite:///nowhere", api_secret="x" * 12, jwt_key="x" * 32, hub_key="x" * 43)
    first = FirstInvitation(revealed(settings.jwt_key), Installation(settings).accounts)
    code, now = first.code(), time.time()

    async def nobody() -> bool:
        return True

    monkeypatch.setattr(first._accounts, "is_empty", nobody)
    await first.check(code)
    monkeypatch.setattr(time, "time", lambda: now + 72 * 3600 - 5)
    await first.check(code)
    monkeypatch.setattr(time, "time", lambda: now + 72 * 3600 + 5)
    with pytest.raises(Forbidden):
        await first.check(code)
