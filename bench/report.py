"""The results as a table and as JSON."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from bench.measure import Ratio, Series, cpu_ratio, speed_ratio

_WIDTHS = (9, 13, 9, 8, 8, 8, 7, 6, 24)
_HEADINGS = ("operation", "server", "req/s", "p50 ms", "p99 ms", "CPU µs", "RSS MB", "load %", "apiv3 is")


@dataclass(frozen=True, slots=True)
class Result:
    """One operation on one database: a series for each server, that of apiv3 first, or the reason why there are none."""

    database: str
    operation: str
    series: Sequence[Series] = ()
    failure: str = ""
    connections: int = 1


def table(results: Sequence[Result]) -> str:
    """Return a table of all results of one database."""
    rows = [_HEADINGS, *(row for result in results for row in _rows(result))]
    return "\n".join("  ".join(_cells(row)).rstrip() for row in rows)


def _cells(row: Sequence[str]) -> Iterator[str]:
    for number, (text, width) in enumerate(zip(row, _WIDTHS, strict=True)):
        yield text.ljust(width) if number in (0, 1, len(row) - 1) else text.rjust(width)


def _rows(result: Result) -> Iterator[tuple[str, ...]]:
    if result.failure:
        yield (result.operation, "FAILED", *[""] * (len(_HEADINGS) - 3), "see the message")
        return
    ours = result.series[0]
    for series in result.series:
        times = (f"{series.rate:,.0f}", f"{series.percentile(0.5) * 1e3:.2f}", f"{series.percentile(0.99) * 1e3:.2f}")
        costs = (number(series.cpu, 1e6), number(series.memory, 1), f"{series.busy:.0%}"[:-1])
        first = series is ours
        yield (result.operation if first else "", series.server, *times, *costs, "" if first else _comparison(ours, series))


def number(value: float | None, factor: float, digits: int = 0) -> str:
    """Return a number times a factor as text; a dash for None."""
    return "-" if value is None else f"{value * factor:,.{digits}f}"


def speed(series: Series) -> tuple[str, ...]:
    """Return requests a second, and the p50 and p99 in ms."""
    return (f"{series.rate:,.0f}", *(f"{series.percentile(part) * 1e3:.1f}" for part in (0.5, 0.99)))


def judged(ratio: Ratio | None, most: float) -> tuple[str, str, str]:
    """Return a ratio, the aim for it, and whether it is reached."""
    if ratio is None:
        return "-", f"<= {most:g}", "-"
    text = f"{ratio.median:.2f} ({ratio.lowest:.2f}-{ratio.highest:.2f})"
    return text, f"<= {most:g}", verdict(ratio.median <= most)


def verdict(is_reached: bool) -> str:
    """Return whether an aim is reached, so that a miss meets the eye."""
    return "yes" if is_reached else "NO"


def _comparison(ours: Series, other: Series) -> str:
    text = _text(speed_ratio(ours, other))
    cpu = cpu_ratio(ours, other)
    return f"{text}, CPU {cpu.median:.2f}" if cpu else text


def _text(ratio: Ratio | None) -> str:
    return f"{ratio.median:.2f} ({ratio.lowest:.2f}-{ratio.highest:.2f})" if ratio else ""


def data(results: Sequence[Result]) -> list[dict[str, Any]]:
    """Return all results for other programs, including the rates of each round."""
    failures = [
        {"database": result.database, "operation": result.operation, "failure": result.failure}
        for result in results
        if result.failure
    ]
    return [*(_data(result, series) for result in results for series in result.series), *failures]


def _data(result: Result, series: Series) -> dict[str, Any]:
    ours = result.series[0]
    return {
        "database": result.database,
        "operation": result.operation,
        "connections": result.connections,
        "server": series.server,
        "rates": [each.sample.rate for each in series.rounds],
        "p50": series.percentile(0.5),
        "p99": series.percentile(0.99),
        "cpu": series.cpu,
        "memory": series.memory,
        "speed": None if series is ours else speed_ratio(ours, series),
        "cpu_speed": None if series is ours else cpu_ratio(ours, series),
    }


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Align rows in columns as wide as they need. A row of one cell is a sentence below the table."""
    columns = zip(*(row for row in rows if len(row) > 1), strict=True)
    widths = [max(map(len, column)) for column in columns]
    return "\n".join("  ".join(_justified(row, widths)).rstrip() for row in rows)


def _justified(row: Sequence[str], widths: Sequence[int]) -> Iterator[str]:
    for number, (text, width) in enumerate(zip(row, widths, strict=False)):
        yield text.rjust(width) if number else text.ljust(width)


def counted(connections: int) -> str:
    return "1 connection" if connections == 1 else f"{connections} connections"


def say(text: str) -> None:
    """Print a message about the progress."""
    print(text, file=sys.stderr, flush=True)  # noqa: T201
