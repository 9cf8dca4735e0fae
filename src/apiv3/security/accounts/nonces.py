"""Nonces: each form that is shown carries one, so that no other site can send it and nobody can send it twice.

A nonce is 256 random bits and what it is bound to, signed with the time. So showing a form stores nothing; only a nonce that
was used is remembered, until it would have expired.
"""

from __future__ import annotations

import hashlib

from itsdangerous import BadSignature, TimestampSigner

from apiv3.model.errors import BadNonce
from apiv3.security import secrets
from apiv3.storage.contracts.sessions import SessionStore

LIFETIME = 3600
"""Seconds for which a nonce is good."""
LONGEST = 300
"""Most characters of a nonce."""


class Nonces:
    """Issues nonces, and accepts each of them once in all processes. `key`: the secret that all processes share."""

    def __init__(self, key: str, store: SessionStore) -> None:
        self._store = store
        self._signer = TimestampSigner(key, salt="apiv3.nonce", key_derivation="hmac", digest_method=hashlib.sha256)

    def issue(self, bound: str) -> str:
        """Return a new nonce. `bound`: the id of a session, or the value of the cookie that a form has before the sign-in."""
        return self._signer.sign(f"{secrets.mint()}.{secrets.stored_digest(bound)}").decode()

    async def use(self, nonce: str | None, bound: str) -> None:
        """Use a nonce up. Raises BadNonce for one that is missing, forged, expired, used, or bound to something else."""
        try:
            if nonce is None or len(nonce) > LONGEST:
                raise BadNonce
            signed, issued = self._signer.unsign(nonce, max_age=LIFETIME, return_timestamp=True)
        except BadSignature as error:
            raise BadNonce from error
        if not secrets.same(signed.decode().rpartition(".")[2], secrets.stored_digest(bound)):
            raise BadNonce
        # Not the digest of the whole nonce, since one signature can be written in several ways.
        if not await self._store.use(secrets.stored_digest(signed.decode()), int(issued.timestamp() + LIFETIME + 1) * 1000):
            raise BadNonce
