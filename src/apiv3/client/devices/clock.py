"""The hub's time, for devices whose own clock may be wrong: one without a battery begins in 1970."""

from __future__ import annotations

import time


class HubClock:
    """Tells the hub's time, in ms since 1970, by this machine's monotonic clock. Before the hub has told it, the machine's."""

    def __init__(self) -> None:
        self._offset: float | None = None

    @property
    def is_set(self) -> bool:
        """Whether the hub has told its time since this program started."""
        return self._offset is not None

    def set(self, now: int) -> None:
        """Take over a time that the hub has told just now."""
        self._offset = now - _monotonic()

    def now(self) -> int:
        return time.time_ns() // 1_000_000 if self._offset is None else round(_monotonic() + self._offset)


def _monotonic() -> float:
    return time.monotonic() * 1000
