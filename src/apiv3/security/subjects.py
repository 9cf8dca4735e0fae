"""Manage subjects and roles, for the administration endpoints and the command line."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from typing import TypeVar

from apiv3.model import messages, timestamps
from apiv3.model.errors import BadRequest, Conflict, NotFound, StorageUnavailable
from apiv3.model.identity import BUILT_IN_ROLES, LONGEST_GROUP, LONGEST_NAME, MOST_GROUPS, Role, Subject, is_object_id
from apiv3.retrying import retried
from apiv3.security import administrators, room, secrets
from apiv3.security.authors import Author, role_target, subject_target
from apiv3.security.demands import administration
from apiv3.security.permissions import Permission, check_meant
from apiv3.security.policy import Policies, compile_role
from apiv3.storage.contracts import Policy, PolicyStore, PolicyWriter

Entry = TypeVar("Entry", Subject, Role)

BUILT_IN = {role.name: role for role in BUILT_IN_ROLES}
LONGEST_NOTES = 10_000


class Administration:
    """Adds, changes and removes subjects and roles. A change takes effect in this process before the method returns.

    Every method raises MissingPermission when the author may not do that, and StorageUnavailable when the database is
    unavailable.
    """

    def __init__(self, store: PolicyStore, policies: Policies) -> None:
        self._store, self._policies = store, policies

    @retried
    async def add_subject(self, subject: Subject, by: Author) -> Subject:
        """Add a subject and return it as stored. An empty `id` is replaced by a new one, an empty `created_at` by the time.

        Raises BadRequest for invalid values, Conflict when the id or the name is taken.
        """
        by.principal.demand(administration("subjects", "create"))
        async with self._store.changing() as writer:
            if any(other.id == subject.id for other in writer.policy.subjects):
                raise Conflict(f"There is a subject with the _id {subject.id} already")
            added = replace(subject, id=subject.id or secrets.object_id(), created_at=subject.created_at or _now())
            check_subject(added, writer.policy)
            by.check_gift(granted_by(writer.policy, added.roles))
            await writer.put_subject(added)
            await writer.note(by.entry("subject-made", subject_target(added), roles=list(added.roles)))
        await self._take_effect()
        return added

    @retried
    async def change_subject(self, id: str, change: Callable[[Subject], Subject], by: Author) -> Subject:
        """Replace a subject by what `change` returns for it, and return that.

        Raises BadRequest for invalid values, Conflict when the name is taken, NotFound, and Forbidden unless the author holds
        all that the subject does. An unused invitation of a person who gains a role ends.
        """
        by.principal.demand(administration("subjects", "update"))
        async with self._store.changing() as writer:
            stored = _find(writer.policy.subjects, id)
            by.check_power(held_by(writer.policy, stored, self._policies.default_roles))
            changed = change(stored)
            check_subject(changed, writer.policy)
            gained = roles_gained(stored, changed)
            by.check_gift(granted_by(writer.policy, gained))
            if gained:
                await writer.end_invitations({id})
            self._check_administrators(writer.policy, administrators.with_subject(writer.policy, changed))
            await writer.put_subject(changed)
            await writer.note(by.entry("subject-changed", subject_target(changed), roles=list(changed.roles)))
        await self._take_effect()
        return changed

    @retried
    async def rotate(self, id: str, by: Author) -> Subject:
        """Give a subject a new access token. The old token, every JWT issued for it, and the user tokens of a
        person stop working at once.

        Raises BadRequest for a malformed `id`, NotFound, and Forbidden unless the author holds all that the new token allows.
        """
        by.principal.demand(administration("subjects", "update"))
        async with self._store.changing() as writer:
            stored = _find(writer.policy.subjects, id)
            by.check_power(held_by(writer.policy, stored, self._policies.default_roles))
            rotated = replace(stored, nonce=secrets.mint())
            await writer.put_subject(rotated)
            await writer.note(by.entry("token-rotated", subject_target(rotated)))
        await self._take_effect()
        return rotated

    @retried
    async def remove_subject(self, id: str, by: Author) -> None:
        """Remove a subject.

        Raises BadRequest for a malformed `id`, NotFound, Conflict for the last administrator, and Forbidden unless the author
        holds all that the subject does.
        """
        by.principal.demand(administration("subjects", "delete"))
        async with self._store.changing() as writer:
            stored = _find(writer.policy.subjects, id)
            by.check_power(held_by(writer.policy, stored, self._policies.default_roles))
            self._check_administrators(writer.policy, administrators.without_subject(writer.policy, id))
            await writer.remove_subject(id)
            await writer.note(by.entry("subject-removed", subject_target(stored)))
        await self._take_effect()

    @retried
    async def add_role(self, role: Role, by: Author) -> Role:
        """Add a role and return it as stored. A role with the name of a built-in one replaces it.

        Raises BadRequest for invalid values, Conflict when the id or the name is taken, and Forbidden as `change_role` does.
        """
        by.principal.demand(administration("roles", "create"))
        async with self._store.changing() as writer:
            if role.id and any(other.id == role.id for other in writer.policy.roles):
                raise Conflict(f"There is a role with the _id {role.id} already")
            added = replace(role, id=role.id or secrets.object_id(), created_at=role.created_at or _now())
            _check_role(added, writer.policy)
            by.check_gift(_new_permissions(added, _built_in(added.name)))
            await self._check_roles(writer, administrators.with_role(writer.policy, added), by)
            await writer.put_role(added)
            await writer.note(by.entry("role-made", role_target(added), permissions=list(added.permissions)))
        await self._take_effect()
        return added

    @retried
    async def change_role(self, id: str | None, change: Callable[[Role], Role], by: Author) -> Role:
        """Replace a role by what `change` returns for it, and return that.

        Unused invitations of people whose role gains a permission end. Raises BadRequest for invalid values, NotFound,
        Conflict when the name is taken or a role in use is renamed, and Forbidden when the author lacks a permission that the
        role gains, or when the role loses one and the author does not hold all that each subject with the role does.
        """
        by.principal.demand(administration("roles", "update"))
        async with self._store.changing() as writer:
            stored = _find(writer.policy.roles, id)
            changed = change(stored)
            _check_role(changed, writer.policy)
            if changed.name == stored.name:
                by.check_gift(_new_permissions(changed, stored))
            else:
                _check_unused(stored, writer.policy)
                by.check_gift((*_new_permissions(changed, _built_in(changed.name)), *_restored_permissions(stored)))
            await self._check_roles(writer, administrators.with_role(writer.policy, changed), by)
            await writer.put_role(changed)
            await writer.note(by.entry("role-changed", role_target(changed), permissions=list(changed.permissions)))
        await self._take_effect()
        return changed

    @retried
    async def remove_role(self, id: str, by: Author) -> None:
        """Remove a role. Raises BadRequest for a malformed `id`, Forbidden, NotFound, Conflict while subjects have the role."""
        by.principal.demand(administration("roles", "delete"))
        async with self._store.changing() as writer:
            role = _find(writer.policy.roles, id)
            _check_unused(role, writer.policy)
            by.check_gift(_restored_permissions(role))
            await self._check_roles(writer, administrators.without_role(writer.policy, id), by)
            await writer.remove_role(id)
            await writer.note(by.entry("role-removed", role_target(role)))
        await self._take_effect()

    async def _check_roles(self, writer: PolicyWriter, after: Policy, by: Author) -> None:
        """Check what a change of roles takes from subjects, and end the invitations of people to whom it gives something."""
        before, default = writer.policy, self._policies.default_roles
        self._check_administrators(before, after)
        shrunk, grown = _with_more(before, after), _with_more(after, before)
        weakened = {subject.roles for subject in before.subjects if not shrunk.isdisjoint((*subject.roles, *default))}
        for roles in weakened:
            by.check_power(granted_by(before, (*roles, *default)))
        await writer.end_invitations({s.id for s in before.subjects if not grown.isdisjoint((*s.roles, *default))})

    def _check_administrators(self, before: Policy, after: Policy) -> None:
        administrators.check(before, after, self._policies.default_roles)

    async def _take_effect(self) -> None:
        """Load the stored change into this process; if the database has just become unavailable, `Policies.follow` does it."""
        with suppress(StorageUnavailable):
            await self._policies.refresh()


def _now() -> str:
    return timestamps.iso(timestamps.now())


def _find(entries: tuple[Entry, ...], id: str | None) -> Entry:
    _check_id(id)
    for entry in entries:
        if entry.id == id:
            return entry
    raise NotFound(f"There is no {id!r}; list what there is to see the ids")


def granted_by(policy: Policy, names: Iterable[str]) -> list[Permission]:
    """The permissions that roles of these names grant."""
    roles = _roles(policy)
    return [permission for name in names if name in roles for permission in compile_role(roles[name])]


def held_by(policy: Policy, subject: Subject, default_roles: Iterable[str]) -> list[Permission]:
    """Return the permissions of a subject, also those of the roles that every subject has."""
    return granted_by(policy, (*subject.roles, *default_roles))


def _roles(policy: Policy) -> dict[str, Role]:
    return {**BUILT_IN, **{role.name: role for role in policy.roles}}


def _with_more(policy: Policy, other: Policy) -> set[str]:
    """Return the names of the roles with a permission that they have not in the other policy."""
    others = _roles(other)
    nothing = Role("", ())
    return {name for name, role in _roles(policy).items() if set(role.permissions) - set(others.get(name, nothing).permissions)}


def roles_gained(before: Subject, after: Subject) -> list[str]:
    """Return the names of the roles that a subject has only after a change."""
    return [role for role in after.roles if role not in before.roles]


def check_subject(subject: Subject, policy: Policy) -> None:
    """Raises BadRequest, Conflict for a subject that cannot be stored."""
    _check_id(subject.id)
    _check_name(subject.name, subject.notes)
    _check_groups("groups", subject.groups)
    _check_groups("ous", subject.ous)
    known = {role.name for role in (*BUILT_IN_ROLES, *policy.roles)}
    if subject.is_person and not subject.roles:
        raise BadRequest("A person has at least one role")
    unknown = [role for role in subject.roles if role not in known]
    if unknown:
        raise BadRequest(f"Unknown role {unknown[0]!r}; there are: {', '.join(sorted(known))}")
    if any(other.name == subject.name and other.id != subject.id for other in policy.subjects):
        raise Conflict(f"There is a subject named {subject.name!r} already")
    room.check(policy, administrators.with_subject(policy, subject))


def _check_role(role: Role, policy: Policy) -> None:
    _check_id(role.id)
    _check_name(role.name, role.notes)
    room.check_role(role)
    room.check(policy, administrators.with_role(policy, role))
    for text in role.permissions:
        try:
            check_meant(text)
        except ValueError as error:
            raise BadRequest(f"Malformed permission {text!r}: {error}") from error
    if any(other.name == role.name and other.id != role.id for other in policy.roles):
        raise Conflict(f"There is a role named {role.name!r} already")


def _built_in(name: str) -> Role:
    """Return what a role of this name grants while none is stored: a built-in role, or one without permissions."""
    return BUILT_IN.get(name, Role(name, ()))


def _restored_permissions(role: Role) -> list[Permission]:
    """Return what those who have a stored role get in addition once a built-in role takes its place."""
    return _new_permissions(_built_in(role.name), role)


def _new_permissions(role: Role, before: Role) -> list[Permission]:
    """What those who have the role get by it in addition. Also a new role may have holders: by AUTH_DEFAULT_ROLES."""
    return list(compile_role(replace(role, permissions=tuple(set(role.permissions) - set(before.permissions)))))


def _check_unused(role: Role, policy: Policy) -> None:
    """Raise Conflict when subjects have the role, unless a built-in role of the same name takes its place."""
    if any(built_in.name == role.name for built_in in BUILT_IN_ROLES):
        return
    users = [subject.name for subject in policy.subjects if role.name in subject.roles]
    if users:
        raise Conflict(f"The role {role.name!r} is in use by: {', '.join(users)}")


def _check_id(id: str | None) -> None:
    if not is_object_id(id):
        raise BadRequest(messages.BAD_ID)


def _check_name(name: str, notes: str) -> None:
    if not name.strip() or name != name.strip() or len(name) > LONGEST_NAME or not name.isprintable():
        raise BadRequest(f"Bad or missing name: 1 to {LONGEST_NAME} printable characters, no blanks around them")
    if len(notes) > LONGEST_NOTES or "\0" in notes:
        raise BadRequest(f"Bad notes: at most {LONGEST_NOTES} characters")


def _check_groups(field: str, names: tuple[str, ...]) -> None:
    good = all(0 < len(name) <= LONGEST_GROUP and name == name.strip() and name.isprintable() for name in names)
    if not good or len(names) > MOST_GROUPS or len(set(names)) < len(names):
        raise BadRequest(f"Bad {field}: at most {MOST_GROUPS} different names of 1 to {LONGEST_GROUP} printable characters")
