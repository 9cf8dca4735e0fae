"""The results as tables, and what the page docs/benchmarks-people.md says of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median

from bench.measure import PAIRS, Series, cpu_ratio, tail_ratio
from bench.options import CONNECTIONS
from bench.page import durability, paragraph
from bench.people.measure import CROWDED, ENTRIES, FRONT, ROUNDS, SUBJECTS, TREATMENTS, Measured, Sizes
from bench.report import aligned, judged, number, speed, verdict

MOST_COST, MOST_TAIL = 1.1, 2.0
"""The aims for a request by session or user token, against one by JWT, and for the p99 while people sign in."""
MOST_CPU = {FRONT: 0.020, SUBJECTS: 0.050}
"""The aims for pages, in seconds of processor time."""


def tables(measured: Measured, sizes: Sizes) -> str:
    """Return the three tables READ, SIGN-INS and PAGES."""
    rows = (_reads(measured.reads), _crowd(measured, sizes), _pages(measured.pages, sizes))
    return "\n\n".join(aligned([*each]) for each in rows)


def _reads(series: Sequence[Series]) -> Iterator[Sequence[str]]:
    yield ("READ", "req/s", "p50 ms", "p99 ms", "CPU µs", "CPU is", "aim", "reached")
    by_jwt, *others = series
    yield (by_jwt.server, *speed(by_jwt), number(by_jwt.cpu, 1e6), "", "", "")
    for each in others:
        yield (each.server, *speed(each), number(each.cpu, 1e6), *judged(cpu_ratio(by_jwt, each), MOST_COST))


def _crowd(measured: Measured, sizes: Sizes) -> Iterator[Sequence[str]]:
    yield ("SIGN-INS", "req/s", "p50 ms", "p99 ms", "p99 is", "aim", "reached")
    quiet, crowded = measured.crowd
    yield (quiet.server, *speed(quiet), "", "", "")
    yield (f"{sizes.people} {CROWDED}", *speed(crowded), *judged(tail_ratio(quiet, crowded), MOST_TAIL))
    done = measured.sign_ins
    took = f", median {median(done.seconds):.1f} s" if done.seconds else ""
    yield (f"{len(done.seconds):,} sign-ins{took}; {done.refused:,} refused with 503",)


def _pages(series: Sequence[Series], sizes: Sizes) -> Iterator[Sequence[str]]:
    yield ("PAGES", "req/s", "p50 ms", "p99 ms", "CPU ms", "aim", "reached")
    about = {FRONT: f"{ENTRIES} entries", SUBJECTS: f"{sizes.subjects:,} subjects"}
    for each in series:
        most = MOST_CPU[each.server]
        reached = "-" if each.cpu is None else verdict(each.cpu < most)
        costs = (number(each.cpu, 1e3, 1), f"< {most * 1e3:g}", reached)
        yield (f"{each.server}, {about[each.server]}", *speed(each), *costs)


# --- the page


def introduction(sizes: Sizes) -> Iterator[str]:
    """Yield the paragraphs that say what was measured."""
    length = sizes.seconds
    yield paragraph(
        f"READ asks one server process for documents over {CONNECTIONS} connections, by three credentials in turn, in",
        f"{sizes.rounds * PAIRS} rounds of {length / PAIRS:g} s each. SIGN-INS compares READ while nobody signs in with READ",
        f"while {sizes.people} people sign in with a password at once, from as many addresses, in {sizes.rounds} rounds of",
        f"{length:g} s each. Each of them signs in again as soon as the answer is there. A password costs a hash with",
        f"`PASSWORD_ROUNDS={ROUNDS}`, on the same core as everything else that the server does.",
    )
    yield paragraph(
        f"PAGES asks for one page at a time, signed in by a session: `/` with {ENTRIES} entries of the last 24 hours and",
        f"{TREATMENTS} treatments, and `/admin/subjects` with {sizes.subjects:,} subjects.",
    )
    yield paragraph(
        "`scripts/bench people --help` explains the tables. Processor time is that of the server process, without that of",
        "PostgreSQL.",
        durability(),
    )
