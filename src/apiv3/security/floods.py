"""How many requests one address or one principal may have under way at once."""

from __future__ import annotations

from collections.abc import Hashable

from apiv3.model.errors import TooManyRequests


class InFlight:
    """Counts requests under way. `most`: for each address and for each principal."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._counts: dict[Hashable, int] = {}

    def of(self, whom: Hashable) -> Place:
        """One more request for the length of a `with` block. Raises TooManyRequests on entry."""
        return Place(self._counts, whom, self._most)


class Place:
    """One request's place among those under way."""

    __slots__ = ("_counts", "_most", "_whom")

    def __init__(self, counts: dict[Hashable, int], whom: Hashable, most: int) -> None:
        self._counts, self._whom, self._most = counts, whom, most

    def __enter__(self) -> None:
        count = self._counts.get(self._whom, 0)
        if count >= self._most:
            raise TooManyRequests
        self._counts[self._whom] = count + 1

    def __exit__(self, *_: object) -> None:
        count = self._counts[self._whom] - 1
        if count:
            self._counts[self._whom] = count
        else:
            del self._counts[self._whom]
