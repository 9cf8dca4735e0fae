"""How large the subjects and roles of an installation may become: each process keeps all of them in memory, compiled."""

from __future__ import annotations

from collections.abc import Iterator

from apiv3.model.errors import BadRequest, Conflict
from apiv3.model.identity import Role
from apiv3.storage.contracts import Policy

MOST_SUBJECTS, MOST_ROLES = 20_000, 2000
MOST_PERMISSIONS, MOST_TOGETHER = 1000, 5000
"""Most permissions of one role, and of all roles together."""
LARGEST = 2_000_000
"""Most characters of all texts of all subjects and roles together."""


def check_role(role: Role) -> None:
    """Raise BadRequest for a role with too many permissions."""
    if len(role.permissions) > MOST_PERMISSIONS:
        raise BadRequest(f"Too many permissions: a role has at most {MOST_PERMISSIONS}")


def check(before: Policy, after: Policy) -> None:
    """Raise Conflict when a change makes something larger than it may be. What is too large already may become smaller."""
    for name, most, old, new in zip(_NAMES, _MOST, _measured(before), _measured(after), strict=True):
        if new > max(most, old):
            raise Conflict(f"There are too many {name}, at most {most}; remove some that nobody needs")


_NAMES = ("subjects", "roles", "permissions in all roles together", "characters in all subjects and roles together")
_MOST = (MOST_SUBJECTS, MOST_ROLES, MOST_TOGETHER, LARGEST)


def _measured(policy: Policy) -> tuple[int, ...]:
    permissions = sum(len(role.permissions) for role in policy.roles)
    return len(policy.subjects), len(policy.roles), permissions, sum(map(len, _texts(policy)))


def _texts(policy: Policy) -> Iterator[str]:
    for subject in policy.subjects:
        yield from (subject.name, subject.notes, subject.created_at, *subject.roles, *subject.groups, *subject.ous)
    for role in policy.roles:
        yield from (role.name, role.notes, role.created_at, *role.permissions)
