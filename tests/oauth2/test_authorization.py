"""The authorization endpoint, on both databases, over two processes: what is asked, and where the answer goes."""

from urllib.parse import parse_qsl, quote, urlsplit

import pytest

from tests.support.browsers import SAME_ORIGIN, Browser, forms
from tests.support.oauth2 import CALLBACK, Application, register, told
from tests.support.people import PASSWORD
from tests.support.server import LiveServer

ISSUER = "https://data.example"
FORWARDED = 'for=192.0.2.1;host="evil.example";proto=http'


def test_a_person_allows_an_application_and_it_gets_a_token(viewer: Application, browser: Browser) -> None:
    page = browser.get(viewer.asking())
    assert page.status_code == 200
    assert "form-action 'self' https://viewer.example;" in page.headers["content-security-policy"]
    answer = viewer.decided(browser)
    assert answer == {"code": answer["code"], "state": "xyz", "iss": ISSUER}
    issued = viewer.exchange(answer["code"])
    assert (issued.headers["cache-control"], issued.headers["pragma"]) == ("no-store", "no-cache")
    assert issued.json().keys() == {"access_token", "token_type", "expires_in", "scope"}
    assert issued.json()["access_token"].startswith("at_")


def test_a_person_denies_and_nothing_is_allowed(viewer: Application, browser: Browser) -> None:
    answer = viewer.decided(browser, "deny")
    assert answer == {"error": "access_denied", "error_description": "The person has refused", "state": "xyz", "iss": ISSUER}
    assert browser.get(viewer.asking()).status_code == 200  # and is asked again


def test_a_consent_is_remembered_for_the_same_and_for_fewer_scopes(viewer: Application, browser: Browser) -> None:
    viewer.code(browser, scope="read write")
    for scope in ("read write", "write", "api:entries:read"):
        assert browser.get(viewer.asking(scope=scope)).status_code == 303, scope
    assert browser.get(viewer.asking(scope="read offline_access")).status_code == 200


@pytest.mark.parametrize("redirect", ["http://127.0.0.1/callback", "com.example.app:/callback"])
def test_a_public_application_that_others_could_pose_as_is_asked_each_time(
    pair: LiveServer, browser: Browser, redirect: str
) -> None:
    app = register(pair, "--public", redirect=redirect)
    for _ in range(2):
        assert browser.get(app.asking()).status_code == 200
        assert "code" in app.decided(browser)


@pytest.mark.parametrize("state", ["n+eB/==&x=%25", "ä ö", "", "x" * 1500])
def test_the_state_comes_back_as_it_was(viewer: Application, anna: str, state: str) -> None:
    """Also through the form for signing in."""
    stranger, asking = Browser(viewer.server), viewer.asking(state=state)
    way = stranger.get(asking).headers["location"]
    assert way.startswith("/login?next=")
    after = stranger.post("/login", forms(stranger.get(way).text, "/login")[0] | {"email": anna, "password": PASSWORD})
    page = stranger.get(after.headers["location"])
    if page.status_code == 200:
        page = stranger.post("/oauth/authorize", forms(page.text, asking)[0] | {"decision": "allow"})
    back = told(page)
    assert back["state"] == state if state else "state" not in back


def test_a_stranger_signs_in_first_and_then_decides(viewer: Application, anna: str) -> None:
    stranger = Browser(viewer.server)
    way = stranger.get(viewer.asking()).headers["location"]
    fields = forms(stranger.get(way).text, "/login")[0]
    after = stranger.post("/login", fields | {"email": anna, "password": PASSWORD}).headers["location"]
    assert after == viewer.asking()
    assert "code" in viewer.decided(stranger)


REGISTERED = "http://127.0.0.1/callback"


