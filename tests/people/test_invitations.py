"""An invitation sets a password, once; whoever only looks at it leaves it as it is."""

import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.support.browsers import choose_password, forms
from tests.support.people import PASSWORD, add_person, done, sign_in, token, trail, user
from tests.support.server import LiveServer


def invited(server: LiveServer, email: str = "anna@x.example") -> str:
    """The link of a new person, at this server."""
    return server.url + str(add_person(server.installation, email, None, name=email)["invitation"])


def ask(method: str, link: str, **options: object) -> httpx.Response:
    return httpx.request(method, link, trust_env=False, verify=False, **options)  # type: ignore[arg-type]


def test_it_is_good_once_however_often_it_was_looked_at(pair: LiveServer) -> None:
    link = invited(pair, "anna@x.example")
    for method in ("HEAD", "GET", "GET", "OPTIONS"):
        assert ask(method, link).status_code in (200, 204)
    form = ask("GET", link)
    assert "anna@x.example" in form.text
    assert form.headers["content-type"] == "text/html; charset=utf-8"
    assert form.headers["cache-control"] == "no-store"
    assert form.headers["referrer-policy"] == "no-referrer"
    assert sign_in(pair, "anna@x.example").status_code == 401
    assert choose_password(link).status_code == 200
    assert sign_in(pair, "anna@x.example").status_code == 200
    assert [ask("GET", link).status_code, choose_password(link, "another long secret").status_code] == [404, 404]
    assert sign_in(pair, "anna@x.example").status_code == 200
    assert link.rpartition("/")[2] not in pair.output


def test_one_of_many_at_once_wins(pair: LiveServer) -> None:
    link = invited(pair, "ann@x.example")
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda n: choose_password(link, f"the choice of number {n}").status_code, range(8)))
    assert sorted(answers) == [200, *[404] * 7]
    used = trail(pair.installation, "--action", "invitation-used")
    assert len([each for each in used if each["target"]["email"] == "ann@x.example"]) == 1
    winner = answers.index(200)
    assert sign_in(pair, "ann@x.example", f"the choice of number {winner}").status_code == 200


FORMS = ["", "password=", "password=short", "password=a&password=b", "password=password1234", "password=%ff%ff%ff", "a=b"]


@pytest.mark.parametrize("form", FORMS)
def test_a_bad_password_leaves_it_good(form: str, server: LiveServer) -> None:
    email = f"form.{FORMS.index(form)}.{server.port}@x.example"
    link = invited(server, email)
    with httpx.Client(trust_env=False) as client:
        nonce = forms(client.get(link).text, "")[0]["nonce"]
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        refused = client.post(link, content=f"nonce={nonce}&{form}", headers=headers)
    assert refused.status_code == 422
    assert 'role="alert"' in refused.text
    assert '<form method="post">' in refused.text
    assert choose_password(link).status_code == 200
    assert sign_in(server, email).status_code == 200


def test_its_form_needs_a_nonce(server: LiveServer) -> None:
    """Neither another site nor another browser can choose the password, and the invitation stays good."""
    email = f"nonce.{server.port}@x.example"
    link = invited(server, email)
    with httpx.Client(trust_env=False) as other, httpx.Client(trust_env=False) as client:
        foreign = forms(other.get(link).text, "")[0]["nonce"]
        own = forms(client.get(link).text, "")[0]["nonce"]
        for nonce in ("", "guessed", foreign):
            refused = client.post(link, data={"nonce": nonce, "password": PASSWORD})
            assert (refused.status_code, len(forms(refused.text, ""))) == (403, 1)
        cross = client.post(link, data={"nonce": own, "password": PASSWORD}, headers={"Sec-Fetch-Site": "cross-site"})
        assert cross.status_code == 403
    assert sign_in(server, email).status_code == 401
    assert choose_password(link).status_code == 200


ENDS = {
    "a newer one": ("user", "invite"),
    "a password": ("user", "password"),
    "disabling": ("user", "disable"),
    "removal": ("user", "remove"),
}


@pytest.mark.parametrize("way", ENDS)
def test_what_ends_it(way: str, server: LiveServer) -> None:
    email = f"{way.replace(' ', '.')}.{server.port}@x.example"
    link = invited(server, email)
    assert ask("GET", link).status_code == 200
    done(user(server.installation, ENDS[way][1], email, "--json", password=PASSWORD if way == "a password" else None))
    assert [ask("GET", link).status_code, choose_password(link).status_code] == [404, 404]
    if way == "disabling":
        assert user(server.installation, "invite", email).status == 1
        assert user(server.installation, "enable", email).status == 0
        assert ask("GET", link).status_code == 404


@pytest.mark.parametrize("code", ["x", "%00", "%ff", "a" * 3000, "..%2f..", "'"])
def test_what_is_no_invitation(code: str, server: LiveServer) -> None:
    assert choose_password(f"{server.url}/invitation/{code}").status_code in (400, 404)
    assert ask("GET", f"{server.url}/invitation/{code}").status_code in (400, 404)


def test_it_ends_what_was_open_before(server: LiveServer) -> None:
    email = f"before.{server.port}@x.example"
    add_person(server.installation, email, name=email)
    before = token(server, email)
    link = server.url + done(user(server.installation, "invite", email, "--json"))["invitation"]
    headers = {"Authorization": before}
    now = "/api/v3/status?now=" + str(time.time_ns() // 1_000_000)
    assert ask("GET", server.url + now, headers=headers).status_code == 200
    assert choose_password(link, "another long secret").status_code == 200
    assert ask("GET", server.url + now, headers=headers).status_code == 401
    [used] = [each for each in trail(server.installation, "--action", "invitation-used") if email in str(each)]
    assert (used["actor"]["name"], used["actor"]["way"], used["address"]) == (email, "invitation", "127.0.0.1")


def test_no_header_gets_into_a_link(server: LiveServer) -> None:
    link = invited(server, f"header.{server.port}@x.example")
    for name in ("Host", "X-Forwarded-Host"):
        assert "evil" not in ask("GET", link, headers={name: "evil.example"}).text
