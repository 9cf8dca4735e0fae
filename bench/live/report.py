"""The results as tables and as the page docs/benchmarks-live.md."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median

from bench.live.measure import NOBODY, OTHER_COLLECTION, OTHERS, TOLD, Measured, Round
from bench.live.options import Options
from bench.measure import Series, speed_ratio
from bench.options import CONNECTIONS
from bench.page import NAMES, Conditions, circumstances, durability, paragraph
from bench.report import aligned

PAGE = "benchmarks-live.md"
_ABOUT = {NOBODY: "nobody", OTHERS: f"to {OTHER_COLLECTION}", TOLD: "to entries"}


def tables(measured: Measured) -> str:
    """Return the three tables TOLD, MEMORY and WRITING."""
    return "\n\n".join(aligned(rows) for rows in ([*_latency(measured)], [*_memory(measured)], [*_writing(measured)]))


def _latency(measured: Measured) -> Iterator[Sequence[str]]:
    latency = measured.latency
    delivery = latency.delivery
    yield ("TOLD", "p50 ms", "p99 ms", "most ms")
    yield ("commit at most", *_times(latency.waits))
    yield ("at least", *_times(latency.after_answer))
    yield ("last at most", *_times(latency.lasts))
    due = latency.changes * delivery.subscribers
    changes = f"{latency.changes:,} changes, {latency.changes / latency.seconds:.1f}/s"
    state = "in order, once" if not measured.faults else "NOT AS IT MUST BE"
    yield (f"{changes}; {delivery.told:,} of {due:,} told, {state}; {delivery.busy:.0%} busy".replace("%", " %"),)
    if latency.cpu is not None:
        each = latency.cpu / max(1, delivery.told) * 1e6
        yield (f"CPU of the server: {latency.cpu / latency.changes * 1e3:.1f} ms for a change, {each:.1f} µs each",)


def _times(values: Sequence[float]) -> Iterator[str]:
    for part in (0.5, 0.99, 1.0):
        yield f"{values[min(len(values) - 1, int(len(values) * part))] * 1e3:.1f}" if values else "-"


def _memory(measured: Measured) -> Iterator[Sequence[str]]:
    memory, number = measured.memory, measured.latency.delivery.subscribers
    yield ("MEMORY", "MB", "KB for each connection")
    yield ("before", _number(memory.before), "")
    yield (f"{number:,} subscribed", _number(memory.subscribed), _each(memory.before, memory.subscribed, number))
    yield ("after the changes", _number(memory.after), _each(memory.before, memory.after, number))


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _each(before: float | None, after: float | None, number: int) -> str:
    return "-" if before is None or after is None else f"{(after - before) * 1024 / number:.1f}"


def _writing(measured: Measured) -> Iterator[Sequence[str]]:
    heads = ("req/s", "p50 ms", "p99 ms", "CPU µs", "written are", "told", "let go", "told after s", "busy %")
    yield ("WRITING: subscribed", *heads)
    nobody = measured.series[0]
    for series in measured.series:
        yield (_ABOUT[series.server], *_speed(series, nobody), *_told(series, measured.rounds[series.server]))


def _speed(series: Series, nobody: Series) -> Iterator[str]:
    yield f"{series.rate:,.0f}"
    yield from (f"{series.percentile(part) * 1e3:.1f}" for part in (0.5, 0.99))
    yield "-" if series.cpu is None else f"{series.cpu * 1e6:,.0f}"
    ratio = speed_ratio(series, nobody)
    yield "" if ratio is None or series is nobody else f"{ratio.median:.2f} ({ratio.lowest:.2f}-{ratio.highest:.2f})"


def _told(series: Series, rounds: Sequence[Round]) -> Iterator[str]:
    if series.server == NOBODY:
        yield from ("", "", "", "")
        return
    due = sum(each.changes * each.delivery.subscribers for each in rounds) if series.server == TOLD else 0
    yield f"{sum(each.delivery.told for each in rounds):,} of {due:,}"
    yield f"{sum(each.delivery.let_go for each in rounds):,} of {sum(each.delivery.subscribers for each in rounds):,}"
    yield f"{median(each.later for each in rounds):.1f}" if due else ""
    yield f"{median(each.delivery.busy for each in rounds) * 100:.0f}"


# --- the page


def write(folder: Path, options: Options, measured: Sequence[Measured], conditions: Conditions) -> None:
    """Write the page to the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / PAGE).write_text("\n\n".join(_page(options, measured, conditions)) + "\n")


def _page(options: Options, measured: Sequence[Measured], conditions: Conditions) -> Iterator[str]:
    yield "# Benchmarks of the live channels"
    yield f"Written by `{options.command}`. Run it on your own machine: it overwrites this page."
    yield from circumstances(conditions, [each.version for each in measured])
    yield paragraph(
        f"One server process has {options.subscribers:,} subscribers: Socket.IO clients on websockets, in a separate process,",
        f"that subscribe to entries in `/storage`. For {options.seconds:g} s, {options.rate:g} entries a second are created.",
        "The run fails unless every subscriber receives each of them once and in order.",
    )
    yield paragraph(
        f"WRITING sends CREATE over {CONNECTIONS} connections at full speed to three servers in turn, of which two have",
        f"{options.subscribers:,} subscribers, in {options.rounds} rounds of {options.round:g} s each. Its processor time",
        "includes the time until the last subscriber has the last change. All servers share one core, and only one is busy at",
        "a time.",
    )
    yield paragraph(
        "`scripts/bench live --help` explains the tables. SQLite waits for the disk at each commit",
        "(`synchronous=FULL`).",
        durability(),
        "[Live channels](reference/live.md#limits) says how much data can wait for a subscriber before it is disconnected.",
    )
    for each in measured:
        yield f"## {NAMES[each.database]}"
        yield f"```\n{tables(each)}\n```"
        if each.faults:
            yield "**Subscribers did not receive all changes once and in order:** " + "; ".join(each.faults)
