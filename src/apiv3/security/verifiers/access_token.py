"""Access tokens as credentials."""

from __future__ import annotations

from apiv3.security.credentials import Credential, Identity
from apiv3.security.policy import Policies


class AccessTokenVerifier:
    """Takes every credential, so it comes last: what no other verifier knows can only be the access token of a subject."""

    def __init__(self, policies: Policies) -> None:
        self._policies = policies

    def verify(self, credential: Credential) -> Identity | None:
        principal = self._policies.current.find(credential.secret)
        if principal is None:
            raise ValueError("unknown")
        return Identity(principal, credential.secret)
