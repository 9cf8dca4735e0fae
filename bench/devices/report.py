"""The results as tables, and what the page docs/benchmarks-devices.md says of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median

from bench.devices.crowd import AT_ONCE
from bench.devices.measure import SENDERS, Measured, Sizes
from bench.page import durability, paragraph
from bench.report import aligned, verdict

LEAST_SPEED = 0.7
"""The aim for messages a second, divided by bulk requests with as many documents."""
MOST_MEMORY = 40
"""The aim for the memory of a connected device, in KB."""
MOST_CUT = 1.0
"""The aim for the time from a revocation to the cut (p95), in seconds."""


def tables(measured: Measured) -> str:
    """Return a table for messages, one for revocations, and lines about handshakes and memory."""
    parts = (aligned([*_speeds(measured)]), aligned([*_cuts(measured)]), _handshakes(measured), _memory(measured))
    return "\n\n".join(parts)


def _speeds(measured: Measured) -> Iterator[Sequence[str]]:
    yield ("MESSAGES", "messages/s", "bulk/s", "speed is", "aim", "reached")
    for each in measured.speeds:
        rates = (f"{median(each.messages):,.0f}", f"{median(each.requests):,.0f}")
        ratio = each.ratio
        text = f"{ratio.median:.2f} ({ratio.lowest:.2f}-{ratio.highest:.2f})" if ratio else "-"
        reached = verdict(ratio is not None and ratio.median >= LEAST_SPEED)
        documents = "1 document" if each.documents == 1 else f"{each.documents} documents"
        yield (documents, *rates, text, f">= {LEAST_SPEED:g}", reached)


def _cuts(measured: Measured) -> Iterator[Sequence[str]]:
    yield ("REVOCATION", "p50 ms", "p95 ms", "aim", "reached")
    for name, seconds in measured.cuts.items():
        p50, p95 = _percentile(seconds, 0.5), _percentile(seconds, 0.95)
        yield (name, f"{p50 * 1e3:,.0f}", f"{p95 * 1e3:,.0f}", f"<= {MOST_CUT * 1e3:,.0f}", verdict(p95 <= MOST_CUT))


def _handshakes(measured: Measured) -> str:
    waits = f"p50 {_percentile(measured.waits, 0.5) * 1e3:,.0f} ms, p95 {_percentile(measured.waits, 0.95) * 1e3:,.0f} ms"
    return f"HANDSHAKES {measured.handshakes:,.0f} a second; {waits}"


def _memory(measured: Measured) -> str:
    if measured.memory is None:
        return "MEMORY -"
    number = f"{len(measured.waits):,} devices, {measured.memory:.1f} KB each"
    return f"MEMORY of {number}; aim <= {MOST_MEMORY}, reached: {verdict(measured.memory <= MOST_MEMORY)}"


def _percentile(values: Sequence[float], part: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * part))]


# --- the page


def introduction(sizes: Sizes) -> Iterator[str]:
    """Yield the paragraphs that say what was measured."""
    yield paragraph(
        f"MESSAGES sends new entries by {SENDERS} connected devices, and the same number of them by {SENDERS} connections as",
        f"[bulk requests](reference/bulk.md), in turn, in {sizes.rounds} rounds of {sizes.seconds:g} s each; every sender",
        "waits for its answer, and every document must be stored. The load generator encrypts, too, so that it can limit what",
        f"is measured. HANDSHAKES connects devices to one server process, {AT_ONCE} at a time, each until the hub has",
        "accepted it. MEMORY is what the server process has grown by then, divided by the number of devices, which are idle.",
        f"REVOCATION revokes {sizes.revoked} of them over HTTP by the process that has the connection, and as many by another",
        "process; the time is that from the request to the end of the connection.",
    )
    yield paragraph("`scripts/bench devices --help` explains the tables.", durability())
