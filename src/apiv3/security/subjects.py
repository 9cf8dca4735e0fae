"""Manage subjects and roles, for the administration endpoints and the command line."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import TypeVar

from apiv3.model import messages, timestamps
from apiv3.model.errors import BadRequest, Conflict, NotFound, StorageUnavailable
from apiv3.model.identity import BUILT_IN_ROLES, LONGEST_NAME, Role, Subject, is_object_id
from apiv3.retrying import retried
from apiv3.security import secrets
from apiv3.security.permissions import check_meant
from apiv3.security.policy import Policies
from apiv3.storage.contracts import Policy, PolicyStore

Entry = TypeVar("Entry", Subject, Role)

LONGEST_NOTES = 10_000


class Administration:
    """Adds, changes and removes subjects and roles. A change takes effect in this process before the method returns.

    Every method raises StorageUnavailable when the database is unavailable.
    """

    def __init__(self, store: PolicyStore, policies: Policies) -> None:
        self._store, self._policies = store, policies

    @retried
    async def add_subject(self, subject: Subject) -> Subject:
        """Add a subject and return it as stored. An empty `id` is replaced by a new one, an empty `created_at` by the time.

        Raises BadRequest for invalid values, Conflict when the id or the name is taken.
        """
        async with self._store.changing() as writer:
            if any(other.id == subject.id for other in writer.policy.subjects):
                raise Conflict(f"There is a subject with the _id {subject.id} already")
            added = replace(subject, id=subject.id or secrets.object_id(), created_at=subject.created_at or _now())
            _check_subject(added, writer.policy)
            await writer.put_subject(added)
        await self._take_effect()
        return added

    @retried
    async def change_subject(self, id: str, change: Callable[[Subject], Subject]) -> Subject:
        """Replace a subject by what `change` returns for it, and return that.

        Raises BadRequest for invalid values, Conflict when the name is taken, NotFound.
        """
        async with self._store.changing() as writer:
            changed = change(_find(writer.policy.subjects, id))
            _check_subject(changed, writer.policy)
            await writer.put_subject(changed)
        await self._take_effect()
        return changed

    @retried
    async def rotate(self, id: str) -> Subject:
        """Give a subject a new access token. The old token, and every JWT issued for it, stop working at once.

        Raises BadRequest for a malformed `id`, NotFound.
        """
        async with self._store.changing() as writer:
            rotated = replace(_find(writer.policy.subjects, id), nonce=secrets.mint())
            await writer.put_subject(rotated)
        await self._take_effect()
        return rotated

    @retried
    async def remove_subject(self, id: str) -> None:
        """Remove a subject. Raises BadRequest for a malformed `id`, NotFound."""
        async with self._store.changing() as writer:
            await writer.remove_subject(_find(writer.policy.subjects, id).id)
        await self._take_effect()

    @retried
    async def add_role(self, role: Role) -> Role:
        """Add a role and return it as stored. A role with the name of a built-in one replaces it.

        Raises BadRequest for invalid values, Conflict when the id or the name is taken.
        """
        async with self._store.changing() as writer:
            if role.id and any(other.id == role.id for other in writer.policy.roles):
                raise Conflict(f"There is a role with the _id {role.id} already")
            added = replace(role, id=role.id or secrets.object_id(), created_at=role.created_at or _now())
            _check_role(added, writer.policy)
            await writer.put_role(added)
        await self._take_effect()
        return added

    @retried
    async def change_role(self, id: str | None, change: Callable[[Role], Role]) -> Role:
        """Replace a role by what `change` returns for it, and return that.

        Raises BadRequest for invalid values, NotFound, and Conflict when the name is taken or a role in use is renamed.
        """
        async with self._store.changing() as writer:
            stored = _find(writer.policy.roles, id)
            changed = change(stored)
            _check_role(changed, writer.policy)
            if changed.name != stored.name:
                _check_unused(stored, writer.policy)
            await writer.put_role(changed)
        await self._take_effect()
        return changed

    @retried
    async def remove_role(self, id: str) -> None:
        """Remove a role. Raises BadRequest for a malformed `id`, NotFound, Conflict while subjects have the role."""
        async with self._store.changing() as writer:
            role = _find(writer.policy.roles, id)
            _check_unused(role, writer.policy)
            await writer.remove_role(id)
        await self._take_effect()

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


def _check_subject(subject: Subject, policy: Policy) -> None:
    _check_id(subject.id)
    _check_name(subject.name, subject.notes)
    known = {role.name for role in (*BUILT_IN_ROLES, *policy.roles)}
    unknown = [role for role in subject.roles if role not in known]
    if unknown:
        raise BadRequest(f"Unknown role {unknown[0]!r}; there are: {', '.join(sorted(known))}")
    if any(other.name == subject.name and other.id != subject.id for other in policy.subjects):
        raise Conflict(f"There is a subject named {subject.name!r} already")


def _check_role(role: Role, policy: Policy) -> None:
    _check_id(role.id)
    _check_name(role.name, role.notes)
    for text in role.permissions:
        try:
            check_meant(text)
        except ValueError as error:
            raise BadRequest(f"Malformed permission {text!r}: {error}") from error
    if any(other.name == role.name and other.id != role.id for other in policy.roles):
        raise Conflict(f"There is a role named {role.name!r} already")


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
