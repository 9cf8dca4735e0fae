"""Verify JSON Web Tokens."""

from __future__ import annotations

from apiv3.security.credentials import Credential, Identity, Unknown
from apiv3.security.policy import Policies
from apiv3.security.tokens import Tokens


class JwtVerifier:
    """Verifies every credential of three parts separated by dots. The access token in it must still belong to a subject."""

    def __init__(self, tokens: Tokens, policies: Policies) -> None:
        self._tokens, self._policies = tokens, policies

    def verify(self, credential: Credential) -> Identity | None:
        if credential.secret.count(".") != 2:
            return None
        claims = self._tokens.verify(credential.secret)
        principal = self._policies.current.find(claims.access_token)
        if principal is None:
            raise Unknown("the subject is gone, or has a new token")
        return Identity(principal, claims.access_token, claims.expires, "JWT")

    async def look(self, _credential: Credential) -> None:
        await self._policies.look()
