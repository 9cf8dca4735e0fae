"""People who sign in, each from an address of its own, so that each counts as a caller of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection

import httpx
import orjson

from bench.load import WrongAnswer
from tests.support.browsers import SAME_ORIGIN, forms
from tests.support.people import PASSWORD

_PATIENCE = 120
"""Seconds until an answer counts as missing."""


@dataclass(slots=True)
class SignIns:
    """What became of sign-ins: the seconds that each took, and how many were refused because the server was busy (503)."""

    seconds: list[float] = field(default_factory=list)
    refused: int = 0


class Busy(WrongAnswer):
    """The server was too busy for a sign-in (503)."""


def user_token(port: int, email: str, address: str = "127.0.0.1") -> str:
    """Sign in from an address of this machine, and return the user token. Raise Busy, WrongAnswer."""
    body, headers = orjson.dumps({"email": email, "password": PASSWORD}), {"Content-Type": "application/json"}
    with closing(HTTPConnection("127.0.0.1", port, _PATIENCE, source_address=(address, 0))) as connection:
        connection.request("POST", "/api/requestAuthToken", body, headers)
        answer = connection.getresponse()
        text = answer.read()
    if answer.status != 200:
        raise (Busy if answer.status == 503 else WrongAnswer)(f"sign-in: {answer.status} {text[:300]!r}")
    return str(orjson.loads(text)["auth_token"])


def session(port: int, email: str) -> str:
    """Sign in by the form of the page, and return the value of the session's cookie. Raise WrongAnswer."""
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as browser:
        [fields, *_] = forms(browser.get("/login").text, "/login")
        answer = browser.post("/login", data=fields | {"email": email, "password": PASSWORD}, headers=SAME_ORIGIN)
        if "session" not in browser.cookies:
            raise WrongAnswer(f"/login: {answer.status_code} {answer.text[:300]}")
        return browser.cookies["session"]


@contextmanager
def signing_in(port: int, emails: Sequence[str], found: SignIns) -> Iterator[None]:
    """Let these people sign in again and again for the length of a block, and wait until the last one is answered."""
    over = threading.Event()

    def sign_in(number: int) -> None:
        while not over.is_set():
            started = time.perf_counter()
            try:
                user_token(port, emails[number], f"127.0.1.{number + 1}")
            except Busy:
                found.refused += 1
            else:
                found.seconds.append(time.perf_counter() - started)

    with ThreadPoolExecutor(len(emails)) as pool:
        everybody = [pool.submit(sign_in, number) for number in range(len(emails))]
        try:
            yield
        finally:
            over.set()
    for each in everybody:
        each.result()
