"""JSON Web Tokens, for which clients exchange their access token (docs/reference/protocol.md, section 1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jose import jwt
from jose.exceptions import ExpiredSignatureError

ALGORITHM = "HS256"
LONGEST = 4096
"""Most characters of a JWT that is verified."""
_REQUIRED = {"require_exp": True, "require_iat": True, "verify_aud": False, "verify_at_hash": False}


@dataclass(frozen=True, slots=True)
class Claims:
    """The claims of a token. `issued` and `expires`: seconds since 1970."""

    access_token: str
    issued: int
    expires: int


class Expired(ValueError):
    """The token has a valid signature, but has expired. `access_token`: the access token that it was issued for."""

    def __init__(self, access_token: str) -> None:
        super().__init__("expired")
        self.access_token = access_token


class Tokens:
    """Signs and verifies tokens with HS256.

    `key`: at least 32 characters, else ValueError. `lifetime`: seconds for which a token is valid.
    """

    def __init__(self, key: str, lifetime: int) -> None:
        if len(key) < 32:
            raise ValueError("the JWT key must have at least 32 characters")
        self._key, self._lifetime = key, lifetime

    def sign(self, access_token: str, now: int) -> tuple[str, Claims]:
        """Return a token issued at `now` (seconds since 1970), and its claims."""
        claims = Claims(access_token, now, now + self._lifetime)
        body = {"accessToken": access_token, "iat": claims.issued, "exp": claims.expires}
        return jwt.encode(body, self._key, algorithm=ALGORITHM), claims

    def verify(self, token: str) -> Claims:
        """Return the claims of a valid token. Raises Expired for one of ours that has expired, ValueError for any other."""
        if len(token) > LONGEST:
            raise ValueError("too long")
        try:
            body = jwt.decode(token, self._key, algorithms=[ALGORITHM], options=_REQUIRED)
        except ExpiredSignatureError as error:  # raised only after the signature was verified
            raise Expired(_claims(jwt.get_unverified_claims(token)).access_token) from error
        except Exception as error:  # the library also raises others than its own errors, RecursionError for example
            raise ValueError("malformed or forged") from error
        return _claims(body)


def _claims(body: dict[str, Any]) -> Claims:
    token, issued, expires = body.get("accessToken"), body["iat"], body["exp"]
    if not isinstance(token, str) or not isinstance(issued, int) or not isinstance(expires, int):
        raise ValueError("a claim is missing or of the wrong type")
    return Claims(token, issued, expires)
