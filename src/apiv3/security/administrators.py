"""There is always somebody left who can administer: the last active administrator cannot be lost."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from apiv3.model.errors import Conflict
from apiv3.model.identity import BUILT_IN_ROLES, Role, Subject
from apiv3.security.permissions import Permission, PermissionSet
from apiv3.security.policy import compile_role
from apiv3.storage.contracts import Policy

_EVERYTHING = Permission.parse("*")


def with_subject(policy: Policy, subject: Subject) -> Policy:
    """The policy once the subject is stored."""
    return replace(policy, subjects=(*_others(policy.subjects, subject.id), subject))


def without_subject(policy: Policy, id: str) -> Policy:
    """The policy once the subject is gone."""
    return replace(policy, subjects=tuple(_others(policy.subjects, id)))


def with_role(policy: Policy, role: Role) -> Policy:
    """The policy once the role is stored."""
    return replace(policy, roles=(*(other for other in policy.roles if other.id != role.id), role))


def without_role(policy: Policy, id: str) -> Policy:
    """The policy once the role is gone."""
    return replace(policy, roles=tuple(role for role in policy.roles if role.id != id))


def check(before: Policy, after: Policy, default_roles: Iterable[str]) -> None:
    """Raises Conflict when a change would leave no person who may do everything where there is one now."""
    default_roles = tuple(default_roles)
    if not _is_administered(after, default_roles) and _is_administered(before, default_roles):
        raise Conflict("This is the last active administrator; make another one first")


def _is_administered(policy: Policy, default_roles: tuple[str, ...]) -> bool:
    roles = {role.name: role for role in (*BUILT_IN_ROLES, *policy.roles)}
    people = [subject for subject in policy.subjects if subject.is_person and not subject.disabled]
    held = {name for person in people for name in (*person.roles, *default_roles)}
    return any(PermissionSet(compile_role(roles[name])).implies(_EVERYTHING) for name in held & roles.keys())


def _others(subjects: Iterable[Subject], id: str) -> Iterable[Subject]:
    return (subject for subject in subjects if subject.id != id)
