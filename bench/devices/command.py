"""The command scripts/bench devices."""

from __future__ import annotations

import argparse
import resource
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import websockets

from bench.databases import databases, durability
from bench.devices import report
from bench.devices.crowd import AT_ONCE
from bench.devices.measure import SENDERS, Measured, Sizes, measure
from bench.load import WrongAnswer
from bench.options import DATABASES, between
from bench.page import Conditions
from bench.report import say

_DESCRIPTION = f"""\
Measures what connected devices cost a server process, how fast they send, and how soon they are cut off.

  MESSAGES    documents that {SENDERS} devices send as messages, and as many by {SENDERS} connections as bulk requests
  HANDSHAKES  devices connect, {AT_ONCE} at a time, each until the hub has accepted it
  MEMORY      resident memory of the server process before and after all devices have connected, which are then idle
  REVOCATION  from the request that revokes a device to the end of its connection, by the same and by another process
"""

_EPILOG = """\
How to read the tables:

  messages/s, bulk/s  median of the rounds; each message or request has the number of documents that the row names.
  speed is            messages a second divided by bulk requests a second: the median of the rounds' ratios, with the lowest
                      and the highest in brackets
  aim                 what the median, the memory or the p95 should be. "reached" says whether it is so in this run.

An aim that is not reached does not change the exit status, because it depends on the machine; a wrong answer does.
"""


@dataclass(frozen=True, slots=True)
class Options:
    """What to measure."""

    databases: tuple[str, ...]
    sizes: Sizes
    write: Path | None
    command: str


def parse(arguments: Sequence[str]) -> Options:
    """Return the options of a command line. End the program with a message if they are wrong."""
    given = _parser().parse_args(arguments)
    return Options(
        databases=DATABASES[given.database],
        sizes=Sizes(given.devices, given.revoked, given.seconds, given.rounds),
        write=given.write,
        command=shlex.join(["scripts/bench", "devices", *(each for each in arguments if each != str(given.write))]),
    )


def _parser() -> argparse.ArgumentParser:
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("scripts/bench devices", description=_DESCRIPTION, epilog=_EPILOG, formatter_class=form)
    parser.add_argument("--devices", type=between(1, 10_000, int), default=1_000, help="connected devices (1000)")
    parser.add_argument("--revoked", type=between(1, 500, int), default=20, help="devices that each process revokes (20)")
    parser.add_argument("--seconds", type=between(0.01, 600, float), default=1.0, help="length of a round in seconds (1)")
    parser.add_argument("--rounds", type=between(1, 1_000, int), default=5, help="number of rounds of each kind (5)")
    parser.add_argument("--database", choices=DATABASES, default="both", help="database to measure (both)")
    written = "write benchmarks-devices.md into FOLDER (docs)"
    parser.add_argument("--write", type=Path, nargs="?", const=Path("docs"), metavar="FOLDER", help=written)
    return parser


def devices(options: Options, conditions: Conditions) -> int:
    """Measure, print and write the results. Return 0 if all answers were right, otherwise 1."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    try:
        measured = _measure(options, conditions)
    except (WrongAnswer, RuntimeError, OSError, httpx.HTTPError, websockets.WebSocketException) as error:
        say(f"scripts/bench devices: {type(error).__name__}: {error}")
        return 1
    if options.write:
        report.write(options.write, options.command, options.sizes, measured, conditions)
    return 0


def _measure(options: Options, conditions: Conditions) -> list[Measured]:
    measured = []
    for database in options.databases:
        with databases(database, conditions.cpus) as (folder, new):
            measured.append(measure(options.sizes, database, folder, new("devices"), conditions.cpus))
        title = f"== {database} ({durability(database)}); {conditions.cpus}"
        sys.stdout.write(f"{title}\n\n{report.tables(measured[-1])}\n\n")
        sys.stdout.flush()
    return measured
