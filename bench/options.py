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
Measures real servers over keep-alive connections on loopback, and compares each operation with two minimal servers.

  READ      GET    /api/v3/entries/{{identifier}}         one document, a different one each time
  SEARCH    GET    /api/v3/entries?sort$desc=date       the latest 100 documents
  HISTORY   GET    /api/v3/entries/history/{{since}}      100 changes from the middle of the collection
  CREATE    POST   /api/v3/entries                      a new document each time, stored durably
  PUT       PUT    /api/v3/entries/{{identifier}}         replace a document, a different one each time
  PATCH     PATCH  /api/v3/entries/{{identifier}}         change one field of a document, a different one each time
  STATUS    GET    /api/v3/status                       uses no database
  SECURITY  READ with a JWT, compared with the same server with API3_SECURITY_ENABLE=false

apiv3 runs as `apiv3 serve` with its default settings. Its access log is on, and written to a file.

To compare only writes, with one client and with many: scripts/bench --only CREATE,PUT,PATCH --connections 1,{CONNECTIONS}

`scripts/bench live` measures the live channels instead, with many subscribers: scripts/bench live --help.
`scripts/bench people` measures credentials, sign-ins and pages of people: scripts/bench people --help.
`scripts/bench oauth` measures the tokens of applications: scripts/bench oauth --help.
`scripts/bench devices` measures connected devices: scripts/bench devices --help.
"""

_WRITE = """also measure growth and the rates of import, export and bulk requests, and write benchmarks.md with its pictures
    to FOLDER (docs)"""

_EPILOG = """\
How to read the table:

  bare ASGI   the first ceiling: an application that returns the same bytes from memory, under unmodified uvicorn.
  bare SQL    the second ceiling: an application that runs the same queries with only sqlite3 or asyncpg, and joins their
              rows to the same bytes. It checks, parses, logs and refuses nothing. It runs one query for each request,
              whereas apiv3 on PostgreSQL answers concurrent READs with one query. On SQLite it commits on the event loop,
              which a real server should not do. It commits each write separately, whereas apiv3 commits concurrent
              writes together.
  req/s       median of the rounds; p50 and p99 are over all requests of all rounds, in milliseconds.
  CPU µs      processor time of the server process for each request. It depends less on the load of the machine than req/s.
  RSS MB      memory of the server process after its rounds of this operation.
  load %      how busy the load generator was. Near 100, the generator was the bottleneck and not the server.
  apiv3 is    the speed of apiv3 divided by that of this ceiling: the median of the rounds' ratios, with the lowest and the
              highest in brackets. After "CPU": the processor time for a request of this ceiling divided by that of apiv3.

Rounds are short and interleaved (apiv3, bare ASGI, bare SQL, apiv3, ...), so that other load on the machine affects all
servers equally. The ratios are computed within each round. The run fails if an answer has an unexpected status or length.
The server runs on one core, and the load generator on another if there are two. PostgreSQL runs on the remaining cores; if
there are only two, it shares the core of the load generator.
"""


@dataclass(frozen=True, slots=True)
class Options:
    """What to measure. `seconds`: the length of a round. `sizes`: the sizes of the collections for the growth tables."""

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
    """Return the options of a command line. End the program with a message if they are wrong."""
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
    parser.add_argument(
        "--quick", action="store_true", help="use short rounds and few documents, to check that everything works"
    )
    parser.add_argument("--seconds", type=between(0.01, 600, float), help="length of a round in seconds (2; 1 with --write)")
    parser.add_argument("--rounds", type=between(1, 1_000, int), help="number of rounds for each server and operation (5)")
    parser.add_argument("--documents", type=between(250, 2_000_000, int), help="number of documents in the collection (20000)")
    parser.add_argument(
        "--connections", type=_numbers, default=(CONNECTIONS,), help=f"numbers of connections, such as 1,16 ({CONNECTIONS})"
    )
    parser.add_argument("--database", choices=DATABASES, default="both", help="database to measure (both)")
    parser.add_argument(
        "--only", type=_names, default=(*OPERATIONS, SECURITY), help="operations to measure, such as READ,SEARCH"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write all results to FILE")
    parser.add_argument("--write", type=Path, nargs="?", const=Path("docs"), metavar="FOLDER", help=_WRITE)
    parser.add_argument(
        "--largest", type=between(2_500, 10_000_000, int), help="with --write: documents in the largest collection (1000000)"
    )
    return parser


def between(low: Number, high: Number, kind: type[Number]) -> Callable[[str], Number]:
    """Return a function that reads a number of the given kind, from `low` to `high`."""

    def parse(text: str) -> Number:
        value = kind(text)
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{low} to {high}")
        return value

    parse.__name__ = kind.__name__  # what argparse calls it when the text is none
    return parse


def _numbers(text: str) -> tuple[int, ...]:
    """Read the numbers of connections, one for each run."""
    number = between(1, 1_000, int)
    return tuple(number(part) for part in text.split(","))


_numbers.__name__ = "number"


def _names(text: str) -> tuple[str, ...]:
    known = (*OPERATIONS, SECURITY)
    wanted = {name.strip().upper() for name in text.split(",")}
    if unknown := wanted.difference(known):
        raise argparse.ArgumentTypeError(f"{', '.join(sorted(unknown))}: unknown; there are {', '.join(known)}")
    return tuple(name for name in known if name in wanted)
