"""Measure the same requests on collections of several sizes, and the speed of import, export and bulk requests."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from email.utils import formatdate
from functools import partial
from pathlib import Path

import httpx
import orjson

from bench import documents
from bench.documents import COLLECTION, FIVE_MINUTES, Filled
from bench.load import Requests, WrongAnswer
from bench.measure import Run, interleaved
from bench.operations import PATH, Client, admin_token, storage
from bench.options import Options
from bench.processes import Cost, Cpus, Installation, Server, run_command
from bench.report import Result

OPERATIONS = ("READ", "SEARCH", "FILTER", "HISTORY")
IN_ONE_REQUEST = 500


@dataclass(frozen=True, slots=True)
class Transfer:
    """The documents that were imported or exported, and the cost."""

    name: str
    documents: int
    cost: Cost

    @property
    def rate(self) -> float:
        return self.documents / self.cost.seconds


@dataclass(frozen=True, slots=True)
class Grown:
    """The results of one database: its `version` as it reports it, a series for each size and operation, and the transfers."""

    database: str
    version: str
    growth: list[Result]
    transfers: list[Transfer]


class _Sized:
    """A collection of one size, filled by `apiv3 import`."""

    def __init__(self, installation: Installation, size: int, cpus: Cpus) -> None:
        self.size, self._installation = size, installation
        self.server = Server(installation, f"{size:,}", cpus.server)
        self._run = partial(run_command, installation, cpus.server)

    def transfer(self) -> Iterator[Transfer]:
        """Import the documents, then export them and check that the number is the same."""
        file, copy = self._installation.folder / f"{COLLECTION}.ndjson", self._installation.folder / "copy.ndjson"
        self._oldest = documents.write(file, self.size)
        yield Transfer("import", self.size, self._run("import", str(file)))
        asyncio.run(documents.tidy(self._installation.url))
        yield Transfer("export", self.size, self._run("export", COLLECTION, "--output", str(copy)))
        with copy.open("rb") as lines:
            found = sum(1 for _ in lines)
        if found != self.size:
            raise WrongAnswer(f"{self.size} documents were imported, but {found} exported")
        file.unlink()
        copy.unlink()

    def connect(self) -> str:
        """Prepare to send requests, and return the name and version of the database."""
        self._token = admin_token(self.server, self._installation.api_secret)
        self.client = Client(self._token, Filled(documents.sample(self.size), 0, self._oldest))
        middle = self._get(f"{PATH}/{documents.identifier(self.size // 2)}").json()["result"]
        self.client = Client(self._token, Filled(documents.sample(self.size), middle["srvModified"], self._oldest))
        return storage(self.server)

    def requests(self, operation: str) -> Requests:
        """Return the requests of one round. They are sent one at a time, so that no request waits for another."""
        answer = self.client.ask(self.server.port, operation)
        if answer.status_code != 200:
            raise WrongAnswer(f"{operation} at {self.size} documents: {answer.text[:300]}")
        return replace(self.client.requests(operation, 200, len(answer.content)), connections=1)

    def bulk(self, requests: int) -> Transfer:
        """Send the given number of bulk requests with new documents, one after the other."""
        bodies = [self._body(number) for number in range(requests)]
        with httpx.Client(base_url=self._base, headers=self._headers(), trust_env=False, timeout=120) as http:
            started, before = time.perf_counter(), self.server.cpu_seconds
            answers = [http.post(f"{PATH}/bulk", content=body) for body in bodies]
            seconds, after = time.perf_counter() - started, self.server.cpu_seconds
        stored = sum(each["status"] == 201 for answer in answers for each in answer.json()["result"])
        if stored != requests * IN_ONE_REQUEST:
            raise WrongAnswer(f"bulk stored {stored} of {requests * IN_ONE_REQUEST} documents: {answers[0].text[:300]}")
        cpu = None if before is None or after is None else after - before
        return Transfer("bulk", stored, Cost(seconds, cpu, self.server.peak_memory))

    def _body(self, request: int) -> bytes:
        """Return the body of a bulk request, with documents older than all others."""
        numbers = range(request * IN_ONE_REQUEST, (request + 1) * IN_ONE_REQUEST)
        dates = {number: self._oldest - (number + 1) * FIVE_MINUTES for number in numbers}
        return orjson.dumps([documents.entry(f"bulk-{number:012}", date) for number, date in dates.items()])

    @property
    def _base(self) -> str:
        return f"http://127.0.0.1:{self.server.port}"

    def _headers(self) -> dict[str, str]:
        date = formatdate(usegmt=True)
        return {"Authorization": f"Bearer {self._token}", "Date": date, "Content-Type": "application/json"}

    def _get(self, path: str) -> httpx.Response:
        return httpx.get(self._base + path, headers=self._headers(), trust_env=False).raise_for_status()


def measure(options: Options, database: str, folder: Path, new: Callable[[str], str], cpus: Cpus, run: Run) -> Grown:
    """Fill collections of all sizes, then measure them in turn. Raise WrongAnswer or RuntimeError if anything fails."""
    made = [(size, Installation.make(folder / f"size-{size}", new(f"size-{size}"))) for size in options.sizes]
    sized = [_Sized(installation, size, cpus) for size, installation in made]
    transfers = [transfer for each in sized for transfer in each.transfer()]
    with ExitStack() as stack:
        servers = [stack.enter_context(each.server) for each in sized]
        versions = [each.connect() for each in sized]
        of = {each.server.name: each for each in sized}

        def series(operation: str) -> Result:
            sent = {name: each.requests(operation) for name, each in of.items()}
            rounds = interleaved(run, servers, lambda server: sent[server.name], options.seconds / 2, options.rounds)
            return Result(database, operation, rounds)

        growth = [series(operation) for operation in OPERATIONS]
        transfers.append(sized[0].bulk(max(1, options.sizes[-1] // 20 // IN_ONE_REQUEST)))
    return Grown(database, versions[0], growth, transfers)
