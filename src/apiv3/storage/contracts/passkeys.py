"""What the rest of the server may ask of the storage of passkeys."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from apiv3.model.accounts import Person
from apiv3.model.audit import Entry
from apiv3.model.passkeys import Passkey


class PasskeyWriter(Protocol):
    """The passkeys of one person inside a writing transaction, which holds the person's account."""

    @property
    def person(self) -> Person: ...

    async def all(self) -> Sequence[Passkey]:
        """Every passkey of the person, oldest first."""

    async def add(self, passkey: Passkey) -> bool:
        """Store a new passkey. Return False if its id is known already, whoever's it is."""

    async def change(self, passkey: Passkey) -> None:
        """Store the counter, the name and the last use of a passkey."""

    async def remove(self, id: str) -> None: ...

    async def use(self, challenge: str, expires: int) -> bool:
        """Return whether the challenge with this digest is answered for the first time; remembered until `expires` (ms)."""

    async def note(self, entry: Entry) -> None:
        """Add an entry to the audit trail."""


class PasskeyStore(Protocol):
    async def all(self, person: str) -> Sequence[Passkey]:
        """Every passkey of the person with this id, oldest first."""

    async def find(self, id: str) -> Passkey | None:
        """The passkey with this credential id."""

    def changing(self, person: str) -> AbstractAsyncContextManager[PasskeyWriter]:
        """A transaction on the passkeys of a person, one at a time over all processes. Raises NotFound."""
