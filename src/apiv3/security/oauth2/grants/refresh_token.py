"""Exchange a refresh token for new tokens, once (RFC 6749, section 6; RFC 9700, section 4.14)."""

from __future__ import annotations

from apiv3.model.clients import Application
from apiv3.model.grants import RefreshToken
from apiv3.model.timestamps import now
from apiv3.retrying import retried
from apiv3.security import secrets
from apiv3.security.credentials import BEARER
from apiv3.security.oauth2.access_tokens import AccessTokens
from apiv3.security.oauth2.grants.grant import Form, invalid_grant, required
from apiv3.security.oauth2.issuing import REFRESH, Issued, Issuer, Pair
from apiv3.security.oauth2.replays import note_replay
from apiv3.security.oauth2.scopes import ScopeTable
from apiv3.security.policy import Policies
from apiv3.storage.contracts.oauth2 import GrantWriter

_BAD = "The refresh token is unknown, expired, revoked or used, or belongs to another client"


class RefreshTokenGrant:
    """Rotation: a refresh token gives new tokens, then its successor takes its place.

    Two requests at one instant, and one whose answer was lost, are honest. So for the grace period, as long as the successor
    was not used, the same refresh token gets the same answer again. After that somebody has a copy: the whole family ends.

    `key`: the secret that all processes share. With it the successors are derived from a refresh token, so that they can be
    given again although only digests are stored.
    """

    def __init__(self, tokens: AccessTokens, scopes: ScopeTable, policies: Policies, issuer: Issuer, key: str) -> None:
        self._tokens, self._scopes, self._policies = tokens, scopes, policies
        self._issuer, self._key = issuer, key

    async def redeem(self, application: Application, form: Form, address: str) -> Issued:
        secret = required(form, "refresh_token")
        await self._policies.latest()
        issued = await self._redeem(application, secret, form.get("scope"), address)
        if issued is None:
            await self._tokens.catch_up()  # if it was a replay, the family ends here at once
            raise invalid_grant(_BAD)
        return issued

    @retried
    async def _redeem(self, application: Application, secret: str, scope: str | None, address: str) -> Issued | None:
        async with self._issuer.transaction(application) as writer:
            token = await writer.refresh(secrets.stored_digest(secret))
            if token is None or not self._is_good(token, application):
                return None
            if token.rotated is not None:
                again = await self._again(writer, token, secret)
                if again is None:
                    await note_replay(writer, token.grant.id, application, address)
                return again
            return await self._rotate(writer, token, secret, scope, address)

    def _is_good(self, token: RefreshToken, application: Application) -> bool:
        subject = self._policies.current.active(token.grant.subject)
        if subject is None or subject.nonce != token.grant.nonce:
            return False
        return token.grant.client == application.client.id and now() < token.expires

    async def _rotate(self, writer: GrantWriter, token: RefreshToken, secret: str, scope: str | None, address: str) -> Issued:
        grant = token.grant
        scopes = self._scopes.chosen(scope, grant.scopes)  # a client that loses a scope loses its grants
        await writer.rotate(token.digest, now())
        return await self._issuer.issue(writer, grant, scopes, address, refreshes=True, chosen=self._successors(secret))

    async def _again(self, writer: GrantWriter, token: RefreshToken, secret: str) -> Issued | None:
        """Return the answer that this refresh token got before; None when it is too late for that."""
        moment = now()
        if token.rotated is None or moment - token.rotated >= self._issuer.lifetimes.grace * 1000:
            return None
        access, refresh = self._successors(secret)
        successor = await writer.refresh(secrets.stored_digest(refresh))
        if successor is None or successor.rotated is not None:
            return None
        given = await writer.access(secrets.stored_digest(access))
        if given is None:  # it was revoked by itself, which is no reason to end the family
            return Issued(access, 0, token.grant.scopes, refresh)
        left = -(-(given.expires - moment) // 1000)  # the tokens are as old as the first answer
        return Issued(access, max(0, left), given.scopes, refresh)

    def _successors(self, secret: str) -> Pair:
        """Return the tokens that follow a refresh token. Nobody can derive them without the key."""
        return Pair(*(kind + secrets.derived(self._key, f"apiv3.oauth2.{kind}{secret}") for kind in (BEARER, REFRESH)))
