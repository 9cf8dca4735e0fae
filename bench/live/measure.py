"""The measurements on one database, with three servers and their subscribers."""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from email.utils import formatdate
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import httpx

from bench.documents import COLLECTION, FIVE_MINUTES, Filled, entry
from bench.live import subscribers
from bench.live.delivery import Delivery
from bench.live.options import Options
from bench.load import Requests, Sample, WrongAnswer
from bench.measure import Run, Series, interleaved
from bench.operations import PATH, Client, admin_token, storage
from bench.processes import Cpus, Installation, Server
from bench.report import say

NOBODY, OTHERS, TOLD = "nobody", "of others", "of these"
OTHER_COLLECTION = "treatments"
PATIENCE = 20.0
"""Seconds without any change after which the missing changes count as lost."""
PAGE = 1_000
_WARM_UP = 1.0
_TICK = 10.0
"""Seconds between two messages about the progress."""
Ask = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Latency:
    """Changes at a steady rate. `seconds`: their duration; `cpu`: the server's processor time in seconds. In seconds, sorted:

    `waits`: from `srvModified` to each receipt; `after_answer`: from the answer to the writer to each receipt;
    `lasts`: from `srvModified` until the last subscriber had the change.
    """

    changes: int
    seconds: float
    delivery: Delivery
    waits: array[float]
    after_answer: array[float]
    lasts: array[float]
    cpu: float | None


@dataclass(frozen=True, slots=True)
class Memory:
    """The memory of the server process in MB; None if the system does not report it."""

    before: float | None
    subscribed: float | None
    after: float | None


@dataclass(frozen=True, slots=True)
class Round:
    """The changes of a round: their number, and the seconds from the last answer until the last change arrived."""

    changes: int
    delivery: Delivery
    later: float


@dataclass(frozen=True, slots=True)
class Measured:
    """The results of one database: its `version` as it reports it, and a series of rounds of CREATE for each server."""

    database: str
    version: str
    latency: Latency
    memory: Memory
    series: list[Series]
    rounds: dict[str, list[Round]]

    @property
    def faults(self) -> list[str]:
        """Return all faults. At a steady rate, a disconnected subscriber is a fault too."""
        steady = self.latency.delivery
        gone = [f"{steady.let_go} subscribers were let go at a steady rate"] if steady.let_go else []
        rounds = (each.delivery.faults for all_of_one in self.rounds.values() for each in all_of_one)
        return [*gone, *steady.faults, *(fault for faults in rounds for fault in faults)]


@contextmanager
def crowd(cpus: Cpus) -> Iterator[Ask]:
    """Start the process of the subscribers, and yield a function that calls a function of `subscribers` there."""
    with ProcessPoolExecutor(1, get_context("spawn"), subscribers.start_up, (cpus.load,)) as pool:
        yield lambda function, *arguments: pool.submit(function, *arguments).result()


class _Place:
    """A running server and its subscribers. `collection`: the one that they subscribe to; None: no subscribers."""

    def __init__(self, server: Server, api_secret: str, collection: str | None, ask: Ask) -> None:
        self.server, self._collection, self._ask = server, collection, ask
        self._token = admin_token(server, api_secret)
        self._http = httpx.Client(base_url=f"http://127.0.0.1:{server.port}", trust_env=False, timeout=60)
        self._oldest = time.time_ns() // 1_000_000
        self._client = Client(self._token, Filled((), 0, self._oldest))
        first = self._client.ask(server.port, "CREATE")
        self._length = len(first.content)
        self.since = int(first.json()["lastModified"])
        self._written = 0

    def close(self) -> None:
        self._http.close()

    def gather(self, number: int) -> None:
        """Connect all subscribers, and forget the changes that they have received."""
        if self._collection is not None:
            self._ask(subscribers.gather, self.server.port, self._token, self._collection, number)

    def settle(self, stored: array[int]) -> Delivery:
        """Return which of the stored changes they received. They should receive none of another collection."""
        if self._collection is None:
            return Delivery(0, 0, 0)
        due = stored if self._collection == COLLECTION else array("q")
        delivery: Delivery = self._ask(subscribers.settle, self.server.port, due, PATIENCE)
        return delivery

    def stored(self, since: int) -> array[int]:
        """Return the `srvModified` of all changes after the given one, from HISTORY."""
        found = array("q")
        while page := self._page(found[-1] if found else since):
            found.extend(page)
        return found

    def _page(self, since: int) -> list[int]:
        query = {"limit": str(PAGE), "fields": "srvModified"}
        answer = self._http.get(f"{PATH}/history/{since}", params=query, headers=self._headers()).raise_for_status()
        return [each["srvModified"] for each in answer.json()["result"]]

    def create(self) -> int:
        """Create an entry, and return its `srvModified`. Raise WrongAnswer."""
        self._written += 1
        document = entry(f"live-{self._written:012}", self._oldest - self._written * FIVE_MINUTES)
        answer = self._http.post(PATH, json=document, headers=self._headers())
        if answer.status_code != 201:
            raise WrongAnswer(f"CREATE: {answer.text[:300]}")
        return int(answer.json()["lastModified"])

    def requests(self) -> Requests:
        """Return the requests of a round of writing."""
        return self._client.requests("CREATE", 201, self._length)

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token}", "Date": formatdate(usegmt=True)}


