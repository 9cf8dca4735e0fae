"""The token endpoint, and what clients may ask about tokens (RFC 6749, section 3.2; RFC 7009; RFC 7662)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apiv3.model.clients import DEVICE_CODE, Application
from apiv3.model.errors import OAuth2Error
from apiv3.model.grants import AccessToken, RefreshToken
from apiv3.model.timestamps import now
from apiv3.retrying import retried
from apiv3.security import secrets
from apiv3.security.oauth2.access_tokens import AccessTokens
from apiv3.security.oauth2.grants.grant import Form, TokenGrant, required
from apiv3.security.oauth2.issuing import Issued
from apiv3.security.policy import Policies
from apiv3.storage.contracts.oauth2 import GrantStore


class TokenEndpoint:
    """Dispatches requests for tokens. `grants`: the grant types that are switched on, by the names that clients send."""

    def __init__(self, grants: Mapping[str, TokenGrant]) -> None:
        self.grants = grants

    async def issue(self, application: Application, form: Form, address: str) -> Issued:
        """Issue tokens to an authenticated client. Raises OAuth2Error, TooManyRequests."""
        name = required(form, "grant_type")
        if name not in self.grants:
            raise OAuth2Error("unsupported_grant_type", f"There are: {', '.join(self.grants)}")
        if ("device_code" if name == DEVICE_CODE else name) not in application.client.grants:
            raise OAuth2Error("unauthorized_client", "The client may not use this grant_type")
        return await self.grants[name].redeem(application, form, address)


class TokenInspection:
    """Tells about tokens, and revokes them. `issuer`: the URL of this server."""

    def __init__(self, store: GrantStore, tokens: AccessTokens, policies: Policies, issuer: str) -> None:
        self._store, self._tokens, self._policies, self._issuer = store, tokens, policies, issuer

    async def introspect(self, application: Application, secret: str) -> dict[str, Any]:
        """Describe a token (RFC 7662). Whoever may not know that it is good learns what is said of a bad one."""
        token = await self._live(secret)
        allowed = token is not None and (application.client.introspects or token.grant.client == application.client.id)
        if token is None or not allowed:
            return {"active": False}
        subject = self._policies.current.active(token.grant.subject)
        scopes = token.scopes if isinstance(token, AccessToken) else token.grant.scopes
        described = {"active": True, "iss": self._issuer, "client_id": token.grant.client, "aud": token.grant.client}
        described |= {"sub": token.grant.subject, "scope": " ".join(scopes)}
        described |= {"exp": token.expires // 1000, "iat": token.issued // 1000}
        described |= {} if subject is None else {"username": subject.name}
        return described | ({"token_type": "Bearer"} if isinstance(token, AccessToken) else {})

    async def info(self, secret: str) -> dict[str, Any]:
        """Describe an access token to whoever holds it (seed 003, "Verify Access Token"). Raises OAuth2Error."""
        token = await self._live(secret)
        if not isinstance(token, AccessToken):
            raise OAuth2Error("invalid_token", "The access token is unknown, expired or revoked")
        grant = token.grant
        names = {"aud": grant.client, "client_id": grant.client, "sub": grant.subject, "user_id": grant.subject}
        moments = {"exp": token.expires // 1000, "expires_in": (token.expires - now()) // 1000}
        return names | {"scope": " ".join(token.scopes)} | moments

    async def revoke(self, application: Application, secret: str) -> None:
        """End a token of the client: an access token alone, a refresh token with all its family. Others are left alone."""
        await self._revoke(application.client.id, secrets.stored_digest(secret))
        await self._tokens.catch_up()

    @retried
    async def _revoke(self, client: str, digest: str) -> None:
        async with self._store.changing() as writer:
            refresh = await writer.refresh(digest)
            if refresh is not None and refresh.grant.client == client:
                await writer.end([refresh.grant.id])
            access = await writer.access(digest)
            if access is not None and access.grant.client == client:
                await writer.drop_access(digest)

    async def _live(self, secret: str) -> AccessToken | RefreshToken | None:
        """Return the token with this value if it is good now."""
        await self._policies.latest()
        digest = secrets.stored_digest(secret)
        token = (await self._store.access(digest))[1] or await self._store.refresh(digest)
        if token is None or now() >= token.expires or (isinstance(token, RefreshToken) and token.rotated is not None):
            return None
        subject = self._policies.current.active(token.grant.subject)
        return token if subject is not None and subject.nonce == token.grant.nonce else None
