"""What a caller presents, whose it turns out to be, and what tells the one from the other."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol

from apiv3.security.principal import Principal

Source = Literal["query", "header", "api-secret", "message"]
"""Where a credential stood: in the query string, in the header Authorization or api-secret, or in a message of Socket.IO."""


class Credential(NamedTuple):
    """A secret, where in the request it stood, and the address that sent it."""

    secret: str
    source: Source
    address: str

    def __repr__(self) -> str:
        return f"Credential({self.source} from {self.address})"


@dataclass(frozen=True, slots=True)
class Identity:
    """A good credential: whose it is, until when (seconds since the epoch; None: for as long as the subject has it)."""

    principal: Principal
    access_token: str = field(repr=False)
    expires: float | None = None


class Unknown(ValueError):
    """A credential that may be good, but not by the subjects that this process knows of."""


class Verifier(Protocol):
    """Verifies one kind of credential."""

    def verify(self, credential: Credential) -> Identity | None:
        """Return None for a credential of another kind. Raises ValueError for one of this kind that is not good: then no other
        verifier is asked. Raises Unknown where a newer revision of the subjects could make it good.
        """
