"""The results as tables, and what the page docs/benchmarks-oauth.md says of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from apiv3.security.oauth2.access_tokens import BATCH
from bench.measure import PAIRS, cpu_ratio, speed_ratio
from bench.oauth.measure import FULL, OF_ONE_GRANT, Measured, Sizes
from bench.options import CONNECTIONS
from bench.page import durability, paragraph
from bench.report import aligned, judged, number, speed

MOST_COST = 1.1
"""The aim for a READ by access token against one by JWT, and for a request beside expired tokens against one without them."""


def tables(measured: Measured, sizes: Sizes) -> str:
    """Return a table for READ, one for each operation beside expired tokens, and a line about their deletion."""
    rows = (_reads(measured), *(_pair(measured, operation, sizes) for operation in measured.pairs))
    return "\n\n".join([*(aligned([*each]) for each in rows), _pruning(measured)])


def _reads(measured: Measured) -> Iterator[Sequence[str]]:
    yield ("READ", "req/s", "p50 ms", "p99 ms", "CPU µs", "CPU is", "aim", "reached")
    by_jwt, by_token = measured.reads
    yield (by_jwt.server, *speed(by_jwt), number(by_jwt.cpu, 1e6), "", "", "")
    yield (by_token.server, *speed(by_token), number(by_token.cpu, 1e6), *judged(cpu_ratio(by_jwt, by_token), MOST_COST))


def _pair(measured: Measured, operation: str, sizes: Sizes) -> Iterator[Sequence[str]]:
    yield (operation, "req/s", "p50 ms", "p99 ms", "CPU µs", "time is", "aim", "reached")
    empty, full = measured.pairs[operation]
    yield (empty.server, *speed(empty), number(empty.cpu, 1e6), "", "", "")
    name = f"{sizes.tokens:,} {FULL}"
    yield (name, *speed(full), number(full.cpu, 1e6), *judged(speed_ratio(empty, full), MOST_COST))


def _pruning(measured: Measured) -> str:
    pruned = measured.pruned
    rate = pruned.tokens / pruned.seconds if pruned.seconds else 0
    took = f"{pruned.seconds:.1f} s, {rate:,.0f} a second"
    return f"PRUNING {pruned.tokens:,} tokens: {took}; the longest transaction took {pruned.longest * 1e3:.0f} ms"


# --- the page


def introduction(sizes: Sizes) -> Iterator[str]:
    """Yield the paragraphs that say what was measured."""
    yield paragraph(
        f"All measurements ask over {CONNECTIONS} connections, in {sizes.rounds * PAIRS} rounds of {sizes.seconds / PAIRS:g} s",
        "each, in turn. READ asks one server process for documents, by a JWT and by the access token of an application. TOKEN",
        "issues tokens for client credentials (`POST /oauth/token`), each stored before it is answered. INTROSPECT asks about",
        "a token (`POST /oauth/introspect`), which is looked up in the database each time. Both are sent to two servers: one",
        f"with no other tokens, and one whose database has {sizes.tokens:,} expired access tokens, {OF_ONE_GRANT} for each",
        f"grant, all of the same application. PRUNING deletes them as the server does, at most {BATCH:,} rows of a table in a",
        "transaction.",
    )
    yield paragraph(
        "`scripts/bench oauth --help` explains the tables. Processor time is that of the server process, without that of",
        "PostgreSQL.",
        durability(),
    )
