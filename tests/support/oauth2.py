"""Applications that get tokens by OAuth2, as programs of others would."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx

from apiv3.security.secrets import stored_digest
from tests.support.browsers import Browser, forms, signed_in
from tests.support.commands import here
from tests.support.people import PASSWORD, add_person
from tests.support.server import LiveServer
from tests.support.storage import execute

CALLBACK = "https://viewer.example/callback"
VERIFIER = "v" * 43
DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"
ENTRIES = "/api/v3/entries"
_numbers = count()
_MOMENTS = {
    "codes": ("expires",),
    "device_codes": ("expires", "polled"),
    "access_tokens": ("issued", "expires"),
    "refresh_tokens": ("issued", "expires", "rotated"),
    "grants": ("begun", "seen"),
}
_GRANT_OF = "id IN (SELECT grant_id FROM access_tokens WHERE digest = ?)"


def challenge(verifier: str = VERIFIER) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def unique(word: str, server: LiveServer) -> str:
    return f"{word}.{next(_numbers)}.{server.port}"


def new_person(server: LiveServer, *roles: str) -> str:
    """The address of a new person."""
    email = f"{unique('anna', server)}@x.example"
    add_person(server.installation, email, PASSWORD, *roles, name=email)
    return email


@dataclass(frozen=True)
class Application:
    """An application on a server. Each request has a connection of its own, so that any process may get it."""

    server: LiveServer
    id: str
    secret: str | None
    redirect: str = CALLBACK

    def post(self, path: str, form: Mapping[str, str] | None = None, **options: Any) -> httpx.Response:
        """Send a form, by default with the client's credentials in it."""
        own = {"client_id": self.id} | ({} if self.secret is None else {"client_secret": self.secret})
        return post(self.server, path, own | dict(form or {}), **options)

    def token(self, grant_type: str, **form: str) -> httpx.Response:
        return self.post("/oauth/token", {"grant_type": grant_type, **form})

    def asking(self, **changes: str | None) -> str:
        """The address of an authorization request. None leaves a parameter out."""
        wanted: dict[str, str | None] = {"response_type": "code", "client_id": self.id, "redirect_uri": self.redirect}
        wanted |= {"scope": "read", "state": "xyz", "code_challenge": challenge(), "code_challenge_method": "S256"}
        return "/oauth/authorize?" + urlencode({name: value for name, value in (wanted | changes).items() if value is not None})

    def decided(self, browser: Browser, decision: str = "allow", /, **changes: str | None) -> dict[str, str]:
        """What the application is told after a person has decided."""
        address = self.asking(**changes)
        page = browser.get(address)
        if page.status_code == 200:
            fields = browser.form(address, address)
            page = browser.post("/oauth/authorize", fields | {"decision": decision})
        assert page.status_code == 303, page.text
        return told(page)

    def code(self, browser: Browser, **changes: str | None) -> str:
        return self.decided(browser, "allow", **changes)["code"]

    def exchange(self, code: str, **changes: str) -> httpx.Response:
        form = {"code": code, "redirect_uri": self.redirect, "code_verifier": VERIFIER}
        return self.token("authorization_code", **form | changes)

    def connected(self, browser: Browser, **changes: str | None) -> dict[str, Any]:
        """The tokens for a person who allows it."""
        return tokens(self.exchange(self.code(browser, **changes)))

    def refresh(self, refresh_token: str, **form: str) -> httpx.Response:
        return self.token("refresh_token", refresh_token=refresh_token, **form)


def register(server: LiveServer, *options: str, redirect: str = CALLBACK, name: str = "viewer") -> Application:
    """Register an application by the command line."""
    arguments = ("client", "add", unique(name, server), *options, "--json")
    if redirect:
        arguments = (*arguments, "--redirect", redirect)
    done = here(server.installation, *arguments)
    assert done.status == 0, done.errors
    made = json.loads(done.output)
    return Application(server, made["client_id"], made.get("client_secret"), redirect)


def post(server: LiveServer, path: str, form: Mapping[str, str], **options: Any) -> httpx.Response:
    return httpx.post(server.url + path, data=form, trust_env=False, verify=False, timeout=60, **options)


def tokens(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    issued: dict[str, Any] = answer.json()
    return issued


def told(answer: httpx.Response) -> dict[str, str]:
    """The parameters with which a browser is sent back."""
    return {name: value for name, [value] in parse_qs(urlsplit(answer.headers["location"]).query).items()}


def error(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]


def call(server: LiveServer, access_token: str, method: str = "GET", path: str = ENTRIES, **options: Any) -> httpx.Response:
    """Call the API with an access token, on a connection of its own."""
    headers = {"Authorization": f"Bearer {access_token}"} | options.pop("headers", {})
    return httpx.request(method, server.url + path, headers=headers, trust_env=False, verify=False, timeout=60, **options)


def browser_of(server: LiveServer, email: str) -> Browser:
    return signed_in(server, email)


def decide_device(browser: Browser, user_code: str, decision: str = "allow") -> httpx.Response:
    """Type the code of a device, look at what it asks for, and decide."""
    asked = browser.post("/device", browser.form("/device", "/device") | {"user_code": user_code})
    assert asked.status_code == 200, asked.text
    [fields] = forms(asked.text, "/device/decide")
    return browser.post("/device/decide", fields | {"decision": decision})


def age(server: LiveServer, table: str, secret: str, seconds: float) -> None:
    """Let time pass for the row of a secret, or of the grant of an access token: all its moments move back."""
    moved = ", ".join(f"{column} = {column} - {round(seconds * 1000)}" for column in _MOMENTS[table])
    condition = _GRANT_OF if table == "grants" else "digest = ?"
    sql = f"UPDATE {table} SET {moved} WHERE {condition}"
    execute(server.installation.database_url, sql, stored_digest(secret))
