"""Grants: what a subject has allowed a client, and the tokens that belong to it. All moments are ms since 1970."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from apiv3.model.clients import GrantType

Scopes = tuple[str, ...]
"""Scopes (RFC 6749, section 3.3), each once."""


@dataclass(frozen=True, slots=True)
class Grant:
    """What one subject has allowed one client by one authorization; all tokens that came of it belong to it.

    `subject`, `nonce`: for whom the client acts, with the nonce at the authorization; a new nonce ends the grant. For client
    credentials it is the client's own subject. `way`: how the client got it. `begun`, `seen`: when it began, and when one of
    its tokens was last used. `expires`: when its last token expires.
    """

    id: str
    client: str
    subject: str
    nonce: str = field(repr=False)
    way: GrantType
    scopes: Scopes
    begun: int
    seen: int
    expires: int


@dataclass(frozen=True, slots=True)
class AccessToken:
    """An access token in the database. `digest`: of the token. `scopes`: those of the grant, or fewer."""

    digest: str = field(repr=False)
    grant: Grant
    scopes: Scopes
    issued: int
    expires: int


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """A refresh token in the database. `rotated`: when it was exchanged for its successor; None while it is unused."""

    digest: str = field(repr=False)
    grant: Grant
    issued: int
    expires: int
    rotated: int | None = None


class Ended(NamedTuple):
    """What has ended up to a revision: ids of grants, and digests of single access tokens."""

    revision: int
    grants: frozenset[str]
    tokens: frozenset[str]


@dataclass(frozen=True, slots=True)
class Request:
    """A checked authorization request (RFC 6749, section 4.1.1) that waits for the decision of a person.

    `redirect`: where the answer goes; `redirect_sent`: whether the request named it. `state`: returned as it came.
    `challenge`: of PKCE with S256 (RFC 7636).
    """

    client: str
    redirect: str
    redirect_sent: bool
    scopes: Scopes
    state: str | None
    challenge: str


@dataclass(frozen=True, slots=True)
class Code:
    """An authorization code in the database. `tries`: how often it was presented. `grant`: the id of what it gave, if used."""

    digest: str = field(repr=False)
    client: str
    subject: str
    nonce: str = field(repr=False)
    redirect: str
    redirect_sent: bool
    scopes: Scopes
    challenge: str
    expires: int
    tries: int = 0
    grant: str | None = None


Verdict = Literal["pending", "allowed", "denied"]


@dataclass(frozen=True, slots=True)
class DeviceRequest:
    """A device that waits for a person to type its code (RFC 8628).

    `digest`: of the device code; `user_code`: the keyed digest of what the person types. `polled`: when it
    polled last. `subject`, `nonce`: who allowed it. `grant`: the id of what it gave, if used.
    """

    digest: str = field(repr=False)
    user_code: str = field(repr=False)
    client: str
    scopes: Scopes
    expires: int
    polled: int = 0
    verdict: Verdict = "pending"
    subject: str | None = None
    nonce: str | None = field(default=None, repr=False)
    grant: str | None = None
