"""Interleaved rounds of measurements, and their statistics."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from statistics import median

from bench import load
from bench.load import Requests, Sample
from bench.processes import Cpus, Server

Run = Callable[[int, Requests, float], Sample]
PAIRS = 4
"""Factor by which rounds are shorter and more numerous when the server is compared with itself: the difference is small."""


@contextmanager
def load_generator(cpus: Cpus) -> Iterator[Run]:
    """Start the load generator's process, and yield a function that runs a round in it."""
    with ProcessPoolExecutor(1, get_context("spawn"), load.start_up, (cpus.load,)) as pool:
        yield lambda *arguments: pool.submit(load.run_round, *arguments).result()


@dataclass(frozen=True, slots=True)
class Round:
    """The results of one server in one round. `cpu`: seconds of processor time for each request."""

    sample: Sample
    cpu: float | None


@dataclass(slots=True)
class Series:
    """All rounds of one server with one operation. `memory`: in MB, after the last round."""

    server: str
    rounds: list[Round] = field(default_factory=list)
    memory: float | None = None

    @property
    def rate(self) -> float:
        return median(each.sample.rate for each in self.rounds)

    @property
    def busy(self) -> float:
        return median(each.sample.busy for each in self.rounds)

    @property
    def cpu(self) -> float | None:
        known = [each.cpu for each in self.rounds if each.cpu is not None]
        return median(known) if known else None

    def percentile(self, part: float) -> float:
        """Return a percentile of the latencies of all rounds, in seconds."""
        latencies = sorted(latency for each in self.rounds for latency in each.sample.latencies)
        return latencies[min(len(latencies) - 1, int(len(latencies) * part))]


@dataclass(frozen=True, slots=True)
class Ratio:
    """The median, the lowest and the highest of the rounds' ratios."""

    median: float
    lowest: float
    highest: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Ratio | None:
        return cls(median(values), min(values), max(values)) if values else None


def speed_ratio(one: Series, other: Series) -> Ratio | None:
    """Return the request rate of one divided by that of the other."""
    return Ratio.of([a.sample.rate / b.sample.rate for a, b in zip(one.rounds, other.rounds, strict=True)])


def cpu_ratio(one: Series, other: Series) -> Ratio | None:
    """Return the processor time of the other for a request divided by that of one."""
    pairs = zip(one.rounds, other.rounds, strict=True)
    return Ratio.of([b.cpu / a.cpu for a, b in pairs if a.cpu and b.cpu])


def tail_ratio(one: Series, other: Series) -> Ratio | None:
    """Return the p99 of the other divided by that of one."""
    ours, others = ([Series(each.server, [one]).percentile(0.99) for one in each.rounds] for each in (one, other))
    return Ratio.of([b / a for a, b in zip(ours, others, strict=True)])


def interleaved(
    run: Run, servers: Sequence[Server], requests: Callable[[Server], Requests], seconds: float, rounds: int
) -> list[Series]:
    """Measure servers in turn, in an order that is reversed after each round, after a short warm-up of each."""
    series = {server.name: Series(server.name) for server in servers}
    for server in servers:
        run(server.port, requests(server), seconds / 4)
    for number in range(rounds):
        for server in servers if number % 2 == 0 else reversed(servers):
            series[server.name].rounds.append(_round(run, server, requests(server), seconds))
    for server in servers:
        series[server.name].memory = server.memory
    return list(series.values())


def _round(run: Run, server: Server, requests: Requests, seconds: float) -> Round:
    before = server.cpu_seconds
    sample = run(server.port, requests, seconds)
    after = server.cpu_seconds
    return Round(sample, None if before is None or after is None else (after - before) / len(sample.latencies))
