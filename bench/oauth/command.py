"""The command scripts/bench oauth."""

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
from bench.oauth import report
from bench.oauth.measure import Measured, Sizes, measure
from bench.options import CONNECTIONS, DATABASES, between
from bench.page import Conditions
from bench.report import say

_DESCRIPTION = f"""\
Measures what tokens of applications cost a server process, and whether expired ones slow it down.

  READ        one document over {CONNECTIONS} connections, by a JWT and by the access token of an application
  TOKEN       POST /oauth/token: a token for client credentials
  INTROSPECT  POST /oauth/introspect: about a token, which is looked up in the database
  PRUNING     deletes the expired tokens

TOKEN and INTROSPECT are sent to two servers in turn: to one without other tokens, and to one with many that have expired.
"""

_EPILOG = """\
How to read the tables:

  req/s    median of the rounds; p50 and p99 are over all requests of all rounds.
  CPU      processor time of the server process for each request, without that of PostgreSQL: the median of the rounds.
  CPU is   the processor time divided by that of READ by JWT: the median of the rounds' ratios, with the lowest and the highest
           in brackets. "time is" compares how long requests take with and without expired tokens in the same way.
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
        sizes=Sizes(given.tokens, given.seconds, given.rounds),
        write=given.write,
        command=shlex.join(["scripts/bench", "oauth", *(each for each in arguments if each != str(given.write))]),
    )


def _parser() -> argparse.ArgumentParser:
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("scripts/bench oauth", description=_DESCRIPTION, epilog=_EPILOG, formatter_class=form)
    parser.add_argument("--tokens", type=between(1, 10_000_000, int), default=1_000_000, help="expired tokens (1000000)")
    parser.add_argument("--seconds", type=between(0.01, 600, float), default=1.0, help="length of a round in seconds (1)")
    parser.add_argument(
        "--rounds",
        type=between(1, 1_000, int),
        default=5,
        help="number of rounds of each kind (5), each divided into four",
    )
    parser.add_argument("--database", choices=DATABASES, default="both", help="database to measure (both)")
    written = "write benchmarks-oauth.md into FOLDER (docs)"
    parser.add_argument("--write", type=Path, nargs="?", const=Path("docs"), metavar="FOLDER", help=written)
    return parser


def oauth(options: Options, conditions: Conditions) -> int:
    """Measure, print and write the results. Return 0 if all answers were right, otherwise 1."""
    try:
        measured = _measure(options, conditions)
    except (WrongAnswer, RuntimeError, OSError, httpx.HTTPError) as error:
        say(f"scripts/bench oauth: {error}")
        return 1
    if options.write:
        report.write(options.write, options.command, options.sizes, measured, conditions)
    return 0


def _measure(options: Options, conditions: Conditions) -> list[Measured]:
    measured = []
    with load_generator(conditions.cpus) as run:
        for database in options.databases:
            with databases(database, conditions.cpus) as (folder, new):
                measured.append(measure(options.sizes, database, folder, new, conditions.cpus, run))
            rounds = f"{options.sizes.rounds} rounds of {options.sizes.seconds:g} s"
            title = f"== {database} ({durability(database)}), {rounds}; {conditions.cpus}"
            sys.stdout.write(f"{title}\n\n{report.tables(measured[-1], options.sizes)}\n\n")
            sys.stdout.flush()
    return measured
