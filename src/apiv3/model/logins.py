"""Logins: who has come in, by which secret, and what that allows; and the events that tell other services of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from apiv3.model.identity import BUILT_IN_ROLES

Via = Literal["password", "passkey", "invitation", "token", "oauth2", "device", "access-token"]
"""The ways in: the first three begin the session of a browser. `token`: a user token; `access-token`: a JWT for one."""
Reason = Literal["signed out", "ended", "expired", "disabled", "revoked"]
"""Why a login is over. `ended`: somebody else ended it, or it goes on under another value."""
Kind = Literal["login", "change", "logout"]
Permissions = tuple[str, ...]
"""Wildcard permissions as texts."""


@dataclass(frozen=True, slots=True)
class Login:
    """One way in that is open.

    `id`: a UUID, which is no credential. `digest`: the SHA-256 of the secret that the client presents, in hex. `subject`,
    `nonce`: whose it is, with the nonce at that time; a new nonce ends it. `address`: where from. `opened`: ms since 1970.
    `expires`: when it ends at the latest, ms since 1970; None: it has no end of its own. `lease`: when it ends unless it is
    renewed before, ms since 1970; nobody is told that moment. `ceilings`: each limits what the roles of the subject grant.
    """

    id: str
    digest: str = field(repr=False)
    subject: str
    nonce: str = field(repr=False)
    via: Via
    address: str
    opened: int
    expires: int | None
    ceilings: tuple[Permissions, ...] = ()
    lease: int | None = None


class Position(NamedTuple):
    """How far a follower is. `epoch`: of the database; `sequence`: the number of the last event that it has."""

    epoch: str
    sequence: int


class Event(NamedTuple):
    """What happened to a login. `body`: JSON."""

    position: Position
    kind: Kind
    body: str


class Snapshot(NamedTuple):
    """All logins that are open at a position, each as JSON."""

    position: Position
    sessions: Sequence[str]


def granted(roles: Iterable[str], stored: Mapping[str, Sequence[str]]) -> list[str]:
    """Return what roles grant, each permission once. `stored`: role -> permissions; a built-in role may be among them."""
    known = {**{role.name: role.permissions for role in BUILT_IN_ROLES}, **stored}
    return list(dict.fromkeys(permission for role in roles for permission in known.get(role, ())))
