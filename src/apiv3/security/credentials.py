"""Credentials, the identities they belong to, and the interface of verifiers, which map one to the other."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol

from apiv3.security.principal import Principal

Source = Literal["query", "header", "api-secret", "authentication-token", "message"]
"""Where a credential was: in the query string, in the header Authorization ("header"), api-secret or Authentication-Token, or
in a message of Socket.IO.
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
    `way`: the kind of credential, for the audit trail.
    """

    principal: Principal
    access_token: str = field(repr=False)
    expires: float | None = None
    way: str = "access token"


class Unknown(ValueError):
    """The credential belongs to no subject that this process knows; a newer policy may contain it."""


class Verifier(Protocol):
    """Verifies one kind of credential."""

    def verify(self, credential: Credential) -> Identity | None:
        """Return the owner of the credential; None for a credential of another kind, which the next verifier then checks.

        Raises ValueError for a bad credential of this kind: no other verifier is asked. Raises Unknown, a ValueError, when a
        newer revision of the policy could make it good.
        """
