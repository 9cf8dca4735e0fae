"""Clients of OAuth2 that others wrote, each through every flow, against a real server."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from authlib.integrations.httpx_client import OAuth2Client
from oauthlib.oauth2 import BackendApplicationClient
from requests_oauthlib import OAuth2Session

from tests.support.browsers import Browser, forms
from tests.support.factories import FreshServer
from tests.support.oauth2 import Application, browser_of, call, decide_device, new_person, register
from tests.support.people import PASSWORD
from tests.support.server import LiveServer
from tests.support.waiting import PATIENCE

HERE = Path(__file__).parent
SCOPE = "read offline_access"
GRANTS = ("authorization_code", "refresh_token", "client_credentials", "device_code", "password")


@pytest.fixture(scope="module")
def server(lasting_server: FreshServer) -> LiveServer:
    """On SQLite: a client cannot tell."""
    return lasting_server("sqlite", env={"OAUTH_PASSWORD_GRANT": "true"})


@pytest.fixture
def app(server: LiveServer) -> Application:
    options = [option for grant in GRANTS for option in ("--grant", grant)]
    return register(server, *options, "--scope", "read", "--scope", "offline_access", "--role", "readable")


@pytest.fixture
def email(server: LiveServer) -> str:
    return new_person(server, "readable")


@pytest.fixture
def browser(server: LiveServer, email: str) -> Browser:
    return browser_of(server, email)


def allowed(browser: Browser, address: str) -> str:
    """Where a person comes back to who allows what is asked for at an address."""
    parts = urlsplit(address)
    local = f"{parts.path}?{parts.query}"
    [fields] = forms(browser.get(local).text, local)
    answer = browser.post("/oauth/authorize", fields | {"decision": "allow"})
    assert answer.status_code == 303, answer.text
    return answer.headers["location"]


def test_authlib(server: LiveServer, app: Application, browser: Browser, email: str) -> None:
    token_url, verifier = f"{server.url}/oauth/token", "v" * 64
    with OAuth2Client(
        app.id,
        app.secret,
        scope=SCOPE,
        redirect_uri=app.redirect,
        code_challenge_method="S256",
        trust_env=False,
        timeout=PATIENCE,
    ) as client:
        address, state = client.create_authorization_url(f"{server.url}/oauth/authorize", code_verifier=verifier)
        back = allowed(browser, address)
        first = client.fetch_token(token_url, authorization_response=back, code_verifier=verifier, state=state)
        assert call(server, first["access_token"]).status_code == 200
        second = client.refresh_token(token_url, refresh_token=first["refresh_token"])
        assert client.get(f"{server.url}/api/v3/entries").status_code == 200
        assert client.introspect_token(f"{server.url}/oauth/introspect", second["access_token"]).json()["active"] is True
        assert client.revoke_token(f"{server.url}/oauth/revoke", second["refresh_token"]).status_code == 200
        robot = client.fetch_token(token_url, grant_type="client_credentials", scope="read")
        assert call(server, robot["access_token"]).status_code == 200
        person = client.fetch_token(token_url, username=email, password=PASSWORD)
        assert call(server, person["access_token"]).status_code == 200


def test_requests_oauthlib(server: LiveServer, app: Application, browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")
    token_url = f"{server.url}/oauth/token"
    with OAuth2Session(app.id, redirect_uri=app.redirect, scope=SCOPE.split(), pkce="S256") as session:
        session.trust_env = False
        address, _ = session.authorization_url(f"{server.url}/oauth/authorize")
        back = allowed(browser, address)
        first = session.fetch_token(token_url, authorization_response=back, client_secret=app.secret)
        assert session.get(f"{server.url}/api/v3/entries").status_code == 200
        second = session.refresh_token(token_url, auth=(app.id, app.secret))
        assert second["refresh_token"] != first["refresh_token"]
    with OAuth2Session(client=BackendApplicationClient(app.id, scope="read")) as session:
        session.trust_env = False
        robot = session.fetch_token(token_url, client_secret=app.secret)
        assert call(server, robot["access_token"]).status_code == 200


@pytest.mark.parametrize("library", ["oauth4webapi", "openid-client"])
def test_javascript(server: LiveServer, app: Application, browser: Browser, node: Path, library: str) -> None:
    command = [str(node), f"{library}.mjs", server.url, app.id, str(app.secret), app.redirect]
    environment = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    with subprocess.Popen(
        command, cwd=HERE, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        try:
            tell(running, allowed(browser, told(running)["address"]))
            got = told(running)
            assert got["active"] == [True, False]
            assert got["first"]["refresh_token"] != got["second"]["refresh_token"]
            assert call(server, got["robot"]["access_token"]).status_code == 200
            assert decide_device(browser, got["user_code"]).status_code == 200
            tell(running, "typed")
            assert call(server, told(running)["access_token"]).status_code == 200
        finally:
            running.kill()


def told(running: subprocess.Popen[str]) -> Any:
    """What the program prints next."""
    assert running.stdout is not None
    assert running.stderr is not None
    line = running.stdout.readline()
    assert line, running.stderr.read()
    return json.loads(line)


def tell(running: subprocess.Popen[str], line: str) -> None:
    assert running.stdin is not None
    running.stdin.write(f"{line}\n")
    running.stdin.flush()
