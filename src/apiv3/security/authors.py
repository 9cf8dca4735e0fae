"""Who changes subjects, roles or accounts: for the audit trail, and because nobody gives away more than they hold."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from apiv3.model.accounts import Person
from apiv3.model.audit import Action, Actor, Entry, Outcome, Target
from apiv3.model.errors import Forbidden
from apiv3.model.identity import Role, Subject
from apiv3.model.timestamps import now
from apiv3.security.permissions import Permission
from apiv3.security.principal import ADMINISTRATOR, Principal


class Author(NamedTuple):
    """`actor`: by what name; `principal`: with what rights."""

    actor: Actor
    principal: Principal

    def entry(self, action: Action, target: Target | None, outcome: Outcome = "success", **details: object) -> Entry:
        """An entry of the audit trail: the author did this just now."""
        return Entry(now(), self.actor, action, target, outcome, details)

    def check_gift(self, permissions: Iterable[Permission]) -> None:
        """Raise Forbidden unless the author holds all of these permissions."""
        for permission in permissions:
            if not self.principal.holds(permission):
                raise Forbidden("You cannot give away a permission that you do not hold")

    def check_power(self, permissions: Iterable[Permission]) -> None:
        """Raise Forbidden unless the author holds all permissions of whoever is to be changed, ended or removed."""
        if not all(map(self.principal.holds, permissions)):
            raise Forbidden("You cannot do this to one who holds a permission that you do not hold")


OPERATOR = Author(Actor(None, "operator", "command line"), ADMINISTRATOR)
"""Whoever can run commands on the installation."""


def subject_target(subject: Subject) -> Target:
    """A subject as the target of an entry."""
    return Target("subject", subject.id, subject.name)


def person_target(person: Person) -> Target:
    """A person as the target of an entry."""
    return Target("person", person.subject.id, person.subject.name, person.account.email.address)


def role_target(role: Role) -> Target:
    """A stored role as the target of an entry."""
    return Target("role", role.id or "", role.name)
