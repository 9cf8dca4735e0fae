"""Who is calling, as far as permissions are concerned."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field

from apiv3.model.errors import MissingPermission
from apiv3.model.identity import Timestamp
from apiv3.security.permissions import Demand, Permission, PermissionSet


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller whose credential was good. `name`: the subject's, None where security is switched off.

    `granted`: what the subject's roles allow. `ceilings`: what the credential narrows that to, each one on its own.
    `timestamp`: whether its calls must carry the client's time.
    `admitted`: the gate's memory of where the principal may come in; it ends with the principal, when the policy changes.
    """

    name: str | None
    granted: PermissionSet
    roles: tuple[str, ...] = ()
    ceilings: tuple[PermissionSet, ...] = ()
    timestamp: Timestamp = "required"
    admitted: set[Hashable] = field(default_factory=set, init=False, repr=False, compare=False)

    def allows(self, demand: Demand) -> bool:
        """Whether the subject may, and the credential does not forbid it."""
        if not self.granted.satisfies(demand):
            return False
        return not self.ceilings or all(ceiling.satisfies(demand) for ceiling in self.ceilings)

    def holds(self, permission: Permission) -> bool:
        """Whether the subject has a whole permission, and the credential does not narrow it."""
        return all(group.implies(permission) for group in (self.granted, *self.ceilings))

    def demand(self, demand: Demand) -> None:
        """Raises MissingPermission, which names the permission demanded."""
        if not self.allows(demand):
            raise MissingPermission(demand.name)


_ALL = PermissionSet([Permission.parse("*")])

ANYBODY = Principal(None, _ALL)
"""Whoever calls while API3_SECURITY_ENABLE is false."""
ADMINISTRATOR = Principal("api-secret", _ALL)
"""Who knows API_SECRET, on the administration endpoints only."""
STRANGER = Principal(None, PermissionSet([]))
"""Whoever calls a public endpoint: nobody asked who it is."""
