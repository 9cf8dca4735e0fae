"""The audit trail: who did what, from where, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

Action = Literal[
    "account-changed",
    "account-disabled",
    "account-enabled",
    "account-made",
    "account-removed",
    "application-allowed",
    "application-withdrawn",
    "client-changed",
    "client-made",
    "client-removed",
    "client-rotated",
    "command-canceled",
    "command-made",
    "device-changed",
    "device-enrolled",
    "device-made",
    "device-paired",
    "device-removed",
    "device-revoked",
    "device-rotated",
    "invitation-made",
    "invitation-used",
    "passkey-added",
    "passkey-removed",
    "password-changed",
    "role-changed",
    "role-made",
    "role-removed",
    "session-ended",
    "sign-in",
    "sign-out",
    "signed-out-elsewhere",
    "subject-changed",
    "subject-made",
    "subject-removed",
    "token-replayed",
    "token-rotated",
    "update-published",
]
"""What an entry can tell of."""
Outcome = Literal["success", "failure"]


class Actor(NamedTuple):
    """Who did it. `id`: the subject's, None for who has none; `way`: the way in, such as `jwt`; `address`: where from."""

    id: str | None
    name: str
    way: str
    address: str = ""


class Target(NamedTuple):
    """What it was done to, by the names that it had then."""

    kind: Literal["subject", "role", "person", "application", "device", "update"]
    id: str
    name: str
    email: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the trail. `time`: ms; `details`: without secrets."""

    time: int
    actor: Actor
    action: Action
    target: Target | None
    outcome: Outcome = "success"
    details: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Search:
    """Which entries are wanted. None, 0 and "": any.

    `since`, `until`: ms; the entries of `since` count, those of `until` do not. `actor`: the name or id of who did it.
    `target`: the name, e-mail address or id of what it was done to. `text`: a part of a name, address or action, in any case.
    """

    since: int = 0
    until: int | None = None
    actor: str | None = None
    action: Action | None = None
    target: str | None = None
    outcome: Outcome | None = None
    text: str = ""


Order = Literal["time", "actor", "action", "target", "address"]
"""What entries can be sorted by; those with the same value by their time."""


class Page(NamedTuple):
    """A part of the trail. `total`: how many entries the search finds."""

    entries: Sequence[Entry]
    total: int
