"""The token endpoint and what its tokens open, on both databases, over two processes."""

import base64
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.support.browsers import Browser
from tests.support.factories import FreshServer
from tests.support.oauth2 import (
    DEVICE_CODE,
    ENTRIES,
    VERIFIER,
    Application,
    browser_of,
    call,
    challenge,
    error,
    new_person,
    post,
    register,
    tokens,
)
from tests.support.people import PASSWORD
from tests.support.server import LiveServer
from tests.support.wire import now_ms

MANY = 20
INVALID = 'Bearer error="invalid_token"'

# --- codes


@pytest.mark.parametrize(
    ("verifier", "good"),
    [("v" * 43, True), ("v" * 128, True), ("v" * 42, False), ("v" * 129, False), ("v" * 42 + "=", False), ("w" * 43, False)],
)
def test_the_verifier_proves_who_has_asked(viewer: Application, browser: Browser, verifier: str, good: bool) -> None:
    code = viewer.code(browser, code_challenge=challenge("v" * 43 if verifier[0] == "w" else verifier))
    answer = viewer.exchange(code, code_verifier=verifier)
    assert error(answer) == (400, "invalid_grant") if not good else answer.status_code == 200


def test_wrong_tries_use_a_code_up_only_after_five(viewer: Application, browser: Browser, pair: LiveServer) -> None:
    code, other = viewer.code(browser), register(pair)
    wrong = [
        viewer.exchange(code, code_verifier="w" * 43),
        other.exchange(code),
        viewer.exchange(code, redirect_uri="https://x/"),
        viewer.exchange(code, redirect_uri=""),  # it was named when the code was asked for
    ]
    assert [error(each) for each in wrong] == [(400, "invalid_grant")] * 4
    assert error(viewer.token("authorization_code", code=code)) == (400, "invalid_request")  # this one does not count
    assert viewer.exchange(code).status_code == 200
    code = viewer.code(browser)
    for _ in range(5):
        assert error(viewer.exchange(code, code_verifier="w" * 43)) == (400, "invalid_grant")
    assert error(viewer.exchange(code)) == (400, "invalid_grant")


def test_of_twenty_exchanges_of_a_code_one_wins_and_what_it_gave_ends(viewer: Application, browser: Browser) -> None:
    code = viewer.code(browser, scope="read offline_access")
    with ThreadPoolExecutor(MANY) as crowd:
        answers = list(crowd.map(lambda _: viewer.exchange(code), range(MANY)))
    [winner] = [answer for answer in answers if answer.status_code == 200]
    assert [error(answer) for answer in answers if answer is not winner] == [(400, "invalid_grant")] * (MANY - 1)
    issued = winner.json()
    assert error(viewer.refresh(issued["refresh_token"])) == (400, "invalid_grant")
    viewer.server.wait_everywhere(lambda: call(viewer.server, issued["access_token"]).status_code == 401)


# --- refresh tokens


def test_a_refresh_token_is_exchanged_for_the_next(viewer: Application, browser: Browser) -> None:
    first = viewer.connected(browser, scope="read offline_access")
    second = tokens(viewer.refresh(first["refresh_token"]))
    assert second["refresh_token"] != first["refresh_token"]
    assert call(viewer.server, first["access_token"]).status_code == 200  # it lives until it expires
    assert call(viewer.server, second["access_token"]).status_code == 200


def test_many_refreshes_at_once_get_the_same_answer(viewer: Application, browser: Browser) -> None:
    """Honest: a lost answer, or two tabs. The person's other applications live on."""
    first = viewer.connected(browser, scope="read offline_access")
    with ThreadPoolExecutor(MANY) as crowd:
        answers = list(crowd.map(lambda _: viewer.refresh(first["refresh_token"]), range(MANY)))
    assert [answer.status_code for answer in answers] == [200] * MANY
    assert len({(answer.json()["access_token"], answer.json()["refresh_token"]) for answer in answers}) == 1


def test_an_answer_is_repeated_although_its_access_token_was_revoked(viewer: Application, browser: Browser) -> None:
    first = viewer.connected(browser, scope="read offline_access")
    second = tokens(viewer.refresh(first["refresh_token"]))
    assert viewer.post("/oauth/revoke", {"token": second["access_token"]}).status_code == 200
    again = tokens(viewer.refresh(first["refresh_token"]))
    assert (again["refresh_token"], again["expires_in"]) == (second["refresh_token"], 0)
    assert call(viewer.server, tokens(viewer.refresh(again["refresh_token"]))["access_token"]).status_code == 200


