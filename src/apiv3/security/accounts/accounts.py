"""Manage the accounts of people, for the command line and for the page of an invitation.

Every operation that ends a person's credentials replaces the subject's nonce. Its access token, the JWTs made from it and its
user tokens all depend on the nonce, so all of them become invalid in every process within a second.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

from apiv3.model.accounts import INVITATION_LIFETIME, Account, Email, Invitation, Person
from apiv3.model.audit import Action, Actor
from apiv3.model.errors import Conflict, Forbidden, NotFound, StorageUnavailable
from apiv3.model.identity import Subject, is_object_id
from apiv3.model.sessions import Session, Started, Visitor
from apiv3.model.timestamps import iso, now
from apiv3.retrying import retried
from apiv3.security import administrators, secrets
from apiv3.security.accounts import passwords
from apiv3.security.accounts.emails import email
from apiv3.security.accounts.passwords import Passwords
from apiv3.security.authors import Author, person_target
from apiv3.security.demands import administration
from apiv3.security.logins import Logins
from apiv3.security.policy import Policies
from apiv3.security.principal import ADMINISTRATOR, STRANGER
from apiv3.security.subjects import check_subject, granted_by, held_by, roles_gained
from apiv3.storage.contracts import Policy
from apiv3.storage.contracts.accounts import AccountStore, AccountWriter

SPENT = "This invitation is not good, or not any more; ask for a new one"
FIRST_SPENT = (
    "This invitation is not good, or not any more: it was for 72 hours, and for whoever is the first to have an account. "
    "Whoever runs the server can invite you, with `apiv3 user add`"
)


class Accounts:
    """Creates, changes and removes accounts. Administration raises MissingPermission for an author who may not do that.

    A change is in effect in this process before the method returns."""

    def __init__(self, store: AccountStore, policies: Policies, hashing: Passwords, logins: Logins) -> None:
        self._store, self._policies, self._hashing, self._logins = store, policies, hashing, logins

    async def all(self) -> Sequence[Person]:
        """Return all people who have an account."""
        return await self._store.all()

    async def find(self, name: str) -> Person:
        """Find a person by e-mail address or id. Raises BadRequest if it is neither, NotFound."""
        found = await (self._store.find(name) if is_object_id(name) else self._store.find_email(email(name).key))
        if found is None:
            raise _nobody(name)
        return found

    @retried
    async def add(
        self,
        address: str,
        name: str,
        roles: Sequence[str],
        password: str | None,
        by: Author,
        *,
        groups: tuple[str, ...] = (),
        ous: tuple[str, ...] = (),
    ) -> tuple[Person, str | None]:
        """Create a person; without a password, also return an invitation code. Raises BadRequest, Conflict, Forbidden."""
        by.principal.demand(administration("users", "create"))
        code = secrets.mint() if password is None else None
        person = await self._new(address, name, roles, password, code)
        person = person._replace(subject=replace(person.subject, groups=groups, ous=ous))
        async with self._changing() as writer:
            await _insert(person, writer, by)
            if code:
                await writer.policy.note(by.entry("invitation-made", person_target(person)))
        return person, code

    async def is_empty(self) -> bool:
        """Return whether nobody has an account."""
        return not await self._store.all()

    @retried
    async def add_first(self, address: str, name: str, password: str, visitor: Visitor) -> Started:
        """Create the first person, an administrator, and sign the person in.

        Raises BadRequest, Conflict, and Forbidden if somebody has an account.
        """
        person = await self._new(address, name, ("admin",), password, None)
        by = Author(Actor(person.subject.id, person.subject.name, "invitation", visitor.address), ADMINISTRATOR)
        async with self._changing() as writer:
            if any(subject.is_person for subject in writer.policy.policy.subjects):
                raise Forbidden(FIRST_SPENT)
            await _insert(person, writer, by)
            return await self._logins.begin_within(writer.sessions, person, "invitation", visitor)

    @retried
    async def change(self, id: str, change: Callable[[Subject], Subject], address: str | None, by: Author) -> Person:
        """Replace the stored subject by the result of `change`, and the e-mail address if one is given.

        A person who is disabled by that loses every credential, and one who gains a role loses an unused invitation. Raises
        BadRequest, Conflict, Forbidden, NotFound.
        """
        by.principal.demand(administration("users", "update"))
        async with self._changing() as writer:
            stored, policy = await _stored(writer, id), writer.policy.policy
            by.check_power(held_by(policy, stored.subject, self._policies.default_roles))
            account = stored.account if address is None else replace(stored.account, email=email(address))
            changed = Person(change(stored.subject), account)
            is_switched = changed.subject.disabled != stored.subject.disabled
            if is_switched and changed.subject.disabled:
                changed = _disabled(changed)
            await _check(changed, writer)
            gained = roles_gained(stored.subject, changed.subject)
            by.check_gift(granted_by(policy, gained))
            if gained:
                changed = changed._replace(account=replace(changed.account, invitation=None))
            self._check_administrators(policy, administrators.with_subject(policy, changed.subject))
            await writer.put(changed)
            roles, before = list(changed.subject.roles), stored.account.email.address
            await writer.policy.note(by.entry("account-changed", person_target(changed), roles=roles, before=before))
            if is_switched:
                switch: Action = "account-disabled" if changed.subject.disabled else "account-enabled"
                await writer.policy.note(by.entry(switch, person_target(changed)))
        return changed

    async def disable(self, id: str, by: Author) -> Person:
        """Refuse every credential of the person from now on, and cancel any invitation. Raises Conflict, NotFound."""
        by.principal.demand(administration("users", "update"))
        return await self._replace(id, _disabled, by, "account-disabled")

    async def enable(self, id: str, by: Author) -> Person:
        """Let the person sign in again with the same password. Raises NotFound."""
        by.principal.demand(administration("users", "update"))
        return await self._replace(
            id, lambda stored: stored._replace(subject=replace(stored.subject, disabled=False)), by, "account-enabled"
        )

    async def invite(self, id: str, by: Author) -> tuple[Person, str]:
        """Return the code of a new invitation, which replaces any older one. Raises Conflict, Forbidden, NotFound."""
        by.principal.demand(administration("users", "update"))
        code = secrets.mint()

        def invited(stored: Person) -> Person:
            if stored.subject.disabled:
                raise Conflict(f"The account of {stored.account.email.address} is disabled; enable it first")
            return stored._replace(account=replace(stored.account, invitation=_invitation(code)))

        return await self._replace(id, invited, by, "invitation-made"), code

    async def set_password(self, id: str, password: str, by: Author) -> Person:
        """Set a password, and end every token and invitation of the person. Raises BadRequest, Forbidden, NotFound."""
        stored = await self.find(id)
        hashed = await self._hashed(password, stored.subject.name, stored.account.email)
        return await self._replace(id, lambda found: _with_password(found, hashed), by, "password-changed")

    async def change_password(self, session: Session, password: str, by: Author) -> Started:
        """Set the person's own password, and end all else that the person has. The session goes on with another value.

        Raises BadRequest for a bad password, SignInNeeded when the session has ended meanwhile.
        """
        stored = await self.find(session.subject)
        hashed = await self._hashed(password, stored.subject.name, stored.account.email)
        return await self._go_on(session, lambda found: _with_password(found, hashed), by, "password-changed")

    async def sign_out_elsewhere(self, session: Session, by: Author) -> Started:
        """End the person's other sessions, and all tokens of the person. The session goes on with another value.

        Raises SignInNeeded when the session has ended meanwhile.
        """
        return await self._go_on(session, _with_new_nonce, by, "signed-out-elsewhere")

    @retried
    async def remove(self, id: str, by: Author) -> Person:
        """Remove the account and the subject of a person. Raises Conflict, NotFound."""
        by.principal.demand(administration("users", "delete"))
        async with self._changing() as writer:
            stored, policy = await _stored(writer, id), writer.policy.policy
            by.check_power(held_by(policy, stored.subject, self._policies.default_roles))
            self._check_administrators(policy, administrators.without_subject(policy, id))
            await writer.remove(id)
            await writer.policy.note(by.entry("account-removed", person_target(stored)))
        return stored

    async def sessions(self, by: Author) -> Sequence[tuple[Session, Subject]]:
        """Return the sessions of everybody, each with the person, in no order. Raises MissingPermission."""
        by.principal.demand(administration("sessions", "read"))
        return await self._logins.all()

    async def session(self, id: str, by: Author) -> tuple[Session, Subject]:
        """Return a session that the author may end, with the person. Raises NotFound, Forbidden, MissingPermission."""
        by.principal.demand(administration("sessions", "delete"))
        for session, person in await self._logins.all():
            if session.id == id:
                by.check_power(self._policies.current.principal(person).granted.permissions)
                return session, person
        raise _no_session()

    async def end_session(self, id: str, by: Author) -> None:
        """End a session of somebody. Raises NotFound, MissingPermission, Forbidden unless the author holds all that they do."""
        _, person = await self.session(id, by)
        if not await self._logins.end([id], "session-ended", await self.find(person.id), by):
            raise _no_session()

    async def check_invitation(self, code: str) -> Person:
        """Return the person that an invitation is for, without using it up. Raises Forbidden if it is not valid."""
        found = await self._store.find_invitation(secrets.stored_digest(code))
        return _invited(found)

    @retried
    async def accept(self, code: str, password: str, visitor: Visitor) -> Started:
        """Use up an invitation: set the person's password, end all other credentials, and sign the person in.

        Raises Forbidden if the invitation is not valid, and BadRequest for a bad password, after which it can be used again.
        """
        invited = await self.check_invitation(code)
        hashed = await self._hashed(password, invited.subject.name, invited.account.email)
        async with self._changing() as writer:
            found = _invited(await writer.find_invitation(secrets.stored_digest(code)))
            accepted = _with_password(found, hashed)
            await writer.put(accepted)
            actor = Actor(found.subject.id, found.subject.name, "invitation", visitor.address)
            await writer.policy.note(Author(actor, STRANGER).entry("invitation-used", person_target(found)))
            return await self._logins.begin_within(writer.sessions, accepted, "invitation", visitor)

    @retried
    async def _replace(self, id: str, change: Callable[[Person], Person], by: Author, action: Action) -> Person:
        async with self._changing() as writer:
            stored, policy = await _stored(writer, id), writer.policy.policy
            by.check_power(held_by(policy, stored.subject, self._policies.default_roles))
            changed = change(stored)
            self._check_administrators(policy, administrators.with_subject(policy, changed.subject))
            await writer.put(changed)
            await writer.policy.note(by.entry(action, person_target(changed)))
        return changed

    @retried
    async def _go_on(self, session: Session, change: Callable[[Person], Person], by: Author, action: Action) -> Started:
        async with self._changing() as writer:
            changed = change(await _stored(writer, session.subject))
            started = await self._logins.go_on(writer.sessions, changed, session)
            await writer.put(changed)
            await writer.policy.note(by.entry(action, person_target(changed)))
            return started

    async def _new(self, address: str, name: str, roles: Sequence[str], password: str | None, code: str | None) -> Person:
        """Return a person who is not stored yet."""
        own = email(address)
        shown = name or own.address
        hashed = None if password is None else await self._hashed(password, shown, own)
        created_at, nonce = iso(now()), secrets.mint()
        subject = Subject(secrets.object_id(), shown, tuple(roles), created_at=created_at, nonce=nonce, is_person=True)
        return Person(subject, Account(subject.id, own, hashed, None if code is None else _invitation(code)))

    @asynccontextmanager
    async def _changing(self) -> AsyncIterator[AccountWriter]:
        async with self._store.changing() as writer:
            yield writer
        with suppress(StorageUnavailable):  # the change is stored; every process loads it once the database is back
            await self._policies.refresh()

    def _check_administrators(self, before: Policy, after: Policy) -> None:
        administrators.check(before, after, self._policies.default_roles)

    async def _hashed(self, password: str, name: str, own: Email) -> str:
        passwords.check(password, name, own)
        return await self._hashing.hash(password)


async def _stored(writer: AccountWriter, id: str) -> Person:
    found = await writer.find(id)
    if found is None:
        raise _nobody(id)
    return found


def _nobody(name: str) -> NotFound:
    return NotFound(f"There is no account {name!r}; list what there is to see them")


def _no_session() -> NotFound:
    return NotFound("There is no such session; it may have ended by itself")


async def _check(person: Person, writer: AccountWriter) -> None:
    check_subject(person.subject, writer.policy.policy)
    other = await writer.find_email(person.account.email.key)
    if other is not None and other.account.id != person.account.id:
        raise Conflict(f"There is an account for {other.account.email.address} already")


async def _insert(person: Person, writer: AccountWriter, by: Author) -> None:
    await _check(person, writer)
    by.check_gift(granted_by(writer.policy.policy, person.subject.roles))
    await writer.put(person)
    await writer.policy.note(by.entry("account-made", person_target(person), roles=list(person.subject.roles)))


def _disabled(person: Person) -> Person:
    """Return the person without any credential that is still good."""
    subject = replace(person.subject, disabled=True, nonce=secrets.mint())
    return Person(subject, replace(person.account, invitation=None))


def _invitation(code: str) -> Invitation:
    return Invitation(secrets.stored_digest(code), now() + INVITATION_LIFETIME)


def _invited(found: Person | None) -> Person:
    """Return the person if the invitation is valid now. Raises Forbidden."""
    invitation = None if found is None else found.account.invitation
    if found is None or found.subject.disabled or invitation is None or invitation.expires <= now():
        raise Forbidden(SPENT)
    return found


def _with_password(person: Person, hashed: str) -> Person:
    account = replace(person.account, password=hashed, invitation=None)
    return _with_new_nonce(person)._replace(account=account)


def _with_new_nonce(person: Person) -> Person:
    return person._replace(subject=replace(person.subject, nonce=secrets.mint()))
