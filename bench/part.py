"""A part of scripts/bench with a page of its own: its options, its tables, and the page `benchmarks-NAME.md`."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import httpx
import websockets

from bench.databases import databases, durability
from bench.load import WrongAnswer
from bench.options import DATABASES, between
from bench.page import NAMES, Conditions, circumstances
from bench.report import say


class Result(Protocol):
    """What was measured on one database: its name, and its version as it reports it."""

    @property
    def database(self) -> str: ...

    @property
    def version(self) -> str: ...


Sizes = TypeVar("Sizes")
Measured = TypeVar("Measured", bound=Result)


@dataclass(frozen=True, slots=True)
class Options(Generic[Sizes]):
    """What to measure. `write`: the folder of the page, None for no page. `command`: the command line without that folder."""

    databases: tuple[str, ...]
    sizes: Sizes
    write: Path | None
    command: str


@dataclass(frozen=True, slots=True)
class Part(Generic[Sizes, Measured]):
    """`scripts/bench NAME`.

    `description` and `epilog`: of its help. `add`: adds its own options; `sizes`: reads them. `measure`: measures one database;
    it gets the kind of database, a folder for servers, and a function that makes a database and returns its URL. `title` and
    `introduction`: the heading of the page and its first paragraphs. `tables`: the results as text.
    """

    name: str
    description: str
    epilog: str
    add: Callable[[argparse.ArgumentParser], None]
    sizes: Callable[[Any], Sizes]
    measure: Callable[[Sizes, str, Path, Callable[[str], str], Conditions], Measured]
    title: str
    introduction: Callable[[Sizes], Iterator[str]]
    tables: Callable[[Measured, Sizes], str]

    def parse(self, arguments: Sequence[str]) -> Options[Sizes]:
        """Return the options of a command line. End the program with a message if they are wrong."""
        given = self._parser().parse_args(arguments)
        command = ["scripts/bench", self.name, *(each for each in arguments if each != str(given.write))]
        return Options(DATABASES[given.database], self.sizes(given), given.write, shlex.join(command))

    def _parser(self) -> argparse.ArgumentParser:
        make = partial(argparse.ArgumentParser, formatter_class=argparse.RawDescriptionHelpFormatter)
        parser = make(f"scripts/bench {self.name}", description=self.description, epilog=self.epilog)
        self.add(parser)
        parser.add_argument("--database", choices=DATABASES, default="both", help="database to measure (both)")
        written = f"write {self._page} into FOLDER (docs)"
        parser.add_argument("--write", type=Path, nargs="?", const=Path("docs"), metavar="FOLDER", help=written)
        return parser

    @property
    def _page(self) -> str:
        return f"benchmarks-{self.name}.md"

    def run(self, arguments: Sequence[str], begin: Callable[[], Conditions]) -> int:
        """Measure, print and write the results. Return 0 if all answers were right, otherwise 1. `begin`: prepares the run."""
        options, conditions = self.parse(arguments), begin()
        try:
            measured = [self._measured(options.sizes, database, conditions) for database in options.databases]
        except (WrongAnswer, RuntimeError, OSError, httpx.HTTPError, websockets.WebSocketException) as error:
            say(f"scripts/bench {self.name}: {type(error).__name__}: {error}")
            return 1
        if options.write:
            options.write.mkdir(parents=True, exist_ok=True)
            text = "\n\n".join(self._paragraphs(options, measured, conditions))
            (options.write / self._page).write_text(text + "\n")
        return 0

    def _measured(self, sizes: Sizes, database: str, conditions: Conditions) -> Measured:
        with databases(database, conditions.cpus) as (folder, new):
            measured = self.measure(sizes, database, folder, new, conditions)
        title = f"== {database} ({durability(database)}); {conditions.cpus}"
        sys.stdout.write(f"{title}\n\n{self.tables(measured, sizes)}\n\n")
        sys.stdout.flush()
        return measured

    def _paragraphs(self, options: Options[Sizes], measured: Sequence[Measured], conditions: Conditions) -> Iterator[str]:
        yield f"# {self.title}"
        yield f"Written by `{options.command}`. Run it on your own machine: it overwrites this page."
        yield from circumstances(conditions, [each.version for each in measured])
        yield from self.introduction(options.sizes)
        for each in measured:
            yield f"## {NAMES[each.database]}"
            yield f"```\n{self.tables(each, options.sizes)}\n```"


def add_rounds(parser: argparse.ArgumentParser, help: str) -> None:
    """Add the options for the length and the number of rounds. `help`: of the number."""
    parser.add_argument("--seconds", type=between(0.01, 600, float), default=1.0, help="length of a round in seconds (1)")
    parser.add_argument("--rounds", type=between(1, 1_000, int), default=5, help=help)
