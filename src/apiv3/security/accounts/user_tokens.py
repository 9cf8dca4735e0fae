"""User tokens, which a person gets by signing in at `POST /api/requestAuthToken`.

A token is `value.timestamp.signature`. The value contains the id of the person and a hash of the subject's nonce, so a new
nonce makes all tokens invalid. The timestamp counts seconds since 2011, as old versions of itsdangerous did: the form comes
from systems that used these.
"""

from __future__ import annotations

import hashlib
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import UTC, datetime
from typing import NamedTuple

import orjson
from itsdangerous import BadSignature, TimestampSigner
from passlib.hash import sha256_crypt

from apiv3.model.identity import Subject

EPOCH = 1_293_840_000
"""2011-01-01T00:00:00Z, in seconds since 1970."""
TOLERANCE = 10
"""Seconds by which the time of a token may be in the future, since the clocks of two machines differ."""
LONGEST = 512
"""Most characters of a token."""
_ROUNDS = 1000
"""Rounds of the hash. It need not be slow, since nobody can guess 256 random bits."""
_SHAPE = re.compile(r"Wy[IJ][A-Za-z0-9_-]+\.[A-Za-z0-9_-]{1,11}\.[A-Za-z0-9_-]+", re.ASCII)
"""The form of a token. The value is a JSON array that begins with a text, in base64url. No JWT begins like that."""


class Claim(NamedTuple):
    """The contents of a token. `issued`: seconds since 1970; `hashed`: the hash of the nonce."""

    id: str
    hashed: str
    issued: int

    def fits(self, nonce: str) -> bool:
        """Return whether the token was issued with this nonce."""
        return bool(sha256_crypt.verify(nonce, self.hashed))


class _Signer(TimestampSigner):
    def get_timestamp(self) -> int:
        return super().get_timestamp() - EPOCH

    def timestamp_to_datetime(self, ts: int) -> datetime:
        return datetime.fromtimestamp(ts + EPOCH, UTC)


class UserTokens:
    """Signs and reads tokens. `key`: the secret that all processes share; `lifetime`: seconds."""

    def __init__(self, key: str, lifetime: int) -> None:
        self.lifetime = lifetime
        self._signer = _Signer(key, salt="apiv3.user-token", key_derivation="hmac", digest_method=hashlib.sha256)

    def sign(self, subject: Subject) -> str:
        """Issue a token for a person, valid from now on."""
        value = orjson.dumps([subject.id, sha256_crypt.using(rounds=_ROUNDS).hash(subject.nonce)])
        return self._signer.sign(urlsafe_b64encode(value).rstrip(b"=")).decode()

    def read(self, token: str) -> Claim:
        """Return the contents of a token, even an expired one. Raises ValueError if this server did not sign it."""
        try:
            value, issued = self._signer.unsign(token, return_timestamp=True)
        except BadSignature as error:
            raise ValueError("malformed or forged") from error
        person, hashed = orjson.loads(urlsafe_b64decode(value + b"=" * (-len(value) % 4)))
        return Claim(person, hashed, int(issued.timestamp()))


def is_user_token(text: str) -> bool:
    """Return whether a text has the form of a user token."""
    return len(text) <= LONGEST and _SHAPE.fullmatch(text) is not None