def test_a_refresh_token_whose_successor_was_used_ends_the_family_alone(viewer: Application, browser: Browser) -> None:
    other = viewer.connected(browser, scope="read offline_access")
    first = viewer.connected(browser, scope="read offline_access")
    second = tokens(viewer.refresh(first["refresh_token"]))
    third = tokens(viewer.refresh(second["refresh_token"]))
    assert error(viewer.refresh(first["refresh_token"])) == (400, "invalid_grant")
    assert error(viewer.refresh(third["refresh_token"])) == (400, "invalid_grant")
    viewer.server.wait_everywhere(lambda: call(viewer.server, third["access_token"]).status_code == 401)
    assert call(viewer.server, other["access_token"]).status_code == 200
    assert viewer.refresh(other["refresh_token"]).status_code == 200


def test_without_a_grace_a_second_use_ends_the_family(fresh_server: FreshServer, database: str) -> None:
    server = fresh_server(database, env={"OAUTH_REFRESH_GRACE": "0"})
    app = register(server, "--scope", "read", "--scope", "offline_access")
    first = app.connected(browser_of(server, new_person(server)), scope="read offline_access")
    second = tokens(app.refresh(first["refresh_token"]))
    assert error(app.refresh(first["refresh_token"])) == (400, "invalid_grant")
    assert error(app.refresh(second["refresh_token"])) == (400, "invalid_grant")


def test_scopes_may_be_narrowed_for_one_token(viewer: Application, browser: Browser) -> None:
    issued = viewer.connected(browser, scope="read write offline_access")
    narrow = tokens(viewer.refresh(issued["refresh_token"], scope="read"))
    assert narrow["scope"] == "read"
    assert error(viewer.refresh(narrow["refresh_token"], scope="read execute")) == (400, "invalid_scope")
    wide = tokens(viewer.refresh(narrow["refresh_token"]))
    assert wide["scope"] == "offline_access read write"
    less = viewer.connected(browser, scope="read offline_access")  # the client may ask for more, the person was not asked
    assert error(viewer.refresh(less["refresh_token"], scope="read write")) == (400, "invalid_scope")
    assert tokens(viewer.refresh(less["refresh_token"]))["scope"] == "offline_access read"


def test_who_gets_a_refresh_token(viewer: Application, browser: Browser, pair: LiveServer) -> None:
    assert "refresh_token" not in viewer.connected(browser, scope="read")
    assert "refresh_token" in viewer.connected(browser, scope="read offline_access")
    public = register(pair, "--public", redirect="http://127.0.0.1/cb")
    assert "refresh_token" in public.connected(browser)
    without = register(pair, "--grant", "authorization_code", "--scope", "read", "--scope", "offline_access")
    issued = without.connected(browser, scope="read offline_access")
    assert "refresh_token" not in issued
    assert error(without.refresh("rt_x")) == (400, "unauthorized_client")
    assert error(viewer.refresh("rt_x")) == (400, "invalid_grant")
    assert error(viewer.token("refresh_token")) == (400, "invalid_request")


def test_a_refresh_token_is_of_one_client(viewer: Application, browser: Browser, pair: LiveServer) -> None:
    issued = viewer.connected(browser, scope="read offline_access")
    other = register(pair, "--scope", "read", "--scope", "offline_access")  # it may refresh as much
    assert error(other.refresh(issued["refresh_token"])) == (400, "invalid_grant")
    assert viewer.refresh(issued["refresh_token"]).status_code == 200


# --- clients


@pytest.fixture
def robot(pair: LiveServer) -> Application:
    """An algorithm with a role of its own."""
    return register(pair, "--role", "readable", "--scope", "read", "--scope", "write", redirect="", name="robot")


def test_a_client_acts_for_itself(robot: Application) -> None:
    issued = tokens(robot.token("client_credentials"))
    assert (issued["scope"], issued["token_type"], issued["expires_in"]) == ("read write", "Bearer", 3600)
    assert "refresh_token" not in issued
    assert call(robot.server, issued["access_token"]).status_code == 200
    refused = call(robot.server, issued["access_token"], "POST", json={})
    assert (refused.status_code, refused.headers["www-authenticate"]) == (
        403,
        'Bearer error="insufficient_scope", scope="write"',
    )
    assert refused.json()["message"] == "Missing permission api:entries:create"


