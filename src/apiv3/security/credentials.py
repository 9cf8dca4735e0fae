"""Credentials, the identities they belong to, and the interface of verifiers, which map one to the other."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol

from apiv3.model.grants import AccessToken
from apiv3.model.sessions import Session
from apiv3.security.principal import Principal

Source = Literal["query", "header", "api-secret", "authentication-token", "message", "session", "basic"]
"""Where a credential was: in the query string, in the header Authorization ("header", "basic" for a name and a password),
api-secret or Authentication-Token, in a message of Socket.IO, or in the cookie of a session.
"""


class Credential(NamedTuple):
    """A secret, where in the request it was, and the address that sent it. Its `repr` leaves the secret out."""

    secret: str
    source: Source
    address: str

    def __repr__(self) -> str:
        return f"Credential({self.source} from {self.address})"


@dataclass(frozen=True, slots=True)
class Identity:
    """The owner of a verified credential.

    `access_token`: the subject's access token, also when the credential was a JWT or a user token; empty for API_SECRET.
    `expires`: when the credential expires, in seconds since 1970; None: it is good as long as the subject has it.
    `way`: the kind of credential, for the audit trail. `session`, `bearer`: the session or the access token of OAuth2, if that
    was the credential.
    """

    principal: Principal
    access_token: str = field(repr=False)
    expires: float | None = None
    way: str = "access token"
    session: Session | None = None
    bearer: AccessToken | None = None


BEARER = "at_"
"""How the access tokens of OAuth2 begin."""


def session_key(value: str) -> bytes:
    """Return the text by which a session is remembered in place of a header. No header contains a line feed."""
    return b"\n" + value.encode()


class Unknown(ValueError):
    """The credential is not known to this process; the database may contain it."""


class Verifier(Protocol):
    """Verifies one kind of credential."""

    def verify(self, credential: Credential) -> Identity | None:
        """Return the owner of the credential; None for a credential of another kind, which the next verifier then checks.

        Raises ValueError for a bad credential of this kind: no other verifier is asked. Raises Unknown, a ValueError, when
        `look` could make it good.
        """

    async def look(self, credential: Credential) -> None:
        """Load from the database what could make a credential good for which `verify` has raised Unknown."""
