"""The command line of scripts/bench live."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.options import CONNECTIONS, DATABASES, between

ROUND = 10
"""A round of writing takes this part of the time in which changes are told."""

_DESCRIPTION = f"""\
Measures the live channels of one server process: Socket.IO over websockets, subscribed to the namespace /storage.

  TOLD      so many new entries a second are created, one after the other; every subscriber must be told of each, in order
            and once. If not, the exit status is 1.
  MEMORY    of the server process, before the subscribers came and with them
  WRITING   CREATE over {CONNECTIONS} connections as fast as it goes, on three servers in turn: one without subscribers, one
            with as many that subscribe to another collection, one with those who are told. Its rounds are a tenth of
            --seconds.
"""

_EPILOG = """\
How to read the tables (times in milliseconds):

  commit at most   from `srvModified`, which is taken just before the commit, until a subscriber has the change.
  at least         the same from when the one who wrote had the answer, which is after the commit: the truth is between.
                   It may be negative.
  last at most     as `commit at most`, until the last of all subscribers has it.
  CPU              of the server process; "each" is for one change to one subscriber.
  busy %           how busy the process of all the subscribers was: near 100, it was the limit rather than the server.
  written are      the speed over that without subscribers: median of the rounds' ratios, lowest to highest in brackets.
  let go           subscribers, in all rounds, whose connection the server ended because too much waited for them (they
                   would come back with their cursors). What they were told until then must have been without a gap.
  told after       how long after the last answer of a round the last subscriber had the last change: median.
"""


@dataclass(frozen=True, slots=True)
class Options:
    """What to measure. `rate`: changes a second; `seconds`: for how long."""

    databases: tuple[str, ...]
    subscribers: int
    rate: float
    seconds: float
    rounds: int
    write: Path | None
    command: str

    @property
    def round(self) -> float:
        """Seconds of one round of writing."""
        return self.seconds / ROUND


def parse(arguments: Sequence[str]) -> Options:
    """The options of a command line; ends the program, with a message, when they are wrong."""
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
    parser.add_argument("--subscribers", type=between(1, 20_000, int), default=1_000, help="how many there are (1000)")
    parser.add_argument("--rate", type=between(0.1, 1_000, float), default=5.0, help="changes a second (5)")
    parser.add_argument("--seconds", type=between(0.01, 600, float), default=30.0, help="for how long (30)")
    parser.add_argument("--rounds", type=between(1, 1_000, int), default=5, help="rounds of writing on each server (5)")
    parser.add_argument("--database", choices=DATABASES, default="both", help="which database (both)")
    written = "write benchmarks-live.md into FOLDER (docs)"
    parser.add_argument("--write", type=Path, nargs="?", const=Path("docs"), metavar="FOLDER", help=written)
    return parser
