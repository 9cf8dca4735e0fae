"""Verify the access tokens of OAuth2."""

from __future__ import annotations

from dataclasses import replace

from apiv3.model import messages
from apiv3.model.errors import BadRequest
from apiv3.model.grants import AccessToken
from apiv3.model.identity import Subject
from apiv3.model.timestamps import now
from apiv3.security.credentials import BEARER, Credential, Identity, Unknown
from apiv3.security.oauth2.access_tokens import AccessTokens
from apiv3.security.oauth2.scopes import ScopeTable
from apiv3.security.policy import Policies
from apiv3.security.tokens import Expired


class BearerVerifier:
    """Verifies every credential that begins as the access tokens of OAuth2 do.

    The subject must still have the nonce that it had when it allowed the client to act for it. The token's scopes are a ceiling
    for what the subject's roles grant.
    """

    def __init__(self, tokens: AccessTokens, scopes: ScopeTable, policies: Policies) -> None:
        self._tokens, self._scopes, self._policies = tokens, scopes, policies

    def verify(self, credential: Credential) -> Identity | None:
        if not credential.secret.startswith(BEARER):
            return None
        if credential.source == "query":  # RFC 9700, section 4.3.2: URLs end up in logs and histories
            raise BadRequest(messages.BEARER_IN_QUERY)
        token = self._tokens.recall(credential.secret)
        subject = None if token is None else self._subject(token)
        if token is None or subject is None:
            raise Unknown("there is no such access token, or it has ended")
        snapshot = self._policies.current
        if now() >= token.expires:
            raise Expired(snapshot.token(subject))
        ceilings = (self._scopes.ceiling(token.scopes),)
        principal = replace(snapshot.principal(subject), ceilings=ceilings, timestamp="optional")
        return Identity(principal, snapshot.token(subject), token.expires / 1000, "application", bearer=token)

    async def look(self, credential: Credential) -> None:
        await self._tokens.look(credential.secret)
        token = self._tokens.recall(credential.secret)
        if token is not None and self._subject(token) is None:  # the subject may be newer than the policy of this process
            await self._policies.look()

    def _subject(self, token: AccessToken) -> Subject | None:
        subject = self._policies.current.active(token.grant.subject)
        return subject if subject is not None and subject.nonce == token.grant.nonce else None
