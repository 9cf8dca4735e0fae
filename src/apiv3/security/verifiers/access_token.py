"""Verify access tokens."""

from __future__ import annotations

from apiv3.security import secrets
from apiv3.security.credentials import Credential, Identity, Unknown
from apiv3.security.policy import Policies


class AccessTokenVerifier:
    """Verifies every credential as the access token of a subject, so it must be the last verifier."""

    def __init__(self, policies: Policies) -> None:
        self._policies = policies

    def verify(self, credential: Credential) -> Identity | None:
        principal = self._policies.current.find(credential.secret)
        if principal is None or _is_several(credential):
            raise Unknown if secrets.is_access_token(credential.secret) else ValueError
        return Identity(principal, credential.secret)

    async def look(self, _credential: Credential) -> None:
        await self._policies.look()


def _is_several(credential: Credential) -> bool:
    """Whether the text looks like several credentials. Only the last 16 characters are compared, so the last would be taken.

    A credential in a header contains no blank (RFC 6750, section 2.1), and no access token contains a comma.
    """
    return "," in credential.secret or (credential.source == "header" and len(credential.secret.split()) > 1)
