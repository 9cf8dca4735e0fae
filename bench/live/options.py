"""The command line of scripts/bench live."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.options import CONNECTIONS, DATABASES, between

ROUND = 10
"""A round of writing takes `seconds` divided by this."""

_DESCRIPTION = f"""\
Measures the live channels of one server process: Socket.IO over websockets, subscribed to the namespace /storage.

  TOLD      creates new entries at a steady rate, one after the other. Every subscriber must receive each of them, in order
            and once; otherwise the exit status is 1.
  MEMORY    shows the memory of the server process, before the subscribers connect and with them.
  WRITING   sends CREATE over {CONNECTIONS} connections at full speed to three servers in turn: one without subscribers, one
            with subscribers of another collection, and one with subscribers of this collection. The length of a round is a
            tenth of --seconds.
"""

_EPILOG = """\
How to read the tables (times in milliseconds):

  commit at most   time from `srvModified`, which is set just before the commit, until a subscriber has the change.
  at least         the same from when the writer had its answer, which is after the commit. It may be negative. The time
                   from the commit itself is between these two.
  last at most     like `commit at most`, until the last of all subscribers has the change.
  CPU              processor time of the server process; "each" is for sending one change to one subscriber.
  busy %           how busy the process of the subscribers was. Near 100, it was the bottleneck and not the server.
  written are      the speed divided by that without subscribers: the median of the rounds' ratios, with lowest and highest in
                   brackets.
  let go           subscribers in all rounds whose connection the server ended because too much data waited for them. (Real
                   clients would reconnect with their cursors.) Until then they must have received every change.
  told after       median time from the last answer of a round until the last subscriber had the last change.
"""


@dataclass(frozen=True, slots=True)
class Options:
    """What to measure. `rate`: changes a second. `seconds`: how long changes are made at this rate."""

    databases: tuple[str, ...]
    subscribers: int
    rate: float
    seconds: float
    rounds: int
    write: Path | None
    command: str

    @property
    def round(self) -> float:
        """The length of one round of writing in seconds."""
        return self.seconds / ROUND


def parse(arguments: Sequence[str]) -> Options:
    """Return the options of a command line. End the program with a message if they are wrong."""
    given = _parser().parse_args(arguments)
    return Options(
        databases=DATABASES[given.database],
        subscribers=given.subscribers,
        rate=given.rate,
        seconds=given.seconds,
        rounds=given.rounds,
        write=given.write,
        command=shlex.join(["scripts/bench", "live", *(each for each in arguments if each != str(given.write))]),
    )


def _parser() -> argparse.ArgumentParser:
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("scripts/bench live", description=_DESCRIPTION, epilog=_EPILOG, formatter_class=form)
    parser.add_argument("--subscribers", type=between(1, 20_000, int), default=1_000, help="number of subscribers (1000)")
    parser.add_argument("--rate", type=between(0.1, 1_000, float), default=5.0, help="changes a second (5)")
    parser.add_argument(
        "--seconds", type=between(0.01, 600, float), default=30.0, help="time for which changes are created, in seconds (30)"
    )
    parser.add_argument(
        "--rounds", type=between(1, 1_000, int), default=5, help="number of rounds of writing on each server (5)"
    )
    parser.add_argument("--database", choices=DATABASES, default="both", help="database to measure (both)")
    written = "write benchmarks-live.md into FOLDER (docs)"
    parser.add_argument("--write", type=Path, nargs="?", const=Path("docs"), metavar="FOLDER", help=written)
    return parser
