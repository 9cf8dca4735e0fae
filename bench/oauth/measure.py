"""The measurements on one database, with two servers: one without tokens, one with many that have expired."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from apiv3.cli.installation import run_on
from apiv3.installation import Installation as Apiv3
from apiv3.model import timestamps
from apiv3.model.clients import Client as OAuth2Client
from apiv3.model.identity import Subject
from apiv3.security.authors import OPERATOR
from apiv3.security.oauth2.access_tokens import BATCH
from apiv3.security.oauth2.grants.client_credentials import ClientCredentialsGrant
from apiv3.settings import load
from bench.documents import fill
from bench.load import Requests
from bench.measure import PAIRS, Run, Series, interleaved
from bench.operations import Client, admin_token, bearer, by, storage
from bench.processes import Cpus, Installation, Server
from bench.report import say

ENTRIES = 288
"""Entries that READ asks for in turn."""
OF_ONE_GRANT = 10
"""Expired tokens for each grant."""
HOUR = 3_600_000
JWT, TOKEN = "by JWT", "by access token"
EMPTY, FULL = "no others", "expired ones"
ISSUE, INTROSPECT = "TOKEN", "INTROSPECT"
_GRANT = """INSERT INTO grants (id, client, subject, nonce, way, scopes, begun, seen, expires)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"""
_ACCESS = "INSERT INTO access_tokens (digest, grant_id, scopes, issued, expires) VALUES (?, ?, ?, ?, ?)"


@dataclass(frozen=True, slots=True)
class Sizes:
    """The number of expired tokens, and the length (s) and number of rounds."""

    tokens: int
    seconds: float
    rounds: int


@dataclass(frozen=True, slots=True)
class Pruned:
    """What deleting expired tokens took: their number, and the seconds of all transactions and of the longest one."""

    tokens: int
    seconds: float
    longest: float


@dataclass(frozen=True, slots=True)
class Measured:
    """The results of one database: its `version` as it reports it, the series of READ and of each pair, and the pruning."""

    database: str
    version: str
    reads: list[Series]
    pairs: Mapping[str, list[Series]]
    pruned: Pruned


@dataclass(frozen=True, slots=True)
class Application:
    """A client on one server, with an access token of it."""

    id: str
    secret: str
    token: str

    def requests(self, operation: str) -> Requests:
        """Return the requests of an operation at the endpoints for programs."""
        own = {"client_id": self.id, "client_secret": self.secret}
        if operation == ISSUE:
            return _post("/oauth/token", own | {"grant_type": "client_credentials"})
        return _post("/oauth/introspect", own | {"token": self.token})


def measure(sizes: Sizes, database: str, folder: Path, new: Callable[[str], str], cpus: Cpus, run: Run) -> Measured:
    """Start two servers, store expired tokens on one of them, measure, and delete them. Raise WrongAnswer or RuntimeError."""
    say(f"{database}: starting two servers, storing {sizes.tokens:,} expired tokens")
    with ExitStack() as stack:
        sides = {name: _Side(stack, name, folder, new, cpus) for name in (EMPTY, FULL)}
        sides[FULL].run(partial(_store_expired, sizes.tokens, sides[FULL].application.id))
        say(f"{database}: READ, TOKEN and INTROSPECT")
        reads = sides[EMPTY].reads(sizes, run)
        pairs = {operation: _pair(sides, operation, sizes, run) for operation in (ISSUE, INTROSPECT)}
        say(f"{database}: deleting {sizes.tokens:,} expired tokens")
        return Measured(database, storage(sides[EMPTY].server), reads, pairs, sides[FULL].run(_prune))


class _Side:
    """One server, with an application that may read."""

    def __init__(self, stack: ExitStack, name: str, folder: Path, new: Callable[[str], str], cpus: Cpus) -> None:
        url = new(name.replace(" ", "-"))
        self._installation = Installation.make(folder / name.replace(" ", "-"), url)
        self._settings = load(database_url=url, api_secret=self._installation.api_secret)
        self.server = stack.enter_context(Server(self._installation, name, cpus.server))
        self._filled = fill(url, ENTRIES)
        self.application: Application = self.run(_application)

    def run(self, work: Callable[[Apiv3], Any]) -> Any:
        return run_on(self._settings, work)

    def reads(self, sizes: Sizes, run: Run) -> list[Series]:
        """Measure READ by JWT and by access token in turn."""
        jwt = admin_token(self.server, self._installation.api_secret)
        client = Client(jwt, self._filled)
        by_jwt = client.requests("READ", 200, len(client.ask(self.server.port, "READ").content))
        cases = {JWT: by_jwt, TOKEN: by(by_jwt, jwt, bearer(self.application.token))}
        servers = [self.server.known_as(name) for name in cases]
        return interleaved(run, servers, lambda server: cases[server.name], sizes.seconds / PAIRS, sizes.rounds * PAIRS)


def _pair(sides: Mapping[str, _Side], operation: str, sizes: Sizes, run: Run) -> list[Series]:
    """Measure an operation on both sides in turn."""

    def requests(server: Server) -> Requests:
        return sides[server.name].application.requests(operation)

    servers = [side.server for side in sides.values()]
    return interleaved(run, servers, requests, sizes.seconds / PAIRS, sizes.rounds * PAIRS)


def _post(path: str, form: Mapping[str, str]) -> Requests:
    body = urlencode(form)
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/x-www-form-urlencoded\r\n"
    return Requests(200, None, (f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode(),))


async def _application(apiv3: Apiv3) -> Application:
    """Register an application that may read everything and ask about its tokens."""
    names = Subject("", "application", ("readable",))
    added = await apiv3.clients.add(OAuth2Client("", scopes=("read",)), names, OPERATOR, public=False)
    issued = await ClientCredentialsGrant(apiv3.scopes, apiv3.issuer).issue(added.application, ("read",))
    return Application(added.application.client.id, added.secret or "", issued.access)


async def _store_expired(tokens: int, client: str, apiv3: Apiv3) -> None:
    """Store tokens of the client for other subjects, which expired an hour ago: too recently for the server to delete them."""
    expired = timestamps.now() - HOUR
    moments = (expired - HOUR, expired)
    numbers, fixed = range(-(-tokens // OF_ONE_GRANT)), ("", "authorization_code", "read", *moments, expired)
    grants = ((f"g{n}", client, f"s{n}", *fixed) for n in numbers)
    access = ((f"d{n}", f"g{n // OF_ONE_GRANT}", "read", *moments) for n in range(tokens))
    async with apiv3.database.transaction("bench") as connection:
        for insert, rows in ((_GRANT, grants), (_ACCESS, access)):
            while some := list(islice(rows, 10_000)):
                await connection.executemany(apiv3.database.dialect.sql(insert), some)
        if apiv3.database.dialect.remote:  # PostgreSQL does so by itself within a minute; no table grows as fast as here
            await connection.execute("ANALYZE grants, access_tokens")


async def _prune(apiv3: Apiv3) -> Pruned:
    """Delete what has expired as the server does, and time it."""
    before, took = timestamps.now(), list[float]()
    tokens, deleted = 0, BATCH
    while deleted == BATCH:
        started = time.perf_counter()
        deleted = await apiv3.grant_table.prune(before, BATCH)
        took.append(time.perf_counter() - started)
        tokens += deleted
    return Pruned(tokens, sum(took), max(took))
