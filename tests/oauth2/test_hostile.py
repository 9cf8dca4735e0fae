"""Made-up requests to every endpoint of OAuth2, and where secrets may not be found."""

import sqlite3
from collections.abc import Iterator
from urllib.parse import urlencode

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.browsers import Browser
from tests.support.factories import FreshServer
from tests.support.oauth2 import CALLBACK, DEVICE_CODE, Application, browser_of, new_person, register, tokens
from tests.support.server import LiveServer

NAMES = st.sampled_from(
    [
        *(
            "response_type",
            "client_id",
            "redirect_uri",
            "scope",
            "state",
            "code_challenge",
            "code_challenge_method",
            "decision",
        ),
        *("grant_type", "code", "code_verifier", "client_secret", "refresh_token", "username", "password", "device_code"),
        *("token", "token_type_hint", "access_token", "nonce", "user_code", "decision", "nonsense"),
    ]
)
GOOD = st.sampled_from(
    [
        *("code", CALLBACK, "read", "S256", "x" * 43, "authorization_code", "client_credentials", "refresh_token", "password"),
        *(DEVICE_CODE, "allow", "deny", "http://127.0.0.1:1/callback", "at_x", "rt_x", "BBBB-BBBB"),
    ]
)
VALUES = GOOD | st.text(max_size=60) | st.just("x" * 5000) | st.just("\x00") | st.just("'; DROP TABLE grants; --")
FORMS = st.lists(st.tuples(NAMES, VALUES), max_size=12)
POSTS = ["/oauth/token", "/oauth/revoke", "/oauth/introspect", "/oauth/tokeninfo", "/oauth/device_authorization"]
PAGES = ["/oauth/authorize", "/device", "/device/decide"]
MANY = settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@pytest.fixture(scope="module")
def hit(database: str, lasting_server: FreshServer) -> Iterator[tuple[LiveServer, Application, Browser]]:
    """A server, a client whose credentials are sometimes right, and a browser on which a person is signed in."""
    server = lasting_server(database, env={"OAUTH_PASSWORD_GRANT": "true"})
    grants = ("authorization_code", "refresh_token", "client_credentials", "password", "device_code")
    app = register(server, *(option for grant in grants for option in ("--grant", grant)))
    yield server, app, browser_of(server, new_person(server))
    assert "Traceback" not in server.output


@given(path=st.sampled_from(POSTS), form=FORMS, authenticated=st.booleans(), raw=st.none() | st.binary(max_size=200))
@MANY
def test_no_form_of_a_program_is_more_than_refused(
    hit: tuple[LiveServer, Application, Browser], path: str, form: list[tuple[str, str]], authenticated: bool, raw: bytes | None
) -> None:
    server, app, _ = hit
    own = [("client_id", app.id), ("client_secret", str(app.secret))] if authenticated else []
    sent = [pair for pair in form if not (authenticated and pair[0].startswith("client_"))] + own
    body = urlencode(sent, errors="surrogatepass").encode() if raw is None else raw
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = httpx.post(server.url + path, content=body, headers=headers, trust_env=False, timeout=60)
    assert answer.status_code in (200, 400, 401, 413, 429), answer.text
    if answer.status_code != 200:
        assert answer.json().keys() == {"error", "error_description"}


@given(path=st.sampled_from(PAGES), query=FORMS, known=st.booleans(), form=st.none() | FORMS)
@MANY
def test_no_page_leads_to_what_is_not_registered(
    hit: tuple[LiveServer, Application, Browser],
    path: str,
    query: list[tuple[str, str]],
    known: bool,
    form: list[tuple[str, str]] | None,
) -> None:
    _, app, browser = hit
    sent = [("client_id", app.id), *((name, value) for name, value in query if name != "client_id")] if known else query
    address = f"{path}?{urlencode(sent, errors='surrogatepass')}"
    answer = browser.get(address) if form is None else browser.post(address, dict(form))
    assert answer.status_code < 500, answer.text
    location = answer.headers.get("location")
    assert location is None or location.startswith((f"{CALLBACK}?", "/login?"))


def test_secrets_are_neither_in_the_database_nor_in_the_log(fresh_server: FreshServer) -> None:
    server = fresh_server("sqlite")
    app = register(server, "--scope", "read", "--scope", "offline_access")
    watch = register(server, "--public", redirect="")
    browser = browser_of(server, new_person(server))
    code = app.code(browser, scope="read offline_access")
    issued = tokens(app.exchange(code))
    refreshed = tokens(app.refresh(issued["refresh_token"]))
    begun = tokens(watch.post("/oauth/device_authorization"))
    for token in (issued["access_token"], refreshed["refresh_token"]):
        httpx.get(f"{server.url}/api/v3/entries", params={"token": token, "x": token}, trust_env=False, timeout=60)
        httpx.get(f"{server.url}/oauth/tokeninfo", params={"access_token": token}, trust_env=False, timeout=60)
        httpx.get(f"{server.url}/nowhere/{token}", trust_env=False, timeout=60)
    with sqlite3.connect(server.installation.database_url.removeprefix("sqlite:///")) as database:
        stored = "\n".join(database.iterdump())
    secrets = [code, *(each[kind] for each in (issued, refreshed) for kind in ("access_token", "refresh_token"))]
    for secret in (*secrets, str(app.secret), begun["device_code"]):
        assert secret not in stored
        assert secret not in server.output
