"""The second service of the documentation, as a process of its own, follows the real server."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.browsers import Browser, signed_in
from tests.support.commands import here
from tests.support.factories import FreshServer
from tests.support.installation import Installation
from tests.support.oauth2 import new_person
from tests.support.people import done, token, user
from tests.support.processes import clean_environment, free_port
from tests.support.server import LiveServer
from tests.support.waiting import PATIENCE, wait_until

HOW_TO = Path(__file__).parents[2] / "docs/how-to"
LIMIT = 20.0
"""Seconds of silence after which the service refuses everybody; the server says something every 15."""
TRIES = 5
"""How often something is done that shall take less than a second: the machine may be busy once."""


@dataclass
class Service:
    """The running service."""

    port: int

    def ask(self, **options: Any) -> httpx.Response:
        return httpx.get(f"http://127.0.0.1:{self.port}/", trust_env=False, timeout=PATIENCE, **options)

    def visit(self, session: str) -> int:
        """The status for a browser, which sends its cookie to every port of a host."""
        return self.ask(cookies={"session": session}).status_code

    def is_told(self) -> bool:
        """Whether it runs and knows who is signed in: it refuses a stranger, and not everybody."""
        try:
            return self.visit("x" * 43) == 401
        except httpx.TransportError:
            return False


def token_for_service(installation: Installation) -> str:
    """The access token that the first commands of the page print."""
    page = (HOW_TO / "add-a-second-service.md").read_text()
    [commands, *_] = re.findall(r"^```sh\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    said = [here(installation, *shlex.split(command)[1:]) for command in commands.splitlines()]
    assert [each.status for each in said] == [0, 0], said
    return str(re.findall(r"\bshop-[0-9a-f]{16}\b", said[-1].output)[-1])


@contextmanager
def second_service(server: LiveServer) -> Iterator[Service]:
    service = Service(free_port())
    settings = {"APIV3_URL": server.url, "APIV3_TOKEN": token_for_service(server.installation)}
    settings |= {"PORT": str(service.port), "LIMIT": str(LIMIT)}
    environment = clean_environment() | settings
    with subprocess.Popen([sys.executable, HOW_TO / "second_service.py"], env=environment) as running:
        try:
            wait_until(service.is_told, "the service does not follow the channel")
            yield service
        finally:
            running.terminate()


@pytest.fixture
def server(fresh_server: FreshServer, database: str) -> LiveServer:
    """Two processes: whoever signs in at one is told to the service by the other."""
    return fresh_server(database, workers=2)


def seconds_until(condition: Callable[[], bool]) -> float:
    begun = time.monotonic()
    wait_until(condition)
    return time.monotonic() - begun


def sign_out(browser: Browser) -> None:
    assert browser.post("/logout", browser.form("/account", "/logout")).status_code == 303


def test_in_and_out_within_a_second_and_nobody_while_the_channel_is_dead(server: LiveServer) -> None:
    anna, bert = new_person(server), new_person(server)
    with second_service(server) as service:
        entries, exits = [], []
        for _ in range(TRIES):
            browser = signed_in(server, anna)
            session = str(browser.session)
            entries.append(seconds_until(lambda: service.visit(session) == 200))  # noqa: B023
            sign_out(browser)
            exits.append(seconds_until(lambda: service.visit(session) == 401))  # noqa: B023
        assert min(entries) < 1
        assert min(exits) < 1

        begun = time.monotonic()
        annas, berts = (str(signed_in(server, each).session) for each in (anna, bert))
        wait_until(lambda: service.visit(annas) == service.visit(berts) == 200)
        server.kill()
        assert service.visit(annas) == 200  # a short break locks nobody out
        wait_until(lambda: service.visit(annas) == 503)
        assert time.monotonic() - begun >= LIMIT
        assert service.ask(cookies={"session": annas}).json()["reason"] == "silent"

        done(user(server.installation, "disable", bert, "--json"))
        server.start()
        wait_until(lambda: service.visit(annas) != 503)
        assert (service.visit(annas), service.visit(berts)) == (200, 401)


def test_it_knows_everybody_by_the_secret_that_they_have(server: LiveServer) -> None:
    """And what they may do."""
    reader, writer = new_person(server), new_person(server, "readable", "careportal")
    session, user_token = str(signed_in(server, reader).session), token(server, writer)
    jwt, other = server.jwt(server.subject("reader", "api:entries:read")), server.jwt(server.subject("other", "api:food:read"))
    with second_service(server) as service:
        bearers = {secret: service.ask(headers={"Authorization": f"Bearer {secret}"}) for secret in (user_token, jwt, other)}
        assert service.ask(cookies={"session": session}).json() == {"name": reader, "via": "password", "may_write": False}
        assert bearers[user_token].json() == {"name": writer, "via": "token", "may_write": True}
        assert bearers[jwt].json() == {"name": "reader", "via": "access-token", "may_write": False}
        assert (bearers[other].status_code, bearers[other].json()["reason"]) == (403, "forbidden")
