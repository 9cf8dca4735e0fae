"""The command `python -m bench`, which scripts/bench runs."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from bench import growth, load, page, report
from bench.databases import databases, durability
from bench.devices.command import PART as DEVICES
from bench.documents import fill
from bench.live import options as live_options
from bench.live.command import live
from bench.measure import PAIRS, Run, Series, interleaved, load_generator
from bench.oauth.command import PART as OAUTH
from bench.operations import Client, admin_token, record
from bench.options import OPERATIONS, SECURITY, Options, parse
from bench.part import Part
from bench.people.command import PART as PEOPLE
from bench.processes import Cpus, Installation, Server, pin
from bench.report import Result, say

OURS, OPEN, ASGI, SQL = "apiv3", "no security", "bare ASGI", "bare SQL"


_PARTS: Mapping[str, Part[Any, Any]] = {part.name: part for part in (PEOPLE, OAUTH, DEVICES)}
"""The parts that the first argument may name, besides `live`."""


def main() -> int:
    """Measure, print and write the results. Return the exit status: 0 if all answers were right, otherwise 1."""
    arguments = sys.argv[1:]
    name = arguments[0] if arguments else ""
    if name == "live":
        return live(live_options.parse(arguments[1:]), _begin())
    if name in _PARTS:
        return _PARTS[name].run(arguments[1:], _begin)
    options, conditions = parse(arguments), _begin()
    cpus = conditions.cpus
    results: list[Result] = []
    grown: list[growth.Grown] = []
    try:
        with load_generator(cpus) as run:
            for database in options.databases:
                with databases(database, cpus) as (folder, new):
                    results += _measure_database(options, database, folder, new("bench"), cpus, run)
                    if options.write:
                        say(f"{database}: import, export, growth and bulk up to {options.sizes[-1]:,} documents")
                        grown.append(growth.measure(options, database, folder, new, cpus, run))
    except (load.WrongAnswer, RuntimeError) as error:  # before anything could be measured
        say(f"scripts/bench: {error}")
        return 1
    if options.write:
        page.write(options.write, options, results, grown, conditions)
    if options.json:
        options.json.write_bytes(orjson.dumps(report.data(results), option=orjson.OPT_INDENT_2))
    return 1 if any(result.failure for result in results) else 0


def _begin() -> page.Conditions:
    """Pin this process, and the processes that it starts by default, to the cores of the load generator."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers are ended
    conditions = page.Conditions(os.getloadavg()[0], Cpus.share())
    pin(os.getpid(), conditions.cpus.load)
    return conditions


def _measure_database(options: Options, database: str, folder: Path, url: str, cpus: Cpus, run: Run) -> list[Result]:
    say(f"{database}: starting servers, storing {options.documents:,} documents")
    with ExitStack() as stack:
        bench = _Bench(stack, Installation.make(folder / "installation", url), options, cpus, run)
        results = bench.measure_all(database)
    for connections in options.connections:
        of_these = [each for each in results if each.connections == connections]
        sys.stdout.write(f"{_title(database, options, connections, cpus)}\n\n{report.table(of_these)}\n\n")
    sys.stdout.flush()
    return results


def _title(database: str, options: Options, connections: int, cpus: Cpus) -> str:
    rounds = f"{options.rounds} rounds of {options.seconds:g} s, {report.counted(connections)}"
    return f"== {database} ({durability(database)}), {options.documents:,} documents, {rounds}; {cpus}"


class _Bench:
    """The servers on one database, and the measurements of their operations."""

    def __init__(self, stack: ExitStack, installation: Installation, options: Options, cpus: Cpus, run: Run) -> None:
        self._options, self._run = options, run
        start = partial(Server, installation, cpus=cpus.server)
        self._ours = stack.enter_context(start(OURS))
        self._filled = fill(installation.url, options.documents)
        self._client = Client(admin_token(self._ours, installation.api_secret), self._filled)
        self._expected = {name: self._client.ask(self._ours.port, name) for name in OPERATIONS}
        answers = {name: record(response) for name, response in self._expected.items()}
        (installation.folder / "answers.json").write_bytes(orjson.dumps(answers))
        ceiling = ["bench.ceilings", str(installation.folder), "{port}"]
        self._asgi = stack.enter_context(start(ASGI, module=ceiling))
        self._sql = stack.enter_context(start(SQL, module=[*ceiling, installation.url]))
        self._open = stack.enter_context(start(OPEN, settings={"API3_SECURITY_ENABLE": "false"}))
        self._check()

    def _check(self) -> None:
        """Raise WrongAnswer unless the ceilings answer like apiv3: byte for byte, except where answers contain the time."""
        for name, expected in self._expected.items():
            for server in self._servers(name):
                answer = self._client.ask(server.port, name)
                same = name in ("CREATE", "PUT", "STATUS") or answer.content == expected.content
                if (answer.status_code, len(answer.content)) != (expected.status_code, len(expected.content)) or not same:
                    raise load.WrongAnswer(f"{name}: {server.name} answers {answer.text[:300]}, apiv3 {expected.text[:300]}")

    def _servers(self, operation: str) -> list[Server]:
        if operation == SECURITY:
            return [self._ours, self._open]
        return [self._ours, self._asgi] if operation == "STATUS" else [self._ours, self._asgi, self._sql]

    def measure_all(self, database: str) -> list[Result]:
        """Measure all operations. SECURITY is first, because its two servers must have done the same work before."""
        operations = self._options.operations
        results = [
            self.measure(database, name, connections)
            for name in sorted(operations, key=lambda name: name != SECURITY)
            for connections in self._options.connections
        ]
        return sorted(results, key=lambda result: operations.index(result.operation))

    def measure(self, database: str, operation: str, connections: int) -> Result:
        """Measure all rounds of one operation. The result has the first wrong answer, if there is one."""
        say(f"{database}: {operation}, {report.counted(connections)}")
        try:
            return Result(database, operation, self._series(operation, connections), connections=connections)
        except load.WrongAnswer as error:
            say(f"{database}: {operation} FAILED: {error}")
            return Result(database, operation, failure=str(error), connections=connections)

    def _series(self, operation: str, connections: int) -> list[Series]:
        sent = "READ" if operation == SECURITY else operation
        length = len(self._expected[sent].content)
        status = 201 if sent == "CREATE" else 200
        parts = PAIRS if operation == SECURITY else 1
        seconds, rounds = self._options.seconds / parts, self._options.rounds * parts

        def requests(_: Server) -> load.Requests:
            return replace(self._client.requests(sent, status, length), connections=connections)

        return interleaved(self._run, self._servers(operation), requests, seconds, rounds)


if __name__ == "__main__":
    sys.exit(main())
