"""The sessions that this process knows, so that a request costs no query of the database.

A session that is unknown here is looked up. One that was ended in another process is forgotten within a second
(`revisions.follow`). A new nonce of the person ends all of their sessions, which the verifier of sessions notices.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace

from apiv3.model.sessions import Limits, Session
from apiv3.model.timestamps import now
from apiv3.security import secrets
from apiv3.security.sightings import Sightings
from apiv3.storage.contracts.sessions import SessionStore

MOST_KNOWN = 10_000
"""Most sessions that are remembered, and most that are remembered as ended; the oldest are dropped."""
LONGEST_UNSAVED = 60.0
"""Most seconds until the database learns that a session was used."""
_GRACE = 1000
"""Milliseconds for which a session that nobody seems to use is not ended: its last use may be on the way to the database."""
PRUNING = 3600.0
"""Seconds between two deletions of sessions and nonces that are over."""


class Sessions:
    """The sessions of this process. `on_end`: functions that are called, without arguments, after sessions have ended."""

    def __init__(self, store: SessionStore, limits: Limits) -> None:
        self._store, self.limits = store, limits
        self.on_end: list[Callable[[], None]] = []
        self._known: OrderedDict[bytes, Session] = OrderedDict()
        self._keys: dict[str, bytes] = {}
        self._ended: OrderedDict[str, None] = OrderedDict()
        self._sightings = Sightings(store)
        self._revision = 0
        self._catching_up = asyncio.Lock()

    def recall(self, value: str) -> Session | None:
        """Return the session with this value, None when this process does not know it or it has reached a limit."""
        session = self._known.get(secrets.digest(value))
        return session if session is not None and now() < self.limits.end(session) else None

    async def look(self, value: str) -> None:
        """Look a value up in the database, for `recall`. Raises StorageUnavailable."""
        digest = secrets.stored_digest(value)
        revision, session = await self._store.find(digest)
        while session is not None and revision < self._revision:  # it may have ended since the database was asked
            await self.catch_up()
            revision, session = await self._store.find(digest)
        key = secrets.digest(value)
        known = self._known.pop(key, None)
        if session is None:
            if known is not None:
                self._keys.pop(known.id, None)
            return
        self._known[key], self._keys[session.id] = session, key
        if len(self._known) > MOST_KNOWN:
            _, oldest = self._known.popitem(last=False)
            self._keys.pop(oldest.id, None)

    async def touch(self, session: Session) -> None:
        """Note that the person did something just now.

        It is stored within LONGEST_UNSAVED seconds, but at once if another process could end the session before that. Raises
        StorageUnavailable.
        """
        moment = self._sightings.note(session.id)
        key = self._keys.get(session.id)
        if key is not None:
            session = self._known[key]
            self._known[key] = replace(session, seen=moment)
        if moment > session.seen + self.limits.idle - 2000 * self._saving:
            await self._store.saw({session.id: moment})

    def has_ended(self, session: Session) -> bool:
        """Whether this process has heard that the session was ended."""
        return session.id in self._ended

    async def catch_up(self) -> None:
        """Forget the sessions that were ended since the last call. Raises StorageUnavailable."""
        async with self._catching_up:
            revision, ids = await self._store.ended(self._revision)
            if revision == self._revision:
                return
            if revision < self._revision:  # a backup of the database was restored
                self._known.clear()
                self._keys.clear()
            self._revision = revision
            for each in ids:
                self._end(each)
        for tell in self.on_end:
            tell()

    def _end(self, id: str) -> None:
        self._ended[id] = None
        if len(self._ended) > MOST_KNOWN:
            self._ended.popitem(last=False)
        key = self._keys.pop(id, None)
        if key is not None:
            self._known.pop(key, None)

    async def run(self) -> None:
        """Store when sessions were used, and delete what is over, until cancelled."""
        await self._sightings.run(self._saving, self._prune, PRUNING)

    @property
    def _saving(self) -> float:
        """Seconds between two times when the database learns which sessions were used."""
        return min(LONGEST_UNSAVED, self.limits.idle / 10_000)

    async def expire(self) -> None:
        """End the sessions that nobody has used for too long, in any process. Raises StorageUnavailable."""
        await self._store.expire(self.limits, now() - _GRACE)

    async def save(self) -> None:
        """Store when sessions were used. Raises StorageUnavailable."""
        await self._sightings.save()

    async def _prune(self) -> None:
        await self._store.prune(self.limits, now())
