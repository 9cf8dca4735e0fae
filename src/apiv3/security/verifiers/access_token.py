"""Access tokens as credentials."""

from __future__ import annotations

from apiv3.security import secrets
from apiv3.security.credentials import Credential, Identity, Unknown
from apiv3.security.policy import Policies


class AccessTokenVerifier:
    """Takes every credential, so it comes last: what no other verifier knows can only be the access token of a subject."""

    def __init__(self, policies: Policies) -> None:
        self._policies = policies

    def verify(self, credential: Credential) -> Identity | None:
        principal = self._policies.current.find(credential.secret)
        if principal is None or _is_several(credential):
            raise Unknown if secrets.is_access_token(credential.secret) else ValueError
        return Identity(principal, credential.secret)


def _is_several(credential: Credential) -> bool:
    """Whether it looks like more than one: only the last 16 characters count, so the last would stand for all of them.

    A header cannot hold a blank within a credential (RFC 6750, section 2.1), and nothing else can be meant by a comma.
    """
    return "," in credential.secret or (credential.source == "header" and len(credential.secret.split()) > 1)
