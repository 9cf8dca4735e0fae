"""Write docs/benchmarks.md and its pictures."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from textwrap import fill
from typing import NamedTuple

from bench import pictures, report
from bench.growth import IN_ONE_REQUEST, Grown, Transfer
from bench.measure import Series, speed_ratio
from bench.options import WRITES, Options
from bench.processes import Cpus
from bench.report import Result

NAMES = {"sqlite": "SQLite", "postgres": "PostgreSQL"}
AIMS = {1: 0.8, 16: 2}
"""Number of connections -> the aim for the speed of a write, divided by that of bare SQL."""
REQUIRED = 20_000
"""The target for imports into SQLite, in documents a second."""
ASKED = {
    "READ": "READ `/entries/{identifier}`",
    "SEARCH": "SEARCH `/entries?sort$desc=date&limit=100`",
    "FILTER": "SEARCH `/entries?type=sgv&sort$desc=date&limit=100`",
    "HISTORY": "HISTORY `/entries/history/{since}?limit=100`",
}
SHORT = {"READ": "READ", "SEARCH": "SEARCH, newest", "FILTER": "SEARCH, type=sgv", "HISTORY": "HISTORY"}
CELLS = ("documents", "median ms", "99 % within ms", "CPU µs")


class Conditions(NamedTuple):
    """The load average before the run, and the cores of each process."""

    load: float
    cpus: Cpus


def write(folder: Path, options: Options, results: Sequence[Result], grown: Sequence[Grown], conditions: Conditions) -> None:
    """Write the page and its pictures. `conditions`: those at the start of the run."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "benchmarks.md").write_text(_page(options, results, grown, conditions))
    for each in grown:
        (folder / _growth_picture(each)).write_text(_growth_lines(each))
    (folder / "benchmarks-rates.svg").write_text(_rate_bars(grown))


def _page(options: Options, results: Sequence[Result], grown: Sequence[Grown], conditions: Conditions) -> str:
    return (
        "\n\n".join([*_introduction(options, grown, conditions), *_first(options, results), *_growth(grown), *_rates(grown)])
        + "\n"
    )


def _introduction(options: Options, grown: Sequence[Grown], conditions: Conditions) -> Iterator[str]:
    yield "# Benchmarks"
    yield f"Written by `{options.command}`. Run it on your own machine: it overwrites this page and its pictures."
    yield from circumstances(conditions, [each.version for each in grown])
    yield paragraph(
        "Absolute numbers depend on the machine, the day, and the other programs that ran: a load average near the number of",
        "cores or above makes everything slower. Compare ratios and processor times (CPU), which depend least on the load. The",
        "load generator, the server and the database run on one machine, without a network between them. SQLite waits for the",
        "disk at each commit (`synchronous=FULL`).",
        durability(),
        "Processor time and memory are those of apiv3, without PostgreSQL's own processes.",
    )
    yield paragraph(
        "Separate pages measure the [live channels](benchmarks-live.md) with many subscribers,",
        "[people and their pages](benchmarks-people.md),",
        "[applications and their tokens](benchmarks-oauth.md), and [devices](benchmarks-devices.md).",
    )


def circumstances(conditions: Conditions, databases: Sequence[str]) -> Iterator[str]:
    """Yield a table of the date, the machine and the software. `databases`: their names and versions, as they report them."""
    rows = [
        ("date", f"{datetime.now(UTC):%Y-%m-%d}"),
        ("machine", _machine()),
        ("load average before the run", f"{conditions.load:.1f}"),
        ("pinned", str(conditions.cpus)),
        ("software", ", ".join([*_software(), *databases])),
    ]
    yield _table(("", ""), rows)
    if conditions.load > (os.cpu_count() or 1) / 2:
        yield "**The machine was busy before this run, so the numbers are not exact. Run it again on an idle machine.**"


def durability() -> str:
    """Return a sentence that says whether PostgreSQL waits for the disk at each commit."""
    if "TEST_DATABASE_URL" in os.environ:
        return "PostgreSQL is the server that `TEST_DATABASE_URL` names, with its own configuration."
    return (
        "PostgreSQL is the server of the tests, which does not wait (`fsync=off`). Do not compare the write speeds of the two."
    )


def _first(options: Options, results: Sequence[Result]) -> Iterator[str]:
    yield "## Against the ceilings"
    yield paragraph(
        f"The collection has {options.documents:,} entries. Each server is measured in {options.rounds} rounds of",
        f"{options.seconds:g} s and compared with two minimal servers, the ceilings. *Bare ASGI* returns the same bytes from",
        "memory. *Bare SQL* runs the same queries and joins their rows, without any checks. Both run under unmodified uvicorn.",
        "Bare SQL commits each write separately, whereas apiv3 commits concurrent writes together. `scripts/bench --help`",
        "explains the columns.",
    )
    for database in options.databases:
        for connections in options.connections:
            of_these = [each for each in results if (each.database, each.connections) == (database, connections)]
            yield f"### {NAMES[database]}, {report.counted(connections)}"
            yield f"```\n{report.table(of_these)}\n```"
    yield _aims(results)


def _aims(results: Sequence[Result]) -> str:
    missed = [text for each in results if (text := _missed(each))]
    return paragraph(
        "The aims for CREATE, PUT and PATCH, against bare SQL:",
        f"{', '.join(f'{aim:g} over {report.counted(connections)}' for connections, aim in AIMS.items())}.",
        f"This run missed {', '.join(missed)}." if missed else "This run missed none that it measured.",
        "[Writes that wait share a commit](decisions/0016-group-commit.md) says what a single writer pays for.",
    )