@pytest.mark.parametrize(
    ("asked", "goes"),
    [
        (REGISTERED, True),
        ("http://127.0.0.1:49152/callback", True),
        ("http://127.0.0.1:0/callback", False),
        ("http://127.0.0.1:99999/callback", False),
        ("http://127.0.0.1/callback?bar=foo", False),
        ("http://127.0.0.1/other", False),
        ("http://127.0.0.1/callback/", False),
        ("http://127.0.0.1/Callback", False),
        ("http://localhost/callback", False),
        ("http://[::1]/callback", False),
        ("https://127.0.0.1/callback", False),
        ("http://127.0.0.1@evil.example/callback", False),
        ("http://127.0.0.1:1@evil.example/callback", False),
        ("http://127.0.0.1/callback#x", False),
        ("//evil.example/callback", False),
        ("javascript:alert(1)", False),
        ("x" * 10_000, False),
    ],
)
def test_only_a_registered_address_is_redirected_to(pair: LiveServer, browser: Browser, asked: str, goes: bool) -> None:
    app = register(pair, "--public", redirect=REGISTERED)
    # What is wrong with the rest of the request is told only to an address that is right.
    answer = browser.get(app.asking(redirect_uri=asked, response_type="token"))
    if goes:
        assert answer.status_code == 303
        assert answer.headers["location"].startswith(asked)
        assert told(answer)["error"] == "unsupported_response_type"
    else:
        assert answer.status_code in (400, 431)
        assert "location" not in answer.headers


def test_another_port_does_on_a_loopback_address_only(pair: LiveServer, browser: Browser) -> None:
    answer = browser.get(register(pair).asking(redirect_uri="https://viewer.example:8443/callback"))
    assert (answer.status_code, "location" in answer.headers) == (400, False)


def test_the_query_of_a_registered_address_stays(pair: LiveServer, browser: Browser) -> None:
    app = register(pair, redirect=f"{CALLBACK}?foo=bar")
    for answer in (app.decided(browser), app.decided(browser, response_type="token")):
        assert answer["foo"] == "bar"
    assert "error" in app.decided(browser, code_challenge=None)


PKCE = "PKCE is required: send code_challenge, and code_challenge_method=S256"


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"response_type": None}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": "code token"}, "unsupported_response_type"),
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge": "short"}, "invalid_request"),
        ({"code_challenge": "x" * 42 + "="}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"scope": "execute"}, "invalid_scope"),
        ({"scope": "nonsense"}, "invalid_scope"),
        ({"scope": "READ"}, "invalid_scope"),
        ({"scope": "read\x00"}, "invalid_scope"),
        ({"scope": "admin:*"}, "invalid_scope"),
        ({"scope": " ".join(f"api:entries{n}:read" for n in range(60))}, "invalid_scope"),
    ],
)
def test_what_is_wrong_is_told_to_the_application(
    viewer: Application, browser: Browser, changes: dict[str, str | None], error: str
) -> None:
    for person in (browser, Browser(viewer.server)):
        answer = person.get(viewer.asking(**changes))
        assert answer.status_code in (303, 400), answer.text
        if changes.get("scope") != "read\x00":  # no query string has U+0000
            assert (told(answer)["error"], told(answer)["state"], told(answer)["iss"]) == (error, "xyz", ISSUER)


def test_a_state_is_at_most_2000_characters(viewer: Application, browser: Browser) -> None:
    assert browser.get(viewer.asking(state="x" * 2000)).status_code == 200
    answer = browser.get(viewer.asking(state="x" * 2001))
    assert (told(answer)["error"], told(answer)["state"]) == ("invalid_request", "x" * 2001)


def test_an_application_without_the_grant_gets_no_code(pair: LiveServer, browser: Browser) -> None:
    answer = browser.get(register(pair, "--grant", "device_code").asking())
    assert (told(answer)["error"], told(answer)["state"]) == ("unauthorized_client", "xyz")


def test_an_unknown_parameter_is_ignored(viewer: Application, browser: Browser) -> None:
    assert browser.get(f"{viewer.asking()}&prompt=consent&audience=x").status_code == 200


@pytest.mark.parametrize("name", ["response_type", "scope", "state", "code_challenge", "nonsense"])
def test_a_repeated_parameter_is_told_to_the_application(viewer: Application, browser: Browser, name: str) -> None:
    answer = browser.get(f"{viewer.asking()}&{name}=1&{name}=2")
    assert told(answer)["error"] == "invalid_request"


