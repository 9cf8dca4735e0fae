"""JSON Web Tokens: what an access token is exchanged for (docs/reference/protocol.md, section 1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jose import jwt
from jose.exceptions import ExpiredSignatureError

ALGORITHM = "HS256"
LONGEST = 4096
"""Characters of a JWT."""
_REQUIRED = {"require_exp": True, "require_iat": True, "verify_aud": False, "verify_at_hash": False}


@dataclass(frozen=True, slots=True)
class Claims:
    """What a token of ours says: `issued` and `expires` are seconds since the epoch."""

    access_token: str
    issued: int
    expires: int


class Expired(ValueError):
    """The token was good once; `access_token` is the one in it."""

    def __init__(self, access_token: str) -> None:
        super().__init__("expired")
        self.access_token = access_token


class Tokens:
    """Signs and verifies, with one key and one algorithm. `lifetime`: seconds."""

    def __init__(self, key: str, lifetime: int) -> None:
        if len(key) < 32:
            raise ValueError("the JWT key must have at least 32 characters")
        self._key, self._lifetime = key, lifetime

    def sign(self, access_token: str, now: int) -> tuple[str, Claims]:
        """A token issued `now` (seconds)."""
        claims = Claims(access_token, now, now + self._lifetime)
        body = {"accessToken": access_token, "iat": claims.issued, "exp": claims.expires}
        return jwt.encode(body, self._key, algorithm=ALGORITHM), claims

    def verify(self, token: str) -> Claims:
        """Raises Expired for a token of ours that is over, ValueError for every other one that is not good now."""
        if len(token) > LONGEST:
            raise ValueError("too long")
        try:
            body = jwt.decode(token, self._key, algorithms=[ALGORITHM], options=_REQUIRED)
        except ExpiredSignatureError as error:  # raised only after the signature proved right
            raise Expired(_claims(jwt.get_unverified_claims(token)).access_token) from error
        except Exception as error:  # the library lets more through than its own errors, RecursionError among them
            raise ValueError("malformed or forged") from error
        return _claims(body)


def _claims(body: dict[str, Any]) -> Claims:
    token, issued, expires = body.get("accessToken"), body["iat"], body["exp"]
    if not isinstance(token, str) or not isinstance(issued, int) or not isinstance(expires, int):
        raise ValueError("a claim is missing or of the wrong type")
    return Claims(token, issued, expires)
