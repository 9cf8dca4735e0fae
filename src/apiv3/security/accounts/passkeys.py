"""Add passkeys, verify their signatures, rename and remove them.

A challenge is good once, for a few minutes, and only for the purpose and the owner that it was issued for. Its record and the
signature counter are written in one transaction, so this holds over all processes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from apiv3.model.accounts import Person
from apiv3.model.errors import BadRequest, Conflict, NotFound, Unauthorized
from apiv3.model.passkeys import CHALLENGE_LIFETIME, MOST, Passkey, Purpose, checked_name
from apiv3.model.timestamps import now
from apiv3.retrying import retried
from apiv3.security.accounts.challenges import Challenges
from apiv3.security.accounts.relying_party import Options, RelyingParty
from apiv3.security.authors import Author, person_target
from apiv3.storage.contracts.passkeys import PasskeyStore, PasskeyWriter

if TYPE_CHECKING:
    from apiv3.security.accounts.ceremonies import Ceremonies

_NOT_ADDED = "The passkey could not be added: try again"
_LAST = "This is the only way in to the account, so it cannot be removed: choose a password, or add another passkey, first"
_LONGEST_REASON = 200
"""Most characters of a reason, parts of which may come from the sender."""


class PasskeyRefused(Unauthorized):
    """The signature of a passkey is not accepted. The message is the same for every cause.

    `reason`: the cause, for the audit trail; `person`: the id of its owner, if the passkey is known.
    """

    message = "This passkey is not accepted"

    def __init__(self, reason: str, person: str | None = None) -> None:
        super().__init__()
        self.reason = reason.encode("ascii", "backslashreplace").decode()[:_LONGEST_REASON]
        self.person = person


class Passkeys:
    """The passkeys of all people. `owner`, in its methods: whom a challenge is for, such as a session; empty: anybody."""

    def __init__(self, store: PasskeyStore, party: RelyingParty, challenges: Challenges) -> None:
        self.party = party
        self._store, self._challenges = store, challenges

    @cached_property
    def _ceremonies(self) -> Ceremonies:
        from apiv3.security.accounts.ceremonies import Ceremonies  # takes time and memory, and many never need it

        return Ceremonies(self.party)

    async def all(self, person: str) -> Sequence[Passkey]:
        """Return the passkeys of a person, oldest first."""
        return await self._store.all(person)

    async def creation_options(self, person: Person, owner: str) -> Options:
        """Return the options for `navigator.credentials.create`. Raises Conflict when the person has MOST passkeys."""
        passkeys = await self._store.all(person.subject.id)
        _check_room(passkeys)
        return self._ceremonies.creation_options(person, passkeys, self._challenges.issue("add", owner))

    def request_options(self, purpose: Purpose, owner: str) -> Options:
        """Return the options for `navigator.credentials.get`."""
        return self._ceremonies.request_options(self._challenges.issue(purpose, owner))

    @retried
    async def add(self, person: str, answer: object, name: str, owner: str, by: Author) -> Passkey:
        """Store the passkey that an authenticator of a person has made. Raises BadRequest, Conflict, NotFound."""
        name = checked_name(name)
        try:
            credential, challenge = self._ceremonies.parse_registration(answer)
            digest = self._challenges.read(challenge, "add", owner)
            made = self._ceremonies.verify_registration(credential, challenge)
        except ValueError as error:
            raise BadRequest(_NOT_ADDED) from error
        passkey = Passkey(made.id, person, made.public_key, made.counter, name, now())
        async with self._store.changing(person) as writer:
            if not await writer.use(digest, now() + CHALLENGE_LIFETIME):
                raise BadRequest(_NOT_ADDED)
            _check_room(await writer.all())
            if not await writer.add(passkey):
                raise Conflict("This passkey is there already")
            await writer.note(by.entry("passkey-added", person_target(writer.person), passkey=name))
        return passkey

    @retried
    async def verify(self, answer: object, purpose: Purpose, owner: str) -> Person:
        """Return the person whose passkey has answered a challenge for this purpose and owner. Raises PasskeyRefused."""
        passkey: Passkey | None = None
        try:
            credential, challenge = self._ceremonies.parse_assertion(answer)
            digest = self._challenges.read(challenge, purpose, owner)
            passkey = await self._store.find(credential.id)
            if passkey is None:
                raise ValueError("the passkey is unknown")
            counter = self._ceremonies.verify_assertion(credential, challenge, passkey)
            async with self._store.changing(passkey.person) as writer:
                await _use(writer, passkey.id, counter, digest)
        except (ValueError, NotFound) as error:
            raise PasskeyRefused(str(error), None if passkey is None else passkey.person) from error
        return writer.person

    async def rename(self, person: str, id: str, name: str) -> None:
        """Give a passkey another name. Raises BadRequest, NotFound."""
        name = checked_name(name)
        async with self._store.changing(person) as writer:
            await writer.change(replace(_owned(await writer.all(), id), name=name))

    async def remove(self, person: str, id: str, by: Author) -> None:
        """Remove a passkey. Raises Conflict for the only way in to the account, and NotFound."""
        async with self._store.changing(person) as writer:
            passkeys = await writer.all()
            passkey = _owned(passkeys, id)
            if len(passkeys) == 1 and writer.person.account.password is None:
                raise Conflict(_LAST)
            await writer.remove(id)
            await writer.note(by.entry("passkey-removed", person_target(writer.person), passkey=passkey.name))


async def _use(writer: PasskeyWriter, id: str, counter: int, digest: str) -> None:
    """Record that a passkey has answered a challenge. Raises NotFound if it was removed, ValueError if it is not accepted."""
    if not await writer.use(digest, now() + CHALLENGE_LIFETIME):
        raise ValueError("the challenge was answered before")
    stored = _owned(await writer.all(), id)
    if writer.person.subject.disabled:
        raise ValueError("the account is disabled")
    if not stored.follows(counter):
        raise ValueError(f"the signature counter did not grow: {stored.counter}, then {counter}")
    await writer.change(replace(stored, counter=counter, last_used=now()))


def _owned(passkeys: Sequence[Passkey], id: str) -> Passkey:
    found = next((each for each in passkeys if each.id == id), None)
    if found is None:
        raise NotFound("There is no such passkey")
    return found


def _check_room(passkeys: Sequence[Passkey]) -> None:
    if len(passkeys) >= MOST:
        raise Conflict(f"There are {MOST} passkeys already: remove one first")