def test_a_client_that_acts_for_itself_needs_no_refresh_token(pair: LiveServer) -> None:
    grants, scopes = ("client_credentials", "refresh_token"), ("read", "offline_access")
    options = [option for grant in grants for option in ("--grant", grant)]
    robot = register(pair, *options, *(option for scope in scopes for option in ("--scope", scope)), redirect="")
    for form in ({}, {"scope": "read offline_access"}):
        issued = tokens(robot.token("client_credentials", **form))
        assert (issued["scope"], "refresh_token" in issued) == ("read", False)


@pytest.mark.parametrize("scope", ["", " ", "read  write", "write read read"])
def test_how_scopes_are_written_does_not_matter(robot: Application, scope: str) -> None:
    assert tokens(robot.token("client_credentials", scope=scope))["scope"] == "read write"


def test_a_client_authenticates_in_one_way(robot: Application) -> None:
    form, secret = {"grant_type": "client_credentials"}, str(robot.secret)
    encoded = "".join(f"%{ord(each):02X}" for each in secret)
    for name, password in ((robot.id, secret), (robot.id, encoded)):
        basic = {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}
        assert post(robot.server, "/oauth/token", form, headers=basic).status_code == 200
        assert post(robot.server, "/oauth/token", form | {"client_id": robot.id}, headers=basic).status_code == 200
        for more in ({"client_secret": secret}, {"client_id": "another"}):
            assert error(post(robot.server, "/oauth/token", form | more, headers=basic)) == (400, "invalid_request")


@pytest.mark.parametrize(
    "header",
    ["Basic", "Basic x", "Basic eDp5", "Basic eA==", "Bearer x", "Basic \xff", "Digest x", f"Basic {'x' * 10_000}"],
)
def test_a_client_that_is_not_authenticated_is_told_how(robot: Application, header: str) -> None:
    answer = post(
        robot.server, "/oauth/token", {"grant_type": "client_credentials"}, headers={b"Authorization": header.encode("latin-1")}
    )
    assert error(answer) == (401, "invalid_client")
    assert answer.headers["www-authenticate"] == 'Basic realm="apiv3"'
    assert answer.headers["cache-control"] == "no-store"


def test_a_public_client_needs_no_secret_and_a_confidential_one_does(pair: LiveServer, robot: Application) -> None:
    public = register(pair, "--public", redirect="http://127.0.0.1/cb")
    assert error(public.token("client_credentials")) == (400, "unauthorized_client")
    assert error(public.post("/oauth/token", {"client_secret": "x", "grant_type": "x"})) == (401, "invalid_client")
    bare = Application(pair, robot.id, None)
    assert error(bare.token("client_credentials")) == (401, "invalid_client")
    assert error(post(pair, "/oauth/token", {"grant_type": "client_credentials"})) == (401, "invalid_client")


@pytest.mark.parametrize("grant_type", ["", "nonsense", "implicit", "password", "x" * 10_000])
def test_a_grant_type_has_to_be_one(robot: Application, grant_type: str) -> None:
    kind = "unsupported_grant_type" if grant_type else "invalid_request"
    assert error(robot.token(grant_type)) == (400, kind)


def test_a_parameter_without_a_value_is_missing(robot: Application) -> None:
    issued = robot.post("/oauth/token", {"grant_type": "client_credentials", "scope": "", "code": ""})
    assert tokens(issued)["scope"] == "read write"
    assert error(robot.post("/oauth/token", {"grant_type": ""})) == (400, "invalid_request")


@pytest.mark.parametrize("path", ["/oauth/token", "/oauth/revoke", "/oauth/introspect", "/oauth/device_authorization"])
def test_forms_are_posted(pair: LiveServer, path: str) -> None:
    answer = httpx.get(pair.url + path, params={"grant_type": "client_credentials"}, trust_env=False, timeout=60)
    assert answer.status_code == 404


@pytest.mark.parametrize("path", ["/oauth/revoke", "/oauth/introspect", "/oauth/device_authorization"])
def test_every_form_of_a_client_is_authenticated(pair: LiveServer, robot: Application, path: str) -> None:
    bare = Application(pair, robot.id, None)
    assert error(bare.post(path, {"token": "x"})) == (401, "invalid_client")


