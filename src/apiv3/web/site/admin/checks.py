"""Who may do what: the subjects that hold a permission, and the permissions that a subject holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from apiv3.model.identity import Subject
from apiv3.security.permissions import Demand, Permission
from apiv3.security.policy import Policies, Snapshot
from apiv3.web.calls import Call
from apiv3.web.responses import Answer
from apiv3.web.site.admin.frame import admin_page, sentence
from apiv3.web.site.listings import Column, Listing


class Held(NamedTuple):
    """A subject and a permission. `roles`: those that grant it; empty when it is not held, or by several together."""

    subject: Subject
    permission: str
    held: bool
    roles: Sequence[str]


def _columns(title: str) -> Sequence[Column[Held]]:
    return (
        Column(title.lower(), title, lambda row: row.permission if title == "Permission" else row.subject.name),
        Column("held", "May do it", lambda row: "yes" if row.held else "no"),
        Column("roles", "By the role", lambda row: ", ".join(row.roles)),
    )


class CheckPage:
    """The endpoint. `demands`: all demands of the server."""

    def __init__(self, policies: Policies, demands: Sequence[Demand]) -> None:
        self._policies, self._demands = policies, [demand.name for demand in demands]

    async def show(self, call: Call) -> Answer:
        """Show who holds a permission, or what a subject may do."""
        await self._policies.catch_up()
        snapshot = self._policies.current
        permission, name = (call.query.one("permission") or "").strip(), (call.query.one("subject") or "").strip()
        listing, complaint = None, ""
        try:
            if permission:
                wanted = Permission.parse(permission)
                rows = _holders(snapshot, permission, wanted)
                listing = Listing.of(call, _columns("Subject"), "-held", ("permission",)).among(rows)
            elif name:
                subject = _find(snapshot, name)
                rows = [_held(snapshot, subject, each, Permission.parse(each)) for each in self._demands]
                listing = Listing.of(call, _columns("Permission"), "permission", ("subject",)).among(rows)
        except ValueError as error:
            complaint = sentence(f"this cannot be checked: {error}")
        return admin_page(
            call,
            "check.html",
            listing=listing,
            permission=permission,
            subject=name,
            demands=self._demands,
            subjects=[each.name for each in snapshot.subjects[:1000]],
            reason=complaint,
        )


def _find(snapshot: Snapshot, name: str) -> Subject:
    for subject in snapshot.subjects:
        if name in (subject.name, subject.id):
            return subject
    raise ValueError(f"there is no subject {name!r}")


def _holders(snapshot: Snapshot, text: str, wanted: Permission) -> list[Held]:
    """Return the answer for every subject, computed once for those with the same roles."""
    known: dict[tuple[tuple[str, ...], bool], Held] = {}
    for subject in snapshot.subjects:
        if (key := (subject.roles, subject.disabled)) not in known:
            known[key] = _held(snapshot, subject, text, wanted)
    return [known[subject.roles, subject.disabled]._replace(subject=subject) for subject in snapshot.subjects]


def _held(snapshot: Snapshot, subject: Subject, text: str, wanted: Permission) -> Held:
    if subject.disabled:
        return Held(subject, text, False, ())
    roles = snapshot.granting(subject, wanted)
    return Held(subject, text, bool(roles) or snapshot.principal(subject).holds(wanted), roles)
