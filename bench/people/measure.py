"""The measurements on one database, with one server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from email.utils import formatdate
from functools import partial
from pathlib import Path

import httpx

from apiv3.cli.installation import run_on
from apiv3.installation import Installation as Apiv3
from apiv3.model import timestamps
from apiv3.model.identity import Subject
from apiv3.security import secrets
from apiv3.security.authors import OPERATOR
from apiv3.settings import load
from apiv3.storage.policy import PolicyTable
from bench.documents import fill
from bench.load import Requests, Sample, WrongAnswer
from bench.measure import PAIRS, Run, Series, interleaved
from bench.operations import Client, admin_token, bearer, by, storage
from bench.people.sign_ins import SignIns, session, signing_in, user_token
from bench.processes import Cpus, Installation, Server
from bench.report import say
from tests.support.people import PASSWORD

ENTRIES, TREATMENTS = 288, 8
"""Entries of the last 24 hours, one every five minutes, and the treatments that `/` shows."""
ROUNDS = 12
"""PASSWORD_ROUNDS."""
JWT, SESSION, TOKEN = "by JWT", "by session", "by user token"
QUIET, CROWDED = "nobody signs in", "people sign in"
FRONT, SUBJECTS = "/", "/admin/subjects"


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many people sign in at once, how many subjects there are, and the length (s) and number of rounds."""

    people: int
    subjects: int
    seconds: float
    rounds: int


@dataclass(frozen=True, slots=True)
class Measured:
    """The results of one database: its `version` as it reports it, and the series of each table."""

    database: str
    version: str
    reads: list[Series]
    crowd: list[Series]
    pages: list[Series]
    sign_ins: SignIns


class _People:
    """The measurements on one server, to which administrators sign in."""

    def __init__(self, server: Server, sizes: Sizes, run: Run, client: Client, emails: Sequence[str]) -> None:
        self._server, self._sizes, self._run, self._client, self._emails = server, sizes, run, client, emails
        self._length = len(client.ask(server.port, "READ").content)
        self._session = session(server.port, emails[0])
        self.sign_ins = SignIns()

    def reads(self, jwt: str) -> list[Series]:
        """Measure READ by each kind of credential."""
        token = user_token(self._server.port, self._emails[0])
        by_jwt = self._read()
        others = {SESSION: f"Cookie: session={self._session}", TOKEN: bearer(token)}
        return self._compare({JWT: by_jwt} | {name: by(by_jwt, jwt, line) for name, line in others.items()}, PAIRS)

    def crowd(self) -> list[Series]:
        """Measure READ while nobody signs in, and while everybody does."""
        return self._compare({QUIET: self._read(), CROWDED: self._read()})

    def page(self, path: str, shown: str) -> list[Series]:
        """Measure a page, one request at a time. Raise WrongAnswer unless it shows a text."""
        headers = {"Cookie": f"session={self._session}", "Accept": "text/html"}
        answer = httpx.get(f"http://127.0.0.1:{self._server.port}{path}", headers=headers, trust_env=False, timeout=60)
        if answer.status_code != 200 or shown not in answer.text:
            raise WrongAnswer(f"{path}: {answer.status_code}, without {shown!r}: {answer.text[:300]}")
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        text = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{lines}\r\n".encode()
        return self._compare({path: Requests(200, None, (text,), connections=1)})

    def _read(self) -> Requests:
        """Return the requests of READ by JWT, which tell the current time."""
        return self._client.requests("READ", 200, self._length)

    def _compare(self, cases: Mapping[str, Requests], parts: int = 1) -> list[Series]:
        """Measure requests in turn, each under its name. `parts`: how many rounds each round is divided into."""
        servers = [self._server.known_as(name) for name in cases]
        run = partial(self._round, cases.get(CROWDED))
        seconds, rounds = self._sizes.seconds / parts, self._sizes.rounds * parts
        return interleaved(run, servers, lambda server: cases[server.name], seconds, rounds)

    def _round(self, crowded: Requests | None, port: int, requests: Requests, seconds: float) -> Sample:
        """Measure a round. While the `crowded` requests are sent, everybody signs in."""
        with signing_in(port, self._emails, self.sign_ins) if requests is crowded else nullcontext():
            return self._run(port, requests, seconds)


def measure(sizes: Sizes, database: str, folder: Path, url: str, cpus: Cpus, run: Run) -> Measured:
    """Start a server, add people, and measure. Raise WrongAnswer or RuntimeError."""
    say(f"{database}: starting a server, adding {sizes.people} people")
    installation = Installation.make(folder / "people", url)
    settings = load(database_url=url, api_secret=installation.api_secret, password_rounds=ROUNDS)
    with Server(installation, "people", cpus.server, settings={"PASSWORD_ROUNDS": str(ROUNDS)}) as server:
        jwt = admin_token(server, installation.api_secret)
        client = Client(jwt, fill(url, ENTRIES))
        _treat(server, jwt)
        people = _People(server, sizes, run, client, run_on(settings, partial(_add_people, sizes.people)))
        say(f"{database}: READ and sign-ins")
        reads, crowd = people.reads(jwt), people.crowd()
        say(f"{database}: pages, with {sizes.subjects:,} subjects")
        front = people.page(FRONT, "chart-words")
        run_on(settings, partial(_add_subjects, sizes.subjects))
        pages = [*front, *people.page(SUBJECTS, f">App {0:05}<")]
        return Measured(database, storage(server), reads, crowd, pages, people.sign_ins)


def _treat(server: Server, jwt: str) -> None:
    """Store the latest treatments, one every hour."""
    headers = {"Authorization": f"Bearer {jwt}", "Date": formatdate(usegmt=True)}
    url, latest = f"http://127.0.0.1:{server.port}/api/v3/treatments", timestamps.now()
    for number in range(TREATMENTS):
        treatment = {"date": latest - number * 3_600_000, "app": "AAPS", "eventType": "Meal Bolus", "insulin": 2.5, "carbs": 30}
        httpx.post(url, json=treatment, headers=headers, trust_env=False).raise_for_status()


async def _add_people(number: int, apiv3: Apiv3) -> list[str]:
    """Add people, and return their e-mail addresses."""
    emails = [f"person-{each}@x.example" for each in range(number)]
    for email in emails:
        await apiv3.accounts.add(email, "", ("admin",), PASSWORD, OPERATOR)
    return emails


async def _add_subjects(number: int, apiv3: Apiv3) -> None:
    """Add subjects in one transaction, because one for each would take minutes."""
    async with PolicyTable(apiv3.database).changing() as writer:
        for each in range(number):
            names = (secrets.object_id(), f"App {each:05}", ("readable",), "Reads the newest values on a phone.")
            await writer.put_subject(Subject(*names, timestamps.iso(timestamps.now()), secrets.mint()))
