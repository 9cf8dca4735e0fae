"""Verify API_SECRET."""

from __future__ import annotations

from apiv3.security import secrets
from apiv3.security.credentials import Credential, Identity
from apiv3.security.principal import ADMINISTRATOR


class ApiSecretVerifier:
    """Verifies the header api-secret, the hex SHA-1 of API_SECRET. Only administration routes read that header."""

    def __init__(self, api_secret: str) -> None:
        self._digest = secrets.sha1(api_secret)

    def verify(self, credential: Credential) -> Identity | None:
        if credential.source != "api-secret":
            return None
        if not secrets.same(credential.secret.lower(), self._digest):
            raise ValueError("not the secret")
        return Identity(ADMINISTRATOR, "", way="API_SECRET")

    async def look(self, _credential: Credential) -> None:
        """Do nothing: API_SECRET is not in the database."""
