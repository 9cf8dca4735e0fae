"""OAuth2 clients: the applications that may ask for tokens (RFC 6749, section 2)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple, get_args

from apiv3.model.identity import Subject

GrantType = Literal["authorization_code", "client_credentials", "password", "refresh_token", "device_code"]
"""The ways in which a client may get tokens. RFC 8628 names the last one by a URN, see `DEVICE_CODE`."""
GRANT_TYPES: tuple[GrantType, ...] = get_args(GrantType)
DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"
"""The `grant_type` of a device that polls (RFC 8628, section 3.4)."""


@dataclass(frozen=True, slots=True)
class Client:
    """An application. It is a subject as well, with the same id, whose name and roles it has.

    `secret`: the digest of its secret; None for a public client, which cannot keep one. `redirects`: the URIs that answers of
    the authorization endpoint may go to. `scopes`: the most that it may ask for. `grants`: how it may get tokens.
    `introspects`: whether it may ask about the tokens of other clients. `owner`: the id of the subject that registered it; None
    for the command line.
    """

    id: str
    redirects: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    grants: tuple[GrantType, ...] = ()
    secret: str | None = field(default=None, repr=False)
    introspects: bool = False
    owner: str | None = None

    @property
    def is_public(self) -> bool:
        """Whether the client has no secret (RFC 6749, section 2.1)."""
        return self.secret is None


class Application(NamedTuple):
    """A client together with its subject, which has its name, notes and roles."""

    client: Client
    subject: Subject
