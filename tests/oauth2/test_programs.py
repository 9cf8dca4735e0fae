"""The programs of the how-tos about applications, as people run them."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.support.browsers import Browser, forms
from tests.support.commands import here
from tests.support.factories import FreshServer
from tests.support.oauth2 import Application, browser_of, new_person, register
from tests.support.processes import clean_environment, free_port
from tests.support.server import LiveServer
from tests.support.waiting import PATIENCE, wait_until
from tests.support.wire import now_ms, unique

HOW_TO = Path(__file__).parents[2] / "docs/how-to"


@pytest.fixture(scope="module")
def server(database: str, lasting_server: FreshServer) -> LiveServer:
    """One without the entries of other tests."""
    return lasting_server(database)


@pytest.fixture
def reading(server: LiveServer) -> int:
    """The newest entry."""
    moment = now_ms()
    writer = server.client(server.subject(unique("uploader"), "api:entries:create"))
    entry = {"date": moment, "app": "x", "type": "sgv", "sgv": 123, "identifier": unique("reading")}
    assert writer.post("/api/v3/entries", json=entry).status_code == 201
    return moment


def run(server: LiveServer, **environment: str) -> subprocess.CompletedProcess[str]:
    given = clean_environment() | {"APIV3_URL": server.url} | environment
    program = [sys.executable, str(HOW_TO / "algorithm.py")]
    return subprocess.run(program, env=given, capture_output=True, text=True, timeout=PATIENCE, check=False)


def test_an_algorithm_finds_its_token_or_gets_one(server: LiveServer, reading: int) -> None:
    robot = register(server, "--role", "readable", redirect="", name="algorithm")
    token = here(server.installation, "client", "token", robot.id).output.strip()
    own = {"APIV3_CLIENT_ID": robot.id, "APIV3_CLIENT_SECRET": str(robot.secret)}
    for environment in ({"APIV3_TOKEN": token}, own, own | {"APIV3_TOKEN": "at_expired"}):
        done = run(server, **environment)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == f"{reading}: 123 mg/dL\n"
    for environment in ({}, {"APIV3_TOKEN": "at_expired"}, own | {"APIV3_CLIENT_SECRET": "wrong"}):
        done = run(server, **environment)
        assert (done.returncode, done.stdout) == (1, "")
        assert "token" in done.stderr.lower()
        assert len(done.stderr.splitlines()) == 1


@pytest.fixture
def viewer(server: LiveServer) -> Iterator[Application]:
    """The web application of the how-to, running on a port of its own."""
    port = free_port()
    app = register(server, redirect=f"http://127.0.0.1:{port}/callback")
    settings = {"CLIENT_ID": app.id, "CLIENT_SECRET": str(app.secret), "REDIRECT": app.redirect, "APIV3_URL": server.url}
    command = [sys.executable, "-m", "uvicorn", "web_app:app", "--port", str(port), "--log-level", "warning"]
    with subprocess.Popen(
        command, cwd=HOW_TO, env=clean_environment() | settings | {"PYTHONDONTWRITEBYTECODE": "1"}
    ) as running:
        try:
            wait_until(lambda: _answers(port), lambda: "the web application does not start")
            yield app
        finally:
            running.terminate()


def _answers(port: int) -> bool:
    try:
        httpx.get(f"http://127.0.0.1:{port}/", trust_env=False, timeout=PATIENCE)
    except httpx.TransportError:
        return False
    return True


@pytest.mark.usefixtures("reading")
def test_a_web_application_signs_its_people_in(server: LiveServer, viewer: Application) -> None:
    browser, base = browser_of(server, new_person(server)), viewer.redirect.removesuffix("/callback")
    with httpx.Client(base_url=base, trust_env=False, timeout=PATIENCE) as visitor:
        assert "not signed in" in visitor.get("/").text
        back = decide(browser, visitor.get("/login").headers["location"], "deny")
        assert visitor.get(back).status_code == 403
        back = decide(browser, visitor.get("/login").headers["location"], "allow")
        with httpx.Client(base_url=base, trust_env=False, timeout=PATIENCE) as victim:
            assert victim.get(back).status_code == 400  # a link that somebody has sent signs nobody in
        before = dict(visitor.cookies)
        assert visitor.get(back).status_code == 303
        assert dict(visitor.cookies) != before
        assert "Newest: 123" in visitor.get("/").text


def test_a_web_application_tells_a_person_who_may_not_read(server: LiveServer, viewer: Application) -> None:
    browser, base = browser_of(server, new_person(server, "careportal")), viewer.redirect.removesuffix("/callback")
    with httpx.Client(base_url=base, trust_env=False, timeout=PATIENCE) as visitor:
        back = decide(browser, visitor.get("/login").headers["location"], "allow")
        assert visitor.get(back.replace("iss=http", "iss=https")).status_code == 400
        back = decide(browser, visitor.get("/login").headers["location"], "allow")
        assert visitor.get(back).status_code == 303
        assert "Missing permission api:entries:read" in visitor.get("/").text


def decide(browser: Browser, address: str, decision: str) -> str:
    """Where a person is sent who decides about an address; a consent that is remembered goes back at once."""
    parts = urlsplit(address)
    local = f"{parts.path}?{parts.query}"
    page = browser.get(local)
    if page.status_code == 303:
        return str(page.headers["location"])
    [fields] = forms(page.text, local)
    answer = browser.post("/oauth/authorize", fields | {"decision": decision})
    assert answer.status_code == 303, answer.text
    return str(answer.headers["location"])
