"""Passkeys: keys of WebAuthn with which people sign in without a password."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from apiv3.model.errors import BadRequest

MOST = 20
"""Most passkeys of a person."""
LONGEST_NAME = 60
"""Most characters of the name of a passkey."""
CHALLENGE_LIFETIME = 5 * 60_000
"""Milliseconds for which a challenge may be answered."""
Purpose = Literal["add", "confirm", "sign-in"]
"""What a challenge is for: to add a passkey, to confirm who is signed in, or to sign in."""


@dataclass(frozen=True, slots=True)
class Passkey:
    """A public key whose private half an authenticator of the person keeps.

    `id`: the credential id in base64url; `person`: the id of the subject; `public_key`: a COSE key; `counter`: the last
    signature counter; `created_at`, `last_used`: ms since 1970.
    """

    id: str
    person: str
    public_key: bytes = field(repr=False)
    counter: int
    name: str
    created_at: int
    last_used: int | None = None

    def follows(self, counter: int) -> bool:
        """Return whether a signature with this counter was made after the last one, as far as counters tell.

        Authenticators that do not count always send 0. A counter that does not grow may come from a copy of the key
        (WebAuthn Level 2, section 6.1.1).
        """
        return counter > self.counter or counter == self.counter == 0


def checked_name(text: str) -> str:
    """Return the name of a passkey without blanks around it. Raises BadRequest."""
    name = text.strip()
    if not 0 < len(name) <= LONGEST_NAME or not name.isprintable():
        raise BadRequest(f"Bad name: it must have 1 to {LONGEST_NAME} characters, all of them printable")
    return name
