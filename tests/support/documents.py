"""Documents for tests, and a corner of a shared server's collection that is one test's own."""

import asyncio
import secrets
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime
from string import ascii_lowercase
from typing import Any, Protocol

import httpx

from apiv3.storage.database import Database
from apiv3.storage.documents import DocumentTable
from tests.support.server import LiveServer

Json = dict[str, Any]
Query = str | Mapping[str, str] | tuple[tuple[str, str], ...]

DATE = 1_600_087_000_000
CREATED_AT = "2020-09-14T12:36:40.000Z"
"""DATE as ISO 8601."""
MINUTE = 60_000
SIX = ("devicestatus", "entries", "food", "profile", "settings", "treatments")
"""The collections of the protocol."""
TESTER = "tester api:*:*"
"""The subject that may do everything."""


def largest_bulk() -> bytes:
    """A thousand documents of 15 MB in all, with as many values as may be.

    Python keeps some ten megabytes after the first one, whoever sends it: it returns whole arenas only, and parts of some hold
    small objects that stay. Further ones add nothing to that, so tests that measure what an attack leaves send one before.
    """
    each = b'{"app":"x","date":%d,"x":[%b],"notes":"%b"}'
    return b"[%b]" % b",".join(each % (DATE + n, b",".join([b"1.5"] * 480), b"a" * 13_000) for n in range(1000))


class NewApi(Protocol):
    """`new_api(server, "api:*:create")`: a client of a subject with these permissions, its paths below /api/v3."""

    def __call__(self, server: LiveServer, *permissions: str) -> httpx.Client: ...


def api_of(server: LiveServer, *permissions: str) -> httpx.Client:
    """A client of the subject with these permissions, who is made when first asked for."""
    name = " ".join(("tester", *permissions))
    known = [each["accessToken"] for each in server.admin("GET", "/subjects") if each["name"] == name]
    client = server.client(known[0] if known else server.subject(name, *permissions))
    client.base_url = httpx.URL(f"{server.url}/api/v3")
    return client


class Corner:
    """The documents of one test in a collection that others use too: it finds them again by their device.

    They are five minutes apart, unless a test says otherwise.
    """

    def __init__(self, api: httpx.Client, collection: str = "treatments") -> None:
        self.api = api
        self.device = f"device-{secrets.token_hex(6)}"
        self.path = f"/{collection}"
        self._made = 0

    def document(self, **fields: Any) -> Json:
        self._made += 1
        return {"date": DATE + self._made * 5 * MINUTE, "app": "tests", "device": self.device, **fields}

    def name(self, suffix: object = "") -> str:
        """An identifier that no other test uses."""
        return f"{self.device}-{suffix}" if suffix else self.device

    def url(self, identifier: str) -> str:
        return f"{self.path}/{identifier}"

    def add(self, **fields: Any) -> str:
        """Stores a new document; returns its identifier."""
        answer = self.api.post(self.path, json=self.document(**fields))
        assert answer.status_code == 201, answer.text
        return str(answer.json()["identifier"])

    def fill(self, *documents: Json) -> None:
        """Stores documents that are known as a, b, c and so on."""
        for letter, fields in zip(ascii_lowercase, documents, strict=False):
            self.add(**{"identifier": self.name(letter), **fields})

    def read(self, identifier: str) -> Json:
        answer = self.api.get(self.url(identifier))
        assert answer.status_code == 200, answer.text
        found: Json = answer.json()["result"]
        return found

    def search(self, query: Query = "") -> list[Json]:
        """What a SEARCH finds among this test's own documents."""
        answer = self.api.get(self.path, params=httpx.QueryParams(query).add("device", self.device))
        assert answer.status_code == 200, answer.text
        found: list[Json] = answer.json()["result"]
        return found

    def cursor(self) -> int:
        """Where the collection's history ends by now."""
        answer = self.api.post(self.path, json=self.document(identifier=self.name("cursor"), date=DATE))
        assert answer.is_success, answer.text
        return int(answer.json()["lastModified"])


def letters(found: list[Json]) -> str:
    """Which of the documents of `Corner.fill` these are: the last letter of each one's identifier."""
    return "".join(each["identifier"][-1] for each in found)


def import_documents(server: LiveServer, collection: str, *documents: Json, identified: bool = False) -> None:
    """Puts documents straight into the server's database, as an import would: unchecked, without an identifier of their own."""

    async def run() -> None:
        database = Database(server.installation.database_url)
        await database.connect()
        try:
            async with DocumentTable(database).writing(collection) as writer:
                for document in documents:
                    now = writer.tick()
                    await writer.insert({"srvCreated": now, "srvModified": now, **document}, identified=identified)
        finally:
            await database.disconnect()

    # A thread of its own, as the caller may be inside an event loop.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, run()).result()


def says_modified(answer: httpx.Response, ms: int) -> bool:
    """Whether Last-Modified names the second of `ms`, or the answer's own where that is earlier (RFC 9110, section 8.8.2.1).

    A collection's clock is ahead of the time after many writes at once.
    """
    said, date = (parsedate_to_datetime(answer.headers[name]).timestamp() for name in ("Last-Modified", "Date"))
    return said in (min(ms // 1000, date), min(ms // 1000, date - 1))