@pytest.mark.parametrize("options", [{"json": {}}, {"files": {"grant_type": b"x"}}, {"content": b"x"}, {"content": b""}])
def test_a_request_has_to_be_a_form(pair: LiveServer, options: dict[str, object]) -> None:
    answer = httpx.post(f"{pair.url}/oauth/token", trust_env=False, timeout=60, **options)  # type: ignore[arg-type]
    assert error(answer) == (400, "invalid_request")


def test_a_repeated_parameter_uses_nothing_up(viewer: Application, browser: Browser) -> None:
    code = viewer.code(browser)
    form = {"client_id": viewer.id, "client_secret": str(viewer.secret), "grant_type": "authorization_code"}
    form |= {"code": code, "redirect_uri": viewer.redirect, "code_verifier": VERIFIER}
    body = httpx.QueryParams(form)
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = httpx.post(
        f"{viewer.server.url}/oauth/token", content=f"{body}&code=x", headers=headers, trust_env=False, timeout=60
    )
    assert error(answer) == (400, "invalid_request")
    assert viewer.exchange(code).status_code == 200


# --- passwords


def test_passwords_are_for_those_who_switched_them_on(fresh_server: FreshServer, database: str) -> None:
    server = fresh_server(database, env={"OAUTH_PASSWORD_GRANT": "true"})
    email = new_person(server)
    app = register(server, "--grant", "password", redirect="")
    issued = tokens(app.token("password", username=email.upper(), password=PASSWORD))
    assert call(server, issued["access_token"]).status_code == 200
    assert error(app.token("password", username=email, password="wrong")) == (400, "invalid_grant")
    assert error(app.token("password", username=email)) == (400, "invalid_request")
    assert error(register(server).token("password", username=email, password=PASSWORD)) == (400, "unauthorized_client")


# --- devices


@pytest.fixture
def watch(pair: LiveServer) -> Application:
    return register(pair, "--public", redirect="", name="watch")


def test_a_device_waits_and_a_hasty_one_is_told_to_slow_down(watch: Application) -> None:
    begun = tokens(watch.post("/oauth/device_authorization"))
    assert begun["verification_uri"] == "https://data.example/device"
    assert begun["verification_uri_complete"] == f"https://data.example/device?user_code={begun['user_code']}"
    assert (begun["expires_in"], begun["interval"]) == (900, 5)
    assert len(begun["user_code"].replace("-", "")) == 8
    assert not set(begun["user_code"]) & set("AEIOU")
    assert error(watch.token(DEVICE_CODE, device_code=begun["device_code"])) == (400, "authorization_pending")
    assert error(watch.token(DEVICE_CODE, device_code=begun["device_code"])) == (400, "slow_down")
    assert error(watch.token(DEVICE_CODE, device_code="nonsense")) == (400, "invalid_grant")
    assert error(watch.token(DEVICE_CODE)) == (400, "invalid_request")


def test_who_may_wait_as_a_device(viewer: Application) -> None:
    assert error(viewer.post("/oauth/device_authorization")) == (400, "unauthorized_client")


# --- what tokens open


def test_a_token_opens_what_both_its_subject_and_its_scopes_allow(viewer: Application, browser: Browser) -> None:
    wide = viewer.connected(browser, scope="read write")["access_token"]
    narrow = viewer.connected(browser, scope="api:treatments:read")["access_token"]
    server = viewer.server
    assert call(server, wide).status_code == 200
    assert call(server, narrow).status_code == 403
    assert call(server, narrow, path="/api/v3/treatments").status_code == 200
    assert call(server, wide, "DELETE", f"{ENTRIES}/x").status_code == 403  # the person may not
    document = {"date": 1_700_000_000_000, "app": "x", "eventType": "Note"}
    assert call(server, narrow, "POST", "/api/v3/treatments", json=document).status_code == 403
    assert call(server, wide, "POST", "/api/v3/treatments", json=document).status_code in (200, 201)


