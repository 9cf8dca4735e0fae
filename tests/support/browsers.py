"""A person's browser: it keeps cookies and sends forms as the pages have them, without JavaScript."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from html.parser import HTMLParser
from typing import Any

import httpx

from tests.support.people import PASSWORD
from tests.support.server import LiveServer

SAME_ORIGIN = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Dest": "document"}
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


class _Forms(HTMLParser):
    """Collects the forms of a page: the address that each is sent to, and its fields with their values."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "form":
            self.found.append((given.get("action") or "", {}))
        elif tag == "input" and self.found and given.get("name"):
            self.found[-1][1][str(given["name"])] = given.get("value") or ""


def forms(page: str, action: str) -> list[dict[str, str]]:
    """The fields of all forms of a page that are sent to `action`."""
    parser = _Forms()
    parser.feed(page)
    return [fields for path, fields in parser.found if path == action]


class Browser:
    """A browser on one server. Each request has a connection of its own, so that any process may get it."""

    def __init__(self, server: LiveServer, **headers: str) -> None:
        self._server = server
        self.cookies = httpx.Cookies()
        self.headers = {"User-Agent": FIREFOX, **headers}

    def request(self, method: str, path: str, *, headers: Mapping[str, str] | None = None, **options: Any) -> httpx.Response:
        with httpx.Client(base_url=self._server.url, verify=False, trust_env=False, cookies=self.cookies) as client:
            answer = client.request(method, path, headers=self.headers | dict(headers or {}), **options)
            self.cookies = client.cookies
        return answer

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.request("GET", path, **options)

    def post(self, path: str, data: Mapping[str, str], **options: Any) -> httpx.Response:
        return self.request("POST", path, data=data, **{"headers": SAME_ORIGIN} | options)

    def form(self, path: str, action: str, number: int = 0) -> dict[str, str]:
        """The fields of a form on a page."""
        answer = self.get(path)
        assert answer.status_code == 200, answer.text
        return forms(answer.text, action)[number]

    def sign_in(self, email: str, password: str = PASSWORD, after: str = "/") -> httpx.Response:
        """Open the form for signing in, and send it."""
        fields = self.form(f"/login?next={after}", "/login")
        return self.post("/login", fields | {"email": email, "password": password})

    @property
    def session(self) -> str | None:
        """The value of the session's cookie."""
        for name in ("session", "__Host-session"):
            with suppress(KeyError):
                return self.cookies[name]
        return None

    @session.setter
    def session(self, value: str) -> None:
        self.cookies.set("session", value, domain="127.0.0.1", path="/")

    def is_signed_in(self) -> bool:
        """Whether the server takes the session."""
        return self.get("/account").status_code == 200


def signed_in(server: LiveServer, email: str, password: str = PASSWORD, **headers: str) -> Browser:
    """A browser on which a person is signed in."""
    browser = Browser(server, **headers)
    answer = browser.sign_in(email, password)
    assert answer.status_code == 303, answer.text
    return browser


def choose_password(link: str, password: str = PASSWORD) -> httpx.Response:
    """Open the link of an invitation, and send its form, if it has one."""
    with httpx.Client(trust_env=False) as client:
        fields = forms(client.get(link).text, "")
        return client.post(link, data=(fields[0] if fields else {}) | {"password": password})
