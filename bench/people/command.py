"""The command scripts/bench people."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from bench.measure import load_generator
from bench.options import CONNECTIONS, between
from bench.page import Conditions
from bench.part import Part, add_rounds
from bench.people.measure import Measured, Sizes, measure
from bench.people.report import introduction, tables

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


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--people", type=between(1, 200, int), default=20, help="people who sign in at once (20)")
    parser.add_argument("--subjects", type=between(1, 100_000, int), default=10_000, help="number of subjects (10000)")
    add_rounds(parser, "number of rounds of each kind (5); for READ four times as many, of a quarter of the length")


def _sizes(given: argparse.Namespace) -> Sizes:
    return Sizes(given.people, given.subjects, given.seconds, given.rounds)


def _measure(sizes: Sizes, database: str, folder: Path, new: Callable[[str], str], conditions: Conditions) -> Measured:
    with load_generator(conditions.cpus) as run:
        return measure(sizes, database, folder, new("people"), conditions.cpus, run)


PART = Part(
    name="people",
    description=_DESCRIPTION,
    epilog=_EPILOG,
    add=_add,
    sizes=_sizes,
    measure=_measure,
    title="Benchmarks of people and their pages",
    introduction=introduction,
    tables=tables,
)