def test_a_token_has_its_place_in_the_header(viewer: Application, browser: Browser) -> None:
    token = viewer.connected(browser)["access_token"]
    for query in (f"token={token}", f"access_token={token}"):
        answer = httpx.get(f"{viewer.server.url}{ENTRIES}?{query}", trust_env=False, timeout=60)
        assert (answer.status_code, answer.json()["message"]) == (
            400,
            "An OAuth2 access token belongs into the header Authorization, not into a URL",
        )
    exchange = httpx.get(f"{viewer.server.url}/api/v2/authorization/request/{token}", trust_env=False, timeout=60)
    assert exchange.status_code == 400
    assert token not in viewer.server.output


@pytest.mark.parametrize("token", ["at_", "at_x", "at_" + "A" * 43, "at_" + "x" * 400])
def test_a_bad_token_is_told_so_whatever_the_time(pair: LiveServer, token: str) -> None:
    for headers in ({}, {"Date": "nonsense"}):
        answer = call(pair, token, headers=headers)
        assert answer.status_code == 401
        if not headers:
            assert answer.json() == {"status": 401, "message": "Bad access token or JWT"}
            assert answer.headers["www-authenticate"] == INVALID


def test_a_call_without_a_credential_is_told_how_to_send_one(pair: LiveServer) -> None:
    answer = httpx.get(pair.url + ENTRIES, params={"now": now_ms()}, trust_env=False, timeout=60)
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")


def test_an_expired_token_is_refused(fresh_server: FreshServer, database: str) -> None:
    server = fresh_server(database, env={"OAUTH_ACCESS_LIFETIME": "1"})
    robot = register(server, "--role", "readable", redirect="")
    issued = tokens(robot.token("client_credentials"))
    server.wait_everywhere(lambda: call(server, issued["access_token"]).status_code == 401)
    info = httpx.get(
        f"{server.url}/oauth/tokeninfo", params={"access_token": issued["access_token"]}, trust_env=False, timeout=60
    )
    assert error(info) == (400, "invalid_token")


# --- asking about tokens, and ending them


def test_what_can_be_learned_about_a_token(viewer: Application, browser: Browser, pair: LiveServer) -> None:
    issued = viewer.connected(browser, scope="read offline_access")
    token, inspector, other = issued["access_token"], register(pair, "--introspect"), register(pair)
    for asking in (viewer, inspector):
        described = tokens(asking.post("/oauth/introspect", {"token": token}))
        assert described["active"] is True
        assert (described["client_id"], described["scope"]) == (viewer.id, "offline_access read")
        assert tokens(asking.post("/oauth/introspect", {"token": issued["refresh_token"]}))["active"] is True
    assert tokens(other.post("/oauth/introspect", {"token": token})) == {"active": False}
    assert tokens(viewer.post("/oauth/introspect", {"token": "nonsense"})) == {"active": False}
    assert error(post(pair, "/oauth/introspect", {"token": token})) == (401, "invalid_client")
    assert error(viewer.post("/oauth/introspect")) == (400, "invalid_request")
    info = httpx.get(f"{pair.url}/oauth/tokeninfo", params={"access_token": token}, trust_env=False, timeout=60).json()
    assert list(info) == ["aud", "client_id", "sub", "user_id", "scope", "exp", "expires_in"]
    assert (info["aud"], info["client_id"], info["sub"]) == (viewer.id, viewer.id, info["user_id"])
    assert tokens(post(pair, "/oauth/tokeninfo", {"access_token": token})).keys() == info.keys()
    for other_token in (issued["refresh_token"], "nonsense"):
        assert error(post(pair, "/oauth/tokeninfo", {"access_token": other_token})) == (400, "invalid_token")


@pytest.mark.parametrize("hint", ["access_token", "refresh_token", "nonsense"])
def test_revoking_an_access_token_ends_it_alone(viewer: Application, browser: Browser, hint: str) -> None:
    issued = viewer.connected(browser, scope="read offline_access")
    assert viewer.post("/oauth/revoke", {"token": issued["access_token"], "token_type_hint": hint}).status_code == 200
    viewer.server.wait_everywhere(lambda: call(viewer.server, issued["access_token"]).status_code == 401)
    assert viewer.refresh(issued["refresh_token"]).status_code == 200


@pytest.mark.parametrize("hint", ["access_token", "refresh_token"])
def test_revoking_a_refresh_token_ends_its_family(viewer: Application, browser: Browser, hint: str) -> None:
    issued = viewer.connected(browser, scope="read offline_access")
    assert viewer.post("/oauth/revoke", {"token": issued["refresh_token"], "token_type_hint": hint}).status_code == 200
    viewer.server.wait_everywhere(lambda: call(viewer.server, issued["access_token"]).status_code == 401)
    assert error(viewer.refresh(issued["refresh_token"])) == (400, "invalid_grant")


