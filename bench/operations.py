"""The requests of each operation, and the right answers."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from email.utils import formatdate
from itertools import count
from typing import Any

import httpx
import orjson

from bench.documents import COLLECTION, LIMIT, Filled, entry
from bench.load import Requests
from bench.options import WRITES
from bench.processes import Server

PATH = f"/api/v3/{COLLECTION}"
MOST_IN_A_ROUND = 10_000_000
_DATE, _SUM = 1_000_000_000_000, 13


class Client:
    """Makes requests that a server with security accepts: with a JWT and the current time."""

    def __init__(self, token: str, filled: Filled) -> None:
        self._token, self._filled = token, filled
        self._rounds = count()

    def requests(self, operation: str, status: int, length: int) -> Requests:
        """Return the requests for one round, whose right answers have the given status and length."""
        blank = Requests(status, length)
        if operation == "CREATE":
            start = next(self._rounds) * MOST_IN_A_ROUND
            return replace(blank, template=self._create(), start=start, newest=self._filled.oldest - 1)
        if operation in WRITES:
            return replace(
                blank, texts=tuple(self._change(operation, number) for number in range(len(self._filled.identifiers)))
            )
        return replace(blank, texts=tuple(self._get(path) for path in self.paths(operation)))

    def paths(self, operation: str) -> list[str]:
        """Return the paths of an operation that only reads."""
        if operation == "READ":
            return [f"{PATH}/{identifier}" for identifier in self._filled.identifiers]
        if operation == "SEARCH":
            return [f"{PATH}?sort$desc=date&limit={LIMIT}"]
        if operation == "FILTER":
            return [f"{PATH}?type=sgv&sort$desc=date&limit={LIMIT}"]
        if operation == "HISTORY":
            return [f"{PATH}/history/{self._filled.middle}?limit={LIMIT}"]
        return ["/api/v3/status"]

    def ask(self, port: int, operation: str) -> httpx.Response:
        """Send one request of an operation, and return the answer."""
        url = f"http://127.0.0.1:{port}"
        headers = {"Authorization": f"Bearer {self._token}", "Date": formatdate(usegmt=True)}
        if operation == "CREATE":
            document = entry(_identifier(next(self._rounds) * MOST_IN_A_ROUND), self._filled.oldest - 1)
            return httpx.post(url + PATH, json=document, headers=headers, trust_env=False)
        if operation in WRITES:
            new = self.ask(port, "CREATE").json()["identifier"]  # so that the others stay as they are
            document = entry(new, self._filled.oldest - 1) if operation == "PUT" else {"sgv": 100}
            return httpx.request(operation, f"{url}{PATH}/{new}", json=document, headers=headers, trust_env=False)
        plain = {**headers, "Accept-Encoding": "identity"}  # as the load generator asks, which compresses nothing
        return httpx.get(url + self.paths(operation)[0], headers=plain, trust_env=False)

    def _change(self, operation: str, number: int) -> bytes:
        """Return a request that changes one of the documents."""
        document = self._filled.document(number) if operation == "PUT" else {"sgv": 100 + number % 200}
        body = orjson.dumps(document)
        return self._head(operation, f"{PATH}/{self._filled.identifiers[number]}", len(body)) + body

    def _get(self, path: str) -> bytes:
        return f"GET {path} HTTP/1.1\r\n{self._headers()}\r\n".encode()

    def _create(self) -> bytes:
        """Return a template with a place for the number of the document and one for its date."""
        body = orjson.dumps(entry(_identifier(0), _DATE)).decode()
        before, date, after = body.partition(str(_DATE))
        before = before.replace(_identifier(0), _IDENTIFIER)
        return self._head("POST", PATH, len(body)) + f"{before}%0{len(date)}d{after}".encode()

    def _head(self, method: str, path: str, length: int) -> bytes:
        headers = f"{self._headers()}Content-Type: application/json\r\nContent-Length: {length}\r\n"
        return f"{method} {path} HTTP/1.1\r\n{headers}\r\n".encode()

    def _headers(self) -> str:
        date = formatdate(usegmt=True)
        return f"Host: 127.0.0.1\r\nAccept: application/json\r\nAuthorization: Bearer {self._token}\r\nDate: {date}\r\n"


_IDENTIFIER = "5d1c7f7e-2f0a-5d43-%017d"


def _identifier(number: int) -> str:
    return _IDENTIFIER % number


def admin_token(server: Server, api_secret: str) -> str:
    """Return a JWT of the subject `admin`."""
    base = f"http://127.0.0.1:{server.port}/api/v2/authorization"
    digest = hashlib.sha1(api_secret.encode()).hexdigest()  # noqa: S324  (the wire's own)
    subjects = httpx.get(f"{base}/subjects", headers={"api-secret": digest}, trust_env=False).json()
    [admin] = [subject for subject in subjects if subject["name"] == "admin"]
    return str(httpx.get(f"{base}/request/{admin['accessToken']}", trust_env=False).json()["token"])


def storage(server: Server) -> str:
    """Return the name and version of the database, as it reports them."""
    answer = httpx.get(f"http://127.0.0.1:{server.port}/api/v3/version", trust_env=False).json()["result"]["storage"]
    return f"{answer['storage']} {answer['version']}"


def record(response: httpx.Response) -> dict[str, Any]:
    """Return an answer in the form that the ceilings read. They set the date again."""
    headers = [(name, value) for name, value in response.headers.items() if name != "date"]
    return {"status": response.status_code, "headers": headers, "body": response.text}


def bearer(token: str) -> str:
    """Return the header that presents a token."""
    return f"Authorization: Bearer {token}"


def by(read: Requests, jwt: str, header: str) -> Requests:
    """Return the same requests with another credential in place of the JWT."""
    return replace(read, texts=tuple(text.replace(bearer(jwt).encode(), header.encode()) for text in read.texts))
