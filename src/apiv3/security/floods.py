"""How many requests one address or one principal may have under way at once."""

from __future__ import annotations

from collections.abc import Hashable

from apiv3.model.errors import TooManyRequests


class InFlight:
    """Counts requests under way. `most`: for each address and for each principal."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._counts: dict[Hashable, int] = {}

    def enter(self, whom: Hashable) -> None:
        """One more request of `whom`. Raises TooManyRequests; else `leave` has to follow."""
        count = self._counts.get(whom, 0)
        if count >= self._most:
            raise TooManyRequests
        self._counts[whom] = count + 1

    def leave(self, whom: Hashable) -> None:
        """One of the requests of `whom` is over."""
        count = self._counts[whom] - 1
        if count:
            self._counts[whom] = count
        else:
            del self._counts[whom]
