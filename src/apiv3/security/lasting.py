"""End open connections (event streams, Socket.IO) when the permissions that they were opened with are lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from apiv3.security.credentials import Identity
from apiv3.security.oauth2.access_tokens import AccessTokens
from apiv3.security.permissions import Demand
from apiv3.security.policy import Policies
from apiv3.security.sessions import Sessions


@dataclass(frozen=True, eq=False, slots=True)
class _Held:
    identity: Identity
    demands: Sequence[Demand]
    end: Callable[[], None]


class LastingRights:
    """The rights that open connections of this process depend on.

    They are checked again whenever the policy changes, or a session or a grant ends. That takes effect within a second,
    whichever process did it.
    """

    def __init__(self, policies: Policies, sessions: Sessions, tokens: AccessTokens) -> None:
        self._policies, self._sessions, self._tokens = policies, sessions, tokens
        self._all: set[_Held] = set()
        policies.on_change.append(self._review)
        sessions.on_end.append(self._review)
        tokens.on_end.append(self._review)

    @contextmanager
    def hold(self, identity: Identity | None, demands: Sequence[Demand], end: Callable[[], None]) -> Iterator[None]:
        """Inside the block, call `end` when the credential expires or its subject loses one of the demanded permissions.

        `identity` is None while security is switched off; then `end` is never called.
        """
        if identity is None:
            yield
            return
        held = _Held(identity, demands, end)
        self._all.add(held)
        timer = _at(identity.expires, end)
        try:
            self._check(held)  # the policy may have changed since the gate checked it
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
        session = held.identity.session
        if session is not None and self._sessions.has_ended(session):
            return False
        token = held.identity.bearer
        if token is not None and self._tokens.has_ended(token):
            return False
        known = self._policies.current.find(held.identity.access_token)
        if known is None:
            return False
        now = replace(held.identity.principal, granted=known.granted)
        return all(map(now.allows, held.demands))


def _at(moment: float | None, call: Callable[[], None]) -> asyncio.TimerHandle | None:
    """Call `call` at `moment`, in seconds since 1970; None: never."""
    if moment is None:
        return None
    return asyncio.get_running_loop().call_later(max(0.0, moment - time.time()), call)
