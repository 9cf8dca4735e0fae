"""The access tokens of OAuth2 that this process knows, so that a request costs no query of the database.

A token that is unknown here is looked up. What has ended in another process is forgotten within a second
(`revisions.follow`). A new nonce of the subject ends its grants, which the verifier notices.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable

from apiv3.model.grants import AccessToken
from apiv3.model.timestamps import now
from apiv3.security import secrets
from apiv3.security.sightings import Sightings
from apiv3.storage.contracts.oauth2 import GrantStore

MOST_KNOWN = 10_000
"""Most tokens that are remembered, and most that are remembered as ended; the oldest are dropped."""
SAVING = 30.0
"""Seconds between two times when the database learns which grants were used."""
PRUNING = 600.0
"""Seconds between two deletions of what has expired."""
KEPT = 86_400_000
"""Milliseconds for which something stays after it has expired: a replay of it is noticed, and an old token is no guess."""
BATCH = 1000
"""Most rows of a table that are deleted in one transaction."""


class AccessTokens:
    """The access tokens of this process. `on_end`: functions that are called, without arguments, after some have ended."""

    def __init__(self, store: GrantStore) -> None:
        self._store = store
        self.on_end: list[Callable[[], None]] = []
        self._known: OrderedDict[bytes, AccessToken] = OrderedDict()
        self._ended: OrderedDict[str, None] = OrderedDict()
        self._sightings = Sightings(store)
        self._revision = 0
        self._catching_up = asyncio.Lock()

    def recall(self, secret: str) -> AccessToken | None:
        """Return the token with this value, also an expired one; None when this process does not know it."""
        return self._known.get(secrets.digest(secret))

    async def look(self, secret: str) -> None:
        """Look a token up in the database, for `recall`. Raises StorageUnavailable."""
        digest = secrets.stored_digest(secret)
        revision, token = await self._store.access(digest)
        while token is not None and revision < self._revision:  # it may have ended since the database was asked
            await self.catch_up()
            revision, token = await self._store.access(digest)
        key = secrets.digest(secret)
        self._known.pop(key, None)
        if token is None:
            return
        self._known[key] = token
        if len(self._known) > MOST_KNOWN:
            self._known.popitem(last=False)

    def touch(self, token: AccessToken) -> None:
        """Note that a token was used just now, which is stored within SAVING seconds."""
        self._sightings.note(token.grant.id)

    def has_ended(self, token: AccessToken) -> bool:
        """Whether this process has heard that the token or its grant has ended."""
        return token.grant.id in self._ended or token.digest in self._ended

    async def catch_up(self) -> None:
        """Forget what has ended since the last call. Raises StorageUnavailable."""
        async with self._catching_up:
            ended = await self._store.ended(self._revision)
            if ended.revision == self._revision:
                return
            if ended.revision < self._revision:  # a backup of the database was restored
                self._known.clear()
            self._revision = ended.revision
            for each in (*ended.grants, *ended.tokens):
                self._ended[each] = None
            while len(self._ended) > MOST_KNOWN:
                self._ended.popitem(last=False)
            for key in [key for key, token in self._known.items() if self.has_ended(token)]:
                del self._known[key]
        for tell in self.on_end:
            tell()

    async def run(self) -> None:
        """Store which grants were used, and delete what has expired, until cancelled."""
        await self._sightings.run(SAVING, self._prune, PRUNING)

    async def save(self) -> None:
        """Store when grants were used. Raises StorageUnavailable."""
        await self._sightings.save()

    async def _prune(self) -> None:
        before, deleted = now() - KEPT, BATCH
        while deleted == BATCH:
            deleted = await self._store.prune(before, BATCH)
