"""Lines of a device's log: kept in memory for a moment, then on disk as messages, both within bounds."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from itertools import starmap

from apiv3.client.devices.messages import LONGEST_BODY, Messages, as_text

MOST_LINES = 1000
"""Lines in memory. When more come, the oldest are dropped and counted."""
LINES_AT_ONCE = 200
LONGEST_LEVEL = 20
LONGEST_TEXT = 2000
"""Characters of a line; the rest is cut off."""


class Lines:
    """Lines that are not on disk yet. After a crash of the program they are lost; those on disk are not."""

    def __init__(self) -> None:
        self._lines: deque[tuple[int, str, str]] = deque()
        self._dropped = 0

    def __len__(self) -> int:
        return len(self._lines)

    def add(self, now: int, level: str, text: str) -> None:
        """Take a line. `now`: ms since 1970."""
        self._lines.append((now, level, text[:LONGEST_TEXT]))
        self._drop()

    async def store(self, messages: Messages, now: int) -> bool:
        """Put the lines on disk, unless too many wait there already; return whether there were any and they are there now."""
        lines, dropped = self._lines, self._dropped
        if not lines:
            return False
        self._lines, self._dropped = deque(), 0
        told = [(now, "warn", f"{dropped} lines before this one were dropped")] if dropped else []
        if await messages.add_logs(list(_bodies([*told, *lines]))):
            return True
        self._lines.extendleft(reversed(lines))
        self._dropped += dropped
        self._drop()
        return False

    def _drop(self) -> None:
        """Drop the oldest lines that are too many."""
        while len(self._lines) > MOST_LINES:
            self._lines.popleft()
            self._dropped += 1


def log_of(now: int, level: str, text: str) -> str:
    """Return the body of a message with one line."""
    return next(_bodies([(now, level, text)]))


def _line(now: int, level: str, text: str) -> str:
    return as_text({"ts": now, "level": level[:LONGEST_LEVEL] or "info", "text": text}).encode(errors="replace").decode()


def _bodies(lines: Sequence[tuple[int, str, str]]) -> Iterator[str]:
    """Yield the bodies of messages that carry the lines."""
    batch: list[str] = []
    size = 0
    for line in starmap(_line, lines):
        length = len(line.encode()) + 1
        if batch and (len(batch) == LINES_AT_ONCE or size + length + 20 > LONGEST_BODY):
            yield f'{{"lines":[{",".join(batch)}]}}'
            batch, size = [], 0
        batch.append(line)
        size += length
    if batch:
        yield f'{{"lines":[{",".join(batch)}]}}'
