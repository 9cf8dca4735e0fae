"""Challenges of WebAuthn: 256 random bits, signed with their purpose and the moment, so that issuing one stores nothing.

An anonymous visitor who asks for a challenge so leaves nothing behind. Only the challenges that were answered are stored, as
long as they could be answered again.
"""

from __future__ import annotations

import hashlib

from itsdangerous import BadSignature, TimestampSigner

from apiv3.model.passkeys import CHALLENGE_LIFETIME, Purpose
from apiv3.security import secrets


class Challenges:
    """Issues and reads challenges. `key`: the secret that all processes share."""

    def __init__(self, key: str) -> None:
        self._key = key

    def issue(self, purpose: Purpose, owner: str) -> bytes:
        """Return a new challenge, which is good for this purpose and owner only. `owner`: empty if it is for anybody."""
        return self._signer(purpose, owner).sign(secrets.mint())

    def read(self, challenge: bytes, purpose: Purpose, owner: str) -> str:
        """Return the digest under which an answered challenge is stored.

        Raises ValueError for a challenge that has expired, or was not issued for this purpose and owner.
        """
        try:
            value: bytes = self._signer(purpose, owner).unsign(challenge, max_age=CHALLENGE_LIFETIME // 1000)
        except BadSignature as error:
            raise ValueError("the challenge is old, or for something else") from error
        return secrets.stored_digest(value.decode())

    def _signer(self, purpose: Purpose, owner: str) -> TimestampSigner:
        salt = f"apiv3.passkey.{purpose}.{owner}"
        return TimestampSigner(self._key, salt=salt, key_derivation="hmac", digest_method=hashlib.sha256)
