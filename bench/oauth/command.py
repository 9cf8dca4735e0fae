"""The command scripts/bench oauth."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from bench.measure import load_generator
from bench.oauth.measure import Measured, Sizes, measure
from bench.oauth.report import introduction, tables
from bench.options import CONNECTIONS, between
from bench.page import Conditions
from bench.part import Part, add_rounds

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


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tokens", type=between(1, 10_000_000, int), default=1_000_000, help="expired tokens (1000000)")
    add_rounds(parser, "number of rounds of each kind (5), each divided into four")


def _sizes(given: argparse.Namespace) -> Sizes:
    return Sizes(given.tokens, given.seconds, given.rounds)


def _measure(sizes: Sizes, database: str, folder: Path, new: Callable[[str], str], conditions: Conditions) -> Measured:
    with load_generator(conditions.cpus) as run:
        return measure(sizes, database, folder, new, conditions.cpus, run)


PART = Part(
    name="oauth",
    description=_DESCRIPTION,
    epilog=_EPILOG,
    add=_add,
    sizes=_sizes,
    measure=_measure,
    title="Benchmarks of applications and their tokens",
    introduction=introduction,
    tables=tables,
)
