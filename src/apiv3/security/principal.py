"""Principals: callers and their permissions."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field

from apiv3.model.errors import MissingPermission
from apiv3.model.identity import Timestamp
from apiv3.security.permissions import Demand, Permission, PermissionSet


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller and its permissions.

    `name`, `id`: the subject's; None for an anonymous caller. `granted`: what the subject's roles allow. `ceilings`: sets of
    permissions to which the credential is limited; each of them must allow what is demanded as well. `timestamp`: whether its
    calls must carry the client's time ("required" or "optional"). `admitted`: the gate's cache of the routes that the principal
    may use; a change of the policy makes new principals and so empties it.
    """

    name: str | None
    granted: PermissionSet
    roles: tuple[str, ...] = ()
    ceilings: tuple[PermissionSet, ...] = ()
    timestamp: Timestamp = "required"
    id: str | None = None
    admitted: set[Hashable] = field(default_factory=set, init=False, repr=False, compare=False)

    def allows(self, demand: Demand) -> bool:
        """Whether the subject has the permission, and the credential is not limited to less."""
        if not self.granted.satisfies(demand):
            return False
        return not self.ceilings or all(ceiling.satisfies(demand) for ceiling in self.ceilings)

    def holds(self, permission: Permission) -> bool:
        """Whether the subject has all that a wildcard permission includes, and the credential is not limited to less."""
        return all(group.implies(permission) for group in (self.granted, *self.ceilings))

    def demand(self, demand: Demand) -> None:
        """Raise MissingPermission, which names the permission, unless the principal has it."""
        if not self.allows(demand):
            raise MissingPermission(demand.name)


_ALL = PermissionSet([Permission.parse("*")])

ANYBODY = Principal(None, _ALL)
"""Every caller while API3_SECURITY_ENABLE is false."""
ADMINISTRATOR = Principal("api-secret", _ALL)
"""A caller that presents API_SECRET, which only the administration endpoints accept."""
STRANGER = Principal(None, PermissionSet([]))
"""A caller that is not authenticated, on a public endpoint or before the gate."""
