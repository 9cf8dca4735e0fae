"""Accounts: the e-mail address and the ways to sign in that a person has in addition to being a subject."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from apiv3.model.identity import Subject

SHORTEST_PASSWORD, LONGEST_PASSWORD = 12, 256
"""Characters of a password, counted after its Unicode normalisation."""
INVITATION_LIFETIME = 72 * 3_600_000
"""Milliseconds for which an invitation is valid."""


class Email(NamedTuple):
    """An e-mail address. `address`: the form that is shown; `key`: a form that is the same for every spelling of an address."""

    address: str
    key: str


@dataclass(frozen=True, slots=True)
class Invitation:
    """A link that sets a password once. `digest`: the digest of its code; `expires`: ms since 1970."""

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
