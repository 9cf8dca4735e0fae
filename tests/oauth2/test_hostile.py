"""Made-up requests to every endpoint of OAuth2, and where secrets may not be found."""

import asyncio
from collections.abc import Iterator
from urllib.parse import urlencode

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apiv3.security.secrets import stored_digest
from apiv3.storage.database import Database
from tests.support.browsers import SAME_ORIGIN, Browser, forms
from tests.support.factories import FreshServer
from tests.support.oauth2 import CALLBACK, DEVICE_CODE, Application, browser_of, decide_device, new_person, register, tokens
from tests.support.people import PASSWORD
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
GRANTS = ("authorization_code", "refresh_token", "client_credentials", "password", "device_code")
ALL = [option for grant in GRANTS for option in ("--grant", grant)]
MANY = settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@pytest.fixture(scope="module")
def hit(database: str, lasting_server: FreshServer) -> Iterator[tuple[LiveServer, Application, Browser]]:
    """A server, a client whose credentials are sometimes right, and a browser on which a person is signed in."""
    server = lasting_server(database, env={"OAUTH_PASSWORD_GRANT": "true"})
    app = register(server, *ALL)
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


ODD = st.sampled_from(
    ["\ud800", "x\udfff", "\ud83d", "y" * 65_536, "%", "\r\nLocation: https://evil.example/", "\u202e", "\x00"]
)
TYPES = st.sampled_from(
    [
        *("application/x-www-form-urlencoded", "application/x-www-form-urlencoded; charset=utf-16", "multipart/form-data"),
        *("multipart/form-data; boundary=x", "application/json", "text/plain", "", "x" * 300),
    ]
)
LIVE = st.lists(st.tuples(NAMES, VALUES | ODD), max_size=6)


@given(path=st.sampled_from(PAGES), fields=LIVE, kind=TYPES, twice=st.booleans())
@MANY
def test_no_form_with_a_good_nonce_leads_to_what_is_not_registered(
    hit: tuple[LiveServer, Application, Browser], path: str, fields: list[tuple[str, str]], kind: str, twice: bool
) -> None:
    """With a nonce that was just shown, so that what follows the gate meets lone surrogates, 64 KiB and repeated fields."""
    _, app, browser = hit
    shown = app.asking() if path == "/oauth/authorize" else "/device"
    action = shown if path == "/oauth/authorize" else "/device"
    page = browser.get(shown)
    nonce = forms(page.text, action)[0]["nonce"] if page.status_code == 200 else "none"
    sent = [("nonce", nonce), *((name, value) for name, value in fields if twice or name != "nonce")]
    body = urlencode(sent, errors="surrogatepass").encode()
    headers = SAME_ORIGIN | {"Content-Type": kind}
    answer = browser.request("POST", path, content=body, headers=headers)
    assert answer.status_code < 500, answer.text
    location = answer.headers.get("location")
    assert location is None or location.startswith((f"{CALLBACK}?", "/login?"))


def test_secrets_are_neither_in_the_database_nor_in_the_log(fresh_server: FreshServer, database: str) -> None:
    server = fresh_server(database, env={"OAUTH_PASSWORD_GRANT": "true"})
    app = register(server, "--scope", "read", "--scope", "offline_access", *ALL)
    watch = register(server, "--public", redirect="")
    browser = browser_of(server, email := new_person(server))
    code, unused = (app.code(browser, scope="read offline_access") for _ in range(2))
    issued = tokens(app.exchange(code))
    refreshed = tokens(app.refresh(issued["refresh_token"]))
    by_password = tokens(app.token("password", username=email, password=PASSWORD))
    begun, waiting = (tokens(watch.post("/oauth/device_authorization")) for _ in range(2))
    decide_device(browser, begun["user_code"])
    of_device = tokens(watch.token(DEVICE_CODE, device_code=begun["device_code"]))
    for token in (issued["access_token"], refreshed["refresh_token"]):
        httpx.get(f"{server.url}/api/v3/entries", params={"token": token, "x": token}, trust_env=False, timeout=60)
        httpx.get(f"{server.url}/oauth/tokeninfo", params={"access_token": token}, trust_env=False, timeout=60)
        httpx.get(f"{server.url}/nowhere/{token}", trust_env=False, timeout=60)
    stored = asyncio.run(dump(server.installation.database_url))
    assert app.id in stored
    given = (issued, refreshed, by_password, of_device)
    secrets = [each[kind] for each in given for kind in ("access_token", "refresh_token") if kind in each]
    secrets += [code, unused, str(app.secret), PASSWORD, str(browser.session)]
    secrets += [each["device_code"] for each in (begun, waiting)]
    user_codes = [each["user_code"] for each in (begun, waiting)]
    for secret in (*secrets, *user_codes, *(each.replace("-", "") for each in user_codes)):
        assert secret not in stored
        assert secret not in server.output
    for each in user_codes:  # nor as a digest that everybody can work out
        assert stored_digest(each.replace("-", "")) not in stored


async def dump(url: str) -> str:
    """Everything in a database, as text."""
    database = Database(url)
    await database.connect()
    listed = "SELECT name FROM sqlite_master WHERE type = 'table'"
    if database.dialect.name == "postgresql":
        listed = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
    names = [name for (name,) in await database.fetch(listed)]
    rows = [row for name in names for row in await database.fetch(f'SELECT * FROM "{name}"')]
    await database.disconnect()
    return "\n".join(str(tuple(row)) for row in rows)
