"""Rights that have to last: a connection that stays open ends when the right on which it was opened does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from apiv3.security.credentials import Identity
from apiv3.security.permissions import Demand
from apiv3.security.policy import Policies


@dataclass(frozen=True, eq=False, slots=True)
class _Held:
    identity: Identity
    demands: Sequence[Demand]
    end: Callable[[], None]


class LastingRights:
    """What is open in this process. Policies tell of changes within a second, whoever made them."""

    def __init__(self, policies: Policies) -> None:
        self._policies = policies
        self._all: set[_Held] = set()
        policies.on_change.append(self._review)

    @contextmanager
    def hold(self, identity: Identity | None, demands: Sequence[Demand], end: Callable[[], None]) -> Iterator[None]:
        """Inside the block, call `end` once the credential is over or its subject lost one of the demands.

        No identity: security is switched off, and nothing ends.
        """
        if identity is None:
            yield
            return
        held = _Held(identity, demands, end)
        self._all.add(held)
        timer = _at(identity.expires, end)
        try:
            self._check(held)  # the policy may have changed on the way here
            yield
        finally:
            self._all.discard(held)
            if timer is not None:
                timer.cancel()

    def _review(self) -> None:
        for held in tuple(self._all):
            self._check(held)

    def _check(self, held: _Held) -> None:
        if not self._holds(held):
            held.end()

    def _holds(self, held: _Held) -> bool:
        known = self._policies.current.find(held.identity.access_token)
        if known is None:
            return False
        now = replace(held.identity.principal, granted=known.granted)
        return all(map(now.allows, held.demands))


def _at(moment: float | None, call: Callable[[], None]) -> asyncio.TimerHandle | None:
    """A timer for a moment in seconds since the epoch."""
    if moment is None:
        return None
    return asyncio.get_running_loop().call_later(max(0.0, moment - time.time()), call)