class _Live:
    """The measurements on one database."""

    def __init__(self, options: Options, database: str, places: dict[str, _Place], run: Run, ask: Ask) -> None:
        self._options, self._database, self._places = options, database, places
        self._run, self._ask = run, ask
        self._told = places[TOLD]
        self._by_port = {place.server.port: name for name, place in places.items()}
        self._rounds: dict[str, list[Round]] = {name: [] for name in places}

    def measure(self) -> Measured:
        """Run all measurements, one after the other. Raise WrongAnswer or RuntimeError."""
        version = storage(self._told.server)
        memory, latency = self._latency()
        for place in self._places.values():
            place.gather(self._options.subscribers)
        series = self._writing()
        return Measured(self._database, version, latency, memory, series, self._rounds)

    # --- told, and memory

    def _latency(self) -> tuple[Memory, Latency]:
        number = self._options.subscribers
        self._told.gather(1)
        self._changes(_WARM_UP)
        before = self._told.server.memory
        self._say(f"{number:,} subscribers come in")
        self._told.gather(number)
        self._changes(_WARM_UP)
        subscribed = self._told.server.memory
        self._say(f"{self._options.rate:g} changes a second for {self._options.seconds:g} s")
        self._told.gather(number)
        latency = self._changes(self._options.seconds)
        return Memory(before, subscribed, self._told.server.memory), latency

    def _changes(self, seconds: float) -> Latency:
        """Write at the given rate, and measure how soon all subscribers have the changes."""
        server = self._told.server
        before, started = server.cpu_seconds, time.perf_counter()
        answered = dict(self._write(seconds))
        took = time.perf_counter() - started
        delivery = self._settle(self._told)[1]
        after = server.cpu_seconds
        cpu = None if before is None or after is None else after - before
        told = self._ask(subscribers.receipts, server.port)
        pairs = [pair for modified, received in told for pair in zip(modified, received, strict=True)]
        last: dict[int, float] = {}
        for modified, received in pairs:
            last[modified] = max(received, last.get(modified, 0.0))
        waits = _sorted(received - modified / 1000 for modified, received in pairs)
        after_answer = _sorted(received - answered[modified] for modified, received in pairs if modified in answered)
        lasts = _sorted(received - modified / 1000 for modified, received in last.items())
        return Latency(len(answered), took, delivery, waits, after_answer, lasts, cpu)

    def _write(self, seconds: float) -> Iterator[tuple[int, float]]:
        """Return the `srvModified` (ms) of each change, and when its answer arrived (s since 1970)."""
        started = time.perf_counter()
        said = started
        for number in range(max(1, round(seconds * self._options.rate))):
            time.sleep(max(0.0, started + number / self._options.rate - time.perf_counter()))
            yield self._told.create(), time.time()
            if time.perf_counter() - said >= _TICK:
                said = time.perf_counter()
                self._say(f"{said - started:.0f} of {seconds:g} s")

    def _settle(self, place: _Place) -> tuple[array[int], Delivery]:
        stored = place.stored(place.since)
        place.since = stored[-1] if stored else place.since
        return stored, place.settle(stored)

    # --- writing

    def _writing(self) -> list[Series]:
        servers = [place.server for place in self._places.values()]
        series = interleaved(self._round, servers, self._prepare, self._options.round, self._options.rounds)
        for rounds in self._rounds.values():
            del rounds[0]  # the warm-up
        return series

    def _prepare(self, server: Server) -> Requests:
        """Return the requests of a round. Disconnected subscribers reconnect first, so that all rounds begin alike."""
        place = self._places[server.name]
        place.gather(self._options.subscribers)
        return place.requests()

    def _round(self, port: int, requests: Requests, seconds: float) -> Sample:
        """Measure a round. Its processor time includes the time until all subscribers have all changes."""
        name = self._by_port[port]
        sample = self._run(port, requests, seconds)
        ended = time.time()
        stored, delivery = self._settle(self._places[name])
        self._rounds[name].append(Round(len(stored), delivery, max(0.0, delivery.last - ended)))
        self._say(f"written with subscribers {name}: {sample.rate:,.0f} a second, {delivery.let_go:,} let go")
        return sample

    def _say(self, text: str) -> None:
        say(f"{self._database}: {text}")


def _sorted(values: Iterable[float]) -> array[float]:
    return array("d", sorted(values))


def measure(
    options: Options, database: str, folder: Path, new: Callable[[str], str], cpus: Cpus, run: Run, ask: Ask
) -> Measured:
    """Start the servers, each on an empty database, and measure. Raise WrongAnswer or RuntimeError."""
    say(f"{database}: starting servers")
    settings = {"API3_LIVE_CONNECTIONS": str(options.subscribers)}
    collections = {NOBODY: None, OTHERS: OTHER_COLLECTION, TOLD: COLLECTION}
    with ExitStack() as stack:
        places = {}
        for number, (name, collection) in enumerate(collections.items()):
            installation = Installation.make(folder / f"live-{number}", new(f"live-{number}"))
            server = stack.enter_context(Server(installation, name, cpus.server, settings=settings))
            places[name] = _Place(server, installation.api_secret, collection, ask)
            stack.callback(places[name].close)
        return _Live(options, database, places, run, ask).measure()
