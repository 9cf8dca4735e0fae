"""The command line of scripts/bench."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

Number = TypeVar("Number", int, float)
OPERATIONS = ("READ", "SEARCH", "HISTORY", "CREATE", "PUT", "PATCH", "STATUS")
WRITES = ("CREATE", "PUT", "PATCH")
SECURITY = "SECURITY"
CONNECTIONS = 16
DATABASES = {"sqlite": ("sqlite",), "postgres": ("postgres",), "both": ("sqlite", "postgres")}
QUICK_SECONDS, QUICK_ROUNDS, QUICK_DOCUMENTS, QUICK_LARGEST = 0.2, 3, 2_000, 25_000

_DESCRIPTION = f"""\
Measures real servers over keep-alive connections on loopback, each operation against two ceilings.

  READ      GET    /api/v3/entries/{{identifier}}         one document, another one each time
  SEARCH    GET    /api/v3/entries?sort$desc=date       the latest 100 of all documents
  HISTORY   GET    /api/v3/entries/history/{{since}}      100 changes from the middle of the collection
  CREATE    POST   /api/v3/entries                      a new document each time, durably stored
  PUT       PUT    /api/v3/entries/{{identifier}}         one document replaced, another one each time
  PATCH     PATCH  /api/v3/entries/{{identifier}}         one field of a document, another document each time
  STATUS    GET    /api/v3/status                       no database
  SECURITY  READ with a JWT, against the same server with API3_SECURITY_ENABLE=false

apiv3 runs as `apiv3 serve` with its default settings and its access log on, written to a file.

To compare writes alone, by one client and by many: scripts/bench --only CREATE,PUT,PATCH --connections 1,{CONNECTIONS}

`scripts/bench live` measures the live channels instead, with many subscribers: scripts/bench live --help.
"""

_WRITE = """measure growth and the rates of import, export and bulk as well, and write benchmarks.md with its pictures into
    FOLDER (docs)"""

_EPILOG = """\
How to read the table:

  bare ASGI   the first ceiling: an application that returns the very same bytes from memory, under uvicorn as it is.
  bare SQL    the second ceiling: one that runs the same queries with sqlite3 or asyncpg alone, and joins their rows to
              the same bytes, one query for each request: apiv3 looks with one for the READs that PostgreSQL gets together.
              It checks, parses, logs and refuses nothing. On SQLite it commits on the event loop, as nobody should.
              Each of its writes is a commit of its own, whereas writes that reach apiv3 together share one.
  req/s       median of the rounds; p50 and p99 are over all requests of all rounds, in milliseconds.
  CPU µs      processor time of the server process for each request: less disturbed by a busy machine than req/s.
  RSS MB      memory of the server process after its rounds of this operation.
  load %      how busy the load generator was: near 100, it was the limit rather than the server.
  apiv3 is    the speed of apiv3 over that of this ceiling: median of the rounds' ratios, lowest to highest in brackets;
              after "CPU", the same of the processor time for each request (ceiling over apiv3).

Rounds are short and interleaved (apiv3, bare ASGI, bare SQL, apiv3, ...), so that what else the machine does hits all alike,
and the ratios are taken within each round. An answer with another status or length than expected fails the run.
The server has one core, the load generator another where the machine has two. PostgreSQL gets the others; on a machine
with two cores it shares that of the load generator.
"""


@dataclass(frozen=True, slots=True)
class Options:
    """What to measure. `seconds`: the length of a round; `sizes`: those of the collections that grow."""

    databases: tuple[str, ...]
    operations: tuple[str, ...]
    seconds: float
    rounds: int
    documents: int
    json: Path | None
    connections: tuple[int, ...] = (CONNECTIONS,)
    write: Path | None = None
    sizes: tuple[int, ...] = ()
    command: str = "scripts/bench"


def parse(arguments: Sequence[str] | None = None) -> Options:
    """The options of a command line; ends the program, with a message, when they are wrong."""
    arguments = sys.argv[1:] if arguments is None else arguments
    given = _parser().parse_args(arguments)
    quick, write = given.quick, given.write
    largest = given.largest or (QUICK_LARGEST if quick else 1_000_000)
    return Options(
        databases=DATABASES[given.database],
        operations=given.only,
        seconds=given.seconds or (QUICK_SECONDS if quick else 1.0 if write else 2.0),
        rounds=given.rounds or (QUICK_ROUNDS if quick else 5),
        documents=given.documents or (QUICK_DOCUMENTS if quick else 20_000),
        json=given.json,
        connections=given.connections,
        write=write,
        sizes=(largest // 100, largest // 10, largest),
        command=shlex.join(["scripts/bench", *(each for each in arguments if each != str(write))]),
    )


def _parser() -> argparse.ArgumentParser:
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("scripts/bench", description=_DESCRIPTION, epilog=_EPILOG, formatter_class=form)
    parser.add_argument("--quick", action="store_true", help="short rounds and few documents, to see that everything works")
    parser.add_argument("--seconds", type=between(0.01, 600, float), help="length of a round (2; 1 with --write)")
    parser.add_argument("--rounds", type=between(1, 1_000, int), help="rounds of each server and operation (5)")
    parser.add_argument("--documents", type=between(250, 2_000_000, int), help="documents in the collection (20000)")
    parser.add_argument("--connections", type=_numbers, default=(CONNECTIONS,), help=f"such as 1,16 ({CONNECTIONS})")
    parser.add_argument("--database", choices=DATABASES, default="both", help="which database (both)")
    parser.add_argument("--only", type=_names, default=(*OPERATIONS, SECURITY), help="operations, such as READ,SEARCH")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all results to FILE too")
    parser.add_argument("--write", type=Path, nargs="?", const=Path("docs"), metavar="FOLDER", help=_WRITE)
    parser.add_argument(
        "--largest", type=between(25_000, 10_000_000, int), help="with --write: documents in the largest collection (1000000)"
    )
    return parser


def between(low: Number, high: Number, kind: type[Number]) -> Callable[[str], Number]:
    """Reads a number of that kind, from `low` to `high`."""

    def parse(text: str) -> Number:
        value = kind(text)
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{low} to {high}")
        return value

    parse.__name__ = kind.__name__  # what argparse calls it when the text is none
    return parse


def _numbers(text: str) -> tuple[int, ...]:
    """How many connections, in each of the runs."""
    number = between(1, 1_000, int)
    return tuple(number(part) for part in text.split(","))


_numbers.__name__ = "number"


def _names(text: str) -> tuple[str, ...]:
    known = (*OPERATIONS, SECURITY)
    wanted = {name.strip().upper() for name in text.split(",")}
    if unknown := wanted.difference(known):
        raise argparse.ArgumentTypeError(f"{', '.join(sorted(unknown))}: unknown; there are {', '.join(known)}")
    return tuple(name for name in known if name in wanted)