@pytest.mark.parametrize("name", ["client_id", "redirect_uri"])
def test_a_repeated_address_or_client_is_told_to_the_person(viewer: Application, browser: Browser, name: str) -> None:
    answer = browser.get(f"{viewer.asking()}&{name}={quote(viewer.redirect)}")
    assert (answer.status_code, "location" in answer.headers) == (400, False)
    assert answer.headers["content-type"].startswith("text/html")


@pytest.mark.parametrize("id", ["", "nobody", "f" * 24, "x\udcff", "ä", "'; DROP TABLE clients"])
def test_an_unknown_client_is_told_to_the_person(viewer: Application, browser: Browser, id: str) -> None:
    answer = browser.get(viewer.asking(client_id=id.encode("utf-8", "replace").decode()))
    assert (answer.status_code, "location" in answer.headers) == (400, False)


def test_a_request_without_an_address_goes_to_the_only_one(pair: LiveServer, browser: Browser) -> None:
    app = register(pair)
    code = app.code(browser, redirect_uri=None)
    answer = app.token("authorization_code", code=code, code_verifier="v" * 43)
    assert answer.status_code == 200
    several = register(pair, "--redirect", "https://viewer.example/other")
    assert browser.get(several.asking(redirect_uri=None)).status_code == 400


def test_a_decision_counts_once_and_for_who_was_asked(viewer: Application, browser: Browser, pair: LiveServer) -> None:
    address = viewer.asking()
    fields = forms(browser.get(address).text, address)[0] | {"decision": "allow"}
    other = Browser(pair)
    assert other.post("/oauth/authorize", fields).headers["location"].startswith("/login")
    assert browser.post("/oauth/authorize", fields, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert browser.post("/oauth/authorize", fields).status_code == 303
    again = browser.post("/oauth/authorize", fields)
    assert (again.status_code, "location" in again.headers) == (403, False)


@pytest.mark.parametrize("decision", [None, "", "yes", "ALLOW", "deny allow"])
def test_what_is_no_decision_allows_nothing(viewer: Application, browser: Browser, decision: str | None) -> None:
    address = viewer.asking()
    fields = forms(browser.get(address).text, address)[0] | ({} if decision is None else {"decision": decision})
    answer = browser.post("/oauth/authorize", fields)
    assert (answer.status_code, "location" in answer.headers) == (400, False)
    assert browser.get(address).status_code == 200  # nothing was allowed


def test_a_form_in_between_leads_back_after_the_sign_in(viewer: Application, browser: Browser, anna: str) -> None:
    address = viewer.asking()
    fields = forms(browser.get(address).text, address)[0] | {"decision": "allow"}
    browser.cookies.clear()
    answer = browser.post(address, fields)
    assert answer.status_code == 303
    assert dict(parse_qsl(urlsplit(answer.headers["location"]).query))["next"] == address


def test_no_page_of_another_site_reads_the_authorization_endpoint(viewer: Application, browser: Browser) -> None:
    answer = browser.get(viewer.asking(), headers={"Origin": "https://evil.example"})
    assert "access-control-allow-origin" not in answer.headers
    assert answer.headers["x-frame-options" if "x-frame-options" in answer.headers else "content-security-policy"]
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]


def test_a_forged_host_changes_neither_issuer_nor_address(viewer: Application, browser: Browser) -> None:
    forged = {"Host": "evil.example", "X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "http", "Forwarded": FORWARDED}
    stranger = Browser(viewer.server).get(viewer.asking(), headers=forged)
    assert stranger.headers["location"].startswith("/login?next=")
    address = viewer.asking()
    for decision in ("deny", "allow"):
        page = browser.get(address, headers=forged)
        assert "evil.example" not in page.text + str(page.headers)
        fields = forms(page.text, address)[0] | {"decision": decision}
        answer = browser.post("/oauth/authorize", fields, headers=SAME_ORIGIN | forged)
        assert answer.headers["location"].startswith(f"{CALLBACK}?")
        assert told(answer)["iss"] == ISSUER
    remembered = browser.get(address, headers=forged)
    assert (remembered.status_code, told(remembered)["iss"]) == (303, ISSUER)
    assert remembered.headers["location"].startswith(f"{CALLBACK}?")
    device = register(viewer.server, "--public", redirect="").post("/oauth/device_authorization", headers=forged).json()
    assert device["verification_uri"] == f"{ISSUER}/device"
