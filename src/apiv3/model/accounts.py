"""Accounts: what a person has beyond what every subject has, an e-mail address and ways to sign in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from apiv3.model.identity import Subject

SHORTEST_PASSWORD, LONGEST_PASSWORD = 12, 256
"""Characters of a password, counted after its Unicode normalisation."""
INVITATION_LIFETIME = 72 * 3_600_000
"""Milliseconds that an invitation is good for."""


class Email(NamedTuple):
    """An e-mail address. `address`: as it is shown; `key`: the same for every spelling of one address."""

    address: str
    key: str


@dataclass(frozen=True, slots=True)
class Invitation:
    """A link that sets a password, once. `digest`: of its code; `expires`: ms."""

    digest: str = field(repr=False)
    expires: int


@dataclass(frozen=True, slots=True)
class Account:
    """The account of the subject with the same id. `password`: its hash; None until the person has chosen one."""

    id: str
    email: Email
    password: str | None = field(default=None, repr=False)
    invitation: Invitation | None = None


class Person(NamedTuple):
    """A subject with an account."""

    subject: Subject
    account: Account
