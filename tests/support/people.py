"""People with accounts, and what they sign in with."""

from __future__ import annotations

import json
from typing import Any

import httpx

from tests.support.commands import Done, here
from tests.support.installation import Installation
from tests.support.server import LiveServer

PASSWORD = "correct horse battery staple"


def user(installation: Installation, *arguments: str, password: str | None = None) -> Done:
    """Runs `apiv3 user ...`; a password goes in by standard input."""
    given = () if password is None else ("--password-stdin",)
    return here(installation, "user", *arguments, *given, stdin=(password or "").encode())


def done(result: Done) -> Any:
    """What a command with --json has printed, once it has worked."""
    assert result.status == 0, result.errors
    return json.loads(result.output)


def add_person(
    installation: Installation, email: str, password: str | None = PASSWORD, *roles: str, name: str = ""
) -> dict[str, Any]:
    """A new person, who may read unless there are other roles; without a password there is an invitation."""
    wanted = [option for role in roles or ("readable",) for option in ("--role", role)]
    named = ("--name", name) if name else ()
    added: dict[str, Any] = done(user(installation, "add", email, *wanted, *named, "--json", password=password))
    return added


def sign_in(server: LiveServer, email: str, password: str = PASSWORD) -> httpx.Response:
    """The answer to a request for a user token."""
    body = {"email": email, "password": password}
    return httpx.post(f"{server.url}/api/requestAuthToken", json=body, trust_env=False, verify=False)


def token(server: LiveServer, email: str, password: str = PASSWORD) -> str:
    """A user token."""
    answer = sign_in(server, email, password)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["auth_token"])


def trail(installation: Installation, *arguments: str) -> list[dict[str, Any]]:
    """The audit trail."""
    found: list[dict[str, Any]] = done(here(installation, "audit", "--json", *arguments))
    return found