def test_nobody_revokes_the_token_of_another(viewer: Application, browser: Browser, pair: LiveServer) -> None:
    issued, other = (
        viewer.connected(browser, scope="read offline_access"),
        register(pair, "--public", redirect="http://127.0.0.1/cb"),
    )
    for token in issued["access_token"], issued["refresh_token"], "nonsense":
        assert other.post("/oauth/revoke", {"token": token}).status_code == 200
    assert call(pair, issued["access_token"]).status_code == 200
    assert viewer.refresh(issued["refresh_token"]).status_code == 200


# --- from other origins


@pytest.mark.parametrize("path", ["/oauth/token", "/oauth/revoke", "/oauth/device_authorization"])
def test_pages_of_any_site_may_ask_for_tokens(pair: LiveServer, path: str) -> None:
    origin = {"Origin": "https://page.example"}
    answer = post(pair, path, {"token": "x"}, headers=origin)
    assert answer.status_code == 401
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in answer.headers
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    preflight = httpx.options(pair.url + path, headers=origin | asked, trust_env=False, timeout=60)
    assert (preflight.status_code, preflight.headers["access-control-allow-origin"]) == (204, "*")
    assert "authorization" in preflight.headers["access-control-allow-headers"]


def test_pages_of_other_sites_read_nothing_else(pair: LiveServer) -> None:
    for path in ("/oauth/introspect", "/oauth/tokeninfo"):
        answer = post(pair, path, {}, headers={"Origin": "https://page.example"})
        assert "access-control-allow-origin" not in answer.headers


def test_the_metadata_come_from_the_public_address_whatever_the_host(pair: LiveServer) -> None:
    url = f"{pair.url}/.well-known/oauth-authorization-server"
    forged = {"Host": "evil.example", "X-Forwarded-Host": "evil.example", "Origin": "https://page.example"}
    answer = httpx.get(url, headers=forged, trust_env=False, timeout=60)
    assert "evil.example" not in answer.text
    described = answer.json()
    assert described["issuer"] == "https://data.example"
    assert all(value.startswith("https://data.example/") for name, value in described.items() if name.endswith("_endpoint"))
    assert answer.headers["access-control-allow-origin"] == "*"
    preflight = httpx.options(url, headers=forged | {"Access-Control-Request-Method": "GET"}, trust_env=False, timeout=60)
    assert (preflight.status_code, preflight.headers["access-control-allow-origin"]) == (204, "*")
    assert "GET" in preflight.headers["access-control-allow-methods"]
    assert "access-control-allow-credentials" not in preflight.headers
    plain = httpx.options(url, trust_env=False, timeout=60)  # without a page that asks, and without a credential
    assert plain.status_code in (200, 204)


# --- guessing


@pytest.fixture
def wary(fresh_server: FreshServer, database: str) -> LiveServer:
    """A server that slows down who guesses, by a millisecond for each failure."""
    return fresh_server(database, env={"AUTH_FAIL_DELAY": "1"})


def test_who_guesses_client_secrets_is_refused_and_who_knows_one_is_not(wary: LiveServer) -> None:
    robot, app = register(wary, "--role", "readable", redirect="", name="robot"), register(wary)
    assert robot.token("client_credentials").status_code == 200
    guesses = [Application(wary, app.id, f"guess {number}").token("client_credentials") for number in range(25)]
    assert [answer.status_code for answer in guesses] == [401] * 20 + [429] * 5
    assert guesses[-1].json()["error"] == "temporarily_unavailable"
    assert int(guesses[-1].headers["retry-after"]) > 0
    assert app.token("x").status_code == 429  # even the right secret, which would tell that it is right
    assert robot.token("client_credentials").status_code == 200


def test_who_guesses_codes_of_devices_is_refused(wary: LiveServer) -> None:
    browser = browser_of(wary, new_person(wary))
    answers = [browser.post("/device", browser.form("/device", "/device") | {"user_code": "BBBBBBBB"}) for _ in range(22)]
    assert [answer.status_code for answer in answers] == [422] * 20 + [429] * 2
