"""The command scripts/bench people."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx

from bench.databases import databases, durability
from bench.load import WrongAnswer
from bench.measure import load_generator
from bench.options import CONNECTIONS, DATABASES, between
from bench.page import Conditions
from bench.people import report
from bench.people.measure import Measured, Sizes, measure
from bench.report import say

_DESCRIPTION = f"""\
Measures what people cost one server process: their credentials, their sign-ins and their pages.

  READ      one document over {CONNECTIONS} connections, by a JWT, the cookie of a session, and a user token
  SIGN-INS  READ by a JWT, without sign-ins and while many people sign in at once, each from an address of its own. Each of
            them sends POST /api/requestAuthToken again as soon as it is answered, until the round ends.
  PAGES     / with the glucose of 24 hours, and /admin/subjects, one request at a time, signed in by a session
"""

_EPILOG = """\
How to read the tables:

  req/s    median of the rounds; p50 and p99 are over all requests of all rounds.
  CPU      processor time of the server process for each request, without that of PostgreSQL: the median of the rounds.
  CPU is   the processor time divided by that of READ by JWT: the median of the rounds' ratios, with the lowest and the highest
           in brackets. "p99 is" compares the p99 of rounds with sign-ins with the p99 of those without in the same way.
  aim      the most that the median may be. "reached" says whether it is at most that in this run.

Rounds are short and interleaved, so that other load on the machine affects all of them equally. An aim that is not reached
does not change the exit status, because it depends on the machine; a wrong answer does.
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
        sizes=Sizes(given.people, given.subjects, given.seconds, given.rounds),
        write=given.write,
        command=shlex.join(["scripts/bench", "people", *(each for each in arguments if each != str(given.write))]),
    )


def _parser() -> argparse.ArgumentParser:
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("scripts/bench people", description=_DESCRIPTION, epilog=_EPILOG, formatter_class=form)
    parser.add_argument("--people", type=between(1, 200, int), default=20, help="people who sign in at once (20)")
    parser.add_argument("--subjects", type=between(1, 100_000, int), default=10_000, help="number of subjects (10000)")
    parser.add_argument("--seconds", type=between(0.01, 600, float), default=1.0, help="length of a round in seconds (1)")
    parser.add_argument(
        "--rounds",
        type=between(1, 1_000, int),
        default=5,
        help="number of rounds of each kind (5); for READ four times as many, of a quarter of the length",
    )
    parser.add_argument("--database", choices=DATABASES, default="both", help="database to measure (both)")
    written = "write benchmarks-people.md into FOLDER (docs)"
    parser.add_argument("--write", type=Path, nargs="?", const=Path("docs"), metavar="FOLDER", help=written)
    return parser


def people(options: Options, conditions: Conditions) -> int:
    """Measure, print and write the results. Return 0 if all answers were right, otherwise 1."""
    try:
        measured = _measure(options, conditions)
    except (WrongAnswer, RuntimeError, OSError, httpx.HTTPError) as error:
        say(f"scripts/bench people: {error}")
        return 1
    if options.write:
        report.write(options.write, options.command, options.sizes, measured, conditions)
    return 0


def _measure(options: Options, conditions: Conditions) -> list[Measured]:
    measured = []
    with load_generator(conditions.cpus) as run:
        for database in options.databases:
            with databases(database, conditions.cpus) as (folder, new):
                measured.append(measure(options.sizes, database, folder, new("people"), conditions.cpus, run))
            rounds = f"{options.sizes.rounds} rounds of {options.sizes.seconds:g} s"
            title = f"== {database} ({durability(database)}), {rounds}; {conditions.cpus}"
            sys.stdout.write(f"{title}\n\n{report.tables(measured[-1], options.sizes)}\n\n")
            sys.stdout.flush()
    return measured
