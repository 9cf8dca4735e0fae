"""Issue access and refresh tokens inside the transaction that uses up what they are given for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

from apiv3.model.clients import Application, Client, GrantType
from apiv3.model.errors import OAuth2Error
from apiv3.model.grants import AccessToken, Grant, RefreshToken, Scopes
from apiv3.model.identity import Subject
from apiv3.model.timestamps import now
from apiv3.security import secrets
from apiv3.security.credentials import BEARER
from apiv3.security.oauth2.authentication import settled
from apiv3.security.oauth2.scopes import OFFLINE, ScopeTable
from apiv3.storage.contracts.oauth2 import GrantStore, GrantWriter

REFRESH = "rt_"
"""How refresh tokens begin."""
LONGEST_IDLE, LONGEST = 30 * 86_400_000, 365 * 86_400_000
"""Milliseconds after which an unused refresh token expires, and after which a grant ends in any case."""


class Lifetimes(NamedTuple):
    """`access`: seconds for which an access token is valid. `grace`: seconds for which a refresh token may be sent again."""

    access: int
    grace: int


@dataclass(frozen=True, slots=True)
class Issued:
    """A successful answer of the token endpoint (RFC 6749, section 5.1). `expires_in`: seconds."""

    access: str = field(repr=False)
    expires_in: int
    scopes: Scopes
    refresh: str | None = field(default=None, repr=False)


class Pair(NamedTuple):
    """The values of an access token and of a refresh token."""

    access: str
    refresh: str


class Issuer:
    """Issues tokens."""

    def __init__(self, store: GrantStore, lifetimes: Lifetimes, scopes: ScopeTable) -> None:
        self._store, self.lifetimes, self._scopes = store, lifetimes, scopes

    @asynccontextmanager
    async def transaction(self, application: Application) -> AsyncIterator[GrantWriter]:
        """Begin a transaction in which the client stays as it was when it authenticated.

        A change of a client ends all tokens that it has, so none may be issued beside the change. Raises OAuth2Error.
        """
        async with self._store.changing() as writer:
            if await settled(writer, application) != application.client:
                again = (("Retry-After", "1"),)
                raise OAuth2Error("temporarily_unavailable", "The client was changed just now; ask again", 503, headers=again)
            yield writer

    async def begin(
        self, writer: GrantWriter, client: Client, subject: Subject, way: GrantType, scopes: Scopes, address: str
    ) -> tuple[Grant, Issued]:
        """Begin a grant, and issue its first tokens. `address`: where the client calls from, empty for the command line."""
        moment = now()
        grant = Grant(
            secrets.object_id(), client.id, subject.id, subject.nonce, way, scopes, moment, moment, self._expires(moment)
        )
        await writer.begin(grant)
        return grant, await self.issue(writer, grant, scopes, address, refreshes=may_refresh(client, scopes))

    async def issue(
        self, writer: GrantWriter, grant: Grant, scopes: Scopes, address: str, *, refreshes: bool, chosen: Pair | None = None
    ) -> Issued:
        """Issue an access token, and a refresh token if `refreshes`. `chosen`: their values; None: random ones."""
        access, refresh = chosen or Pair(BEARER + secrets.mint(), REFRESH + secrets.mint())
        moment = now()
        expires = min(self._expires(moment), grant.begun + LONGEST)
        token = AccessToken(secrets.stored_digest(access), grant, scopes, moment, expires)
        await writer.add_access(token, self._scopes.permissions(scopes), address)
        last = expires
        if refreshes:
            last = min(moment + LONGEST_IDLE, grant.begun + LONGEST)
            await writer.add_refresh(RefreshToken(secrets.stored_digest(refresh), grant, moment, last))
        await writer.extend(grant.id, last)
        return Issued(access, (expires - moment) // 1000, scopes, refresh if refreshes else None)

    def _expires(self, moment: int) -> int:
        return moment + self.lifetimes.access * 1000


def may_refresh(client: Client, scopes: Scopes) -> bool:
    """Whether a client gets refresh tokens: with the grant, and either the scope `offline_access` or no secret."""
    return "refresh_token" in client.grants and (OFFLINE in scopes or client.is_public)