def _missed(result: Result) -> str:
    """Return the aim that a write missed, for people; empty when it missed none."""
    aim = AIMS.get(result.connections)
    ratio = speed_ratio(result.series[0], result.series[-1]) if result.operation in WRITES and result.series else None
    if aim is None or ratio is None or ratio.median >= aim:
        return ""
    return f"{result.operation} on {NAMES[result.database]} over {report.counted(result.connections)} ({ratio.median:.2f})"


def _growth(grown: Sequence[Grown]) -> Iterator[str]:
    yield "## As the collection grows"
    yield paragraph(
        "These tables show one request at a time, over one connection, on collections of three sizes, which are measured in",
        "turn. The time is that of the whole answer, as an app sees it. CPU is the processor time of the server for one",
        "request. READ requests a thousand documents in turn, from all parts of the collection; after the first time they are",
        "in memory. A ratio near 1 against the smallest collection means that the cost does not depend on the number of",
        "documents.",
    )
    for each in grown:
        yield f"### Growth on {NAMES[each.database]}"
        yield f"![Answer time over the size of the collection, {NAMES[each.database]}]({_growth_picture(each)})"
        yield _table(
            ("request", *CELLS, "against the smallest"), [row for result in each.growth for row in _growth_rows(result)]
        )


def _growth_rows(result: Result) -> Iterator[tuple[str, ...]]:
    smallest = result.series[0]
    for series in result.series:
        times = (f"{_median(series):.2f}", f"{series.percentile(0.99) * 1e3:.2f}", _number(series.cpu, 1e6))
        first = series is smallest
        yield (
            ASKED[result.operation] if first else "",
            series.server,
            *times,
            "" if first else f"{_median(series) / _median(smallest):.2f}",
        )


def _median(series: Series) -> float:
    """Return the median in milliseconds."""
    return series.percentile(0.5) * 1e3


def _rates(grown: Sequence[Grown]) -> Iterator[str]:
    yield "## In and out"
    yield paragraph(
        "Import is `apiv3 import` of NDJSON into an empty collection, and export is `apiv3 export` to NDJSON. The times",
        "include the start of the command, which is most of the time if there are few documents.",
        f"Bulk is `POST /api/v3/entries/bulk` with {IN_ONE_REQUEST} new documents in each request, one request after the",
        "other. *At most* is the reciprocal of the processor time: the rate of one core that never has to wait.",
    )
    yield "![Documents a second: import, export, bulk](benchmarks-rates.svg)"
    heads = ("", "documents", "documents/s", "CPU µs for each", "at most/s", "peak memory MB")
    yield _table(heads, [row for each in grown for row in _rate_rows(each)])
    for each in grown:
        if each.database == "sqlite":
            yield _requirement(_largest(each, "import"))


def _rate_rows(grown: Grown) -> Iterator[tuple[str, ...]]:
    for each in sorted(grown.transfers, key=lambda transfer: ("import", "export", "bulk").index(transfer.name)):
        cpu = each.cost.cpu and each.cost.cpu / each.documents
        most = f"{1 / cpu:,.0f}" if cpu else "-"
        costs = (f"{each.rate:,.0f}", _number(cpu, 1e6), most, _number(each.cost.memory, 1))
        yield (f"{each.name}, {NAMES[grown.database]}", f"{each.documents:,}", *costs)


def _requirement(transfer: Transfer) -> str:
    verdict = "the target is reached" if transfer.rate >= REQUIRED else "the target is not reached"
    cpu = transfer.cost.cpu
    alone = f"According to the processor time alone, {transfer.documents / cpu:,.0f} a second would be possible." if cpu else ""
    return paragraph(
        f"The target for imports into SQLite is {REQUIRED:,} documents a second. With {transfer.documents:,} documents, this",
        f"run imported {transfer.rate:,.0f} a second: {verdict}. {alone}",
    )


def _largest(grown: Grown, name: str) -> Transfer:
    return max((each for each in grown.transfers if each.name == name), key=lambda each: each.documents)


def _growth_picture(grown: Grown) -> str:
    return f"benchmarks-growth-{grown.database}.svg"


def _growth_lines(grown: Grown) -> str:
    points = {
        SHORT[each.operation]: [(float(series.server.replace(",", "")), _median(series)) for series in each.series]
        for each in grown.growth
    }
    return pictures.lines(f"Time of an answer, {NAMES[grown.database]}", "documents in the collection", "median, ms", points)


def _rate_bars(grown: Sequence[Grown]) -> str:
    groups: Mapping[str, Mapping[str, float]] = {
        name: {NAMES[each.database]: _largest(each, name).rate for each in grown} for name in ("import", "export", "bulk")
    }
    return pictures.bars("Documents in and out", "the largest collection; bulk: 500 in each request", "documents/s", groups)


def _machine() -> str:
    return f"{_processor()}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}"


def _processor() -> str:
    with suppress(OSError):
        if found := re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text()):
            return found[1]
    return platform.processor() or "unknown processor"


def _software() -> Iterator[str]:
    yield f"apiv3 {version('apiv3')}"
    yield f"{platform.python_implementation()} {platform.python_version()}"
    yield from (f"{name} {version(name)}" for name in ("uvicorn", "uvloop", "asyncpg"))


def _number(value: float | None, factor: float) -> str:
    return "-" if value is None else f"{value * factor:.0f}"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (heads, ["---"] * len(heads), *rows))


def paragraph(*parts: str) -> str:
    """Join the parts and wrap them at 120 columns."""
    return fill(" ".join(parts), 120, break_long_words=False, break_on_hyphens=False)
