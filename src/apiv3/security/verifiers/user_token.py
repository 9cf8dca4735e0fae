"""User tokens as credentials."""

from __future__ import annotations

import time

from apiv3.security.accounts.user_tokens import TOLERANCE, UserTokens, is_user_token
from apiv3.security.credentials import Credential, Identity, Unknown
from apiv3.security.policy import Policies
from apiv3.security.tokens import Expired


class UserTokenVerifier:
    """Takes every credential of the form of a user token, and whatever stands in the header Authentication-Token.

    It asks before the verifier of JWTs, which have three parts, too. In a URL a user token is refused.
    """

    def __init__(self, tokens: UserTokens, policies: Policies) -> None:
        self._tokens, self._policies = tokens, policies

    def verify(self, credential: Credential) -> Identity | None:
        if not is_user_token(credential.secret):
            if credential.source == "authentication-token":
                raise ValueError("no user token")
            return None
        if credential.source == "query":
            raise ValueError("a user token has no place in a URL")
        claim = self._tokens.read(credential.secret)
        snapshot = self._policies.current
        subject = snapshot.person(claim.id)
        if subject is None or not claim.fits(subject.nonce):
            raise Unknown("the person is gone, disabled, or has another password")
        access_token, now = snapshot.token(subject), time.time()
        if claim.issued > now + TOLERANCE:
            raise ValueError("it comes from the future")
        expires = claim.issued + self._tokens.lifetime
        if now >= expires:
            raise Expired(access_token)
        return Identity(snapshot.principal(subject), access_token, expires, "user token")

    async def look(self, _credential: Credential) -> None:
        await self._policies.look()
