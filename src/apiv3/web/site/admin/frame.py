"""What all pages of administration have in common, and the way to the first of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from apiv3.model.errors import BadRequest, Conflict, Forbidden
from apiv3.model.identity import Subject
from apiv3.security.demands import administration
from apiv3.security.policy import Policies
from apiv3.web.calls import Call
from apiv3.web.next_page import see_other
from apiv3.web.parameters import Parameters
from apiv3.web.responses import Answer
from apiv3.web.site.forms import Forms
from apiv3.web.site.pages import page
from apiv3.web.site.sections import SECTIONS

REFUSALS = (BadRequest, Conflict, Forbidden)
"""Why something cannot be stored: the form is shown again with the reason."""
_SHOWN = 6
"""Most permissions that are shown of a role in a form."""


async def start(call: Call) -> Answer:
    """Open the first page of administration that the caller may see."""
    for section in SECTIONS:
        if call.principal.allows(section.demand):
            return see_other(section.path)
    call.principal.demand(SECTIONS[0].demand)
    raise AssertionError


def admin_page(call: Call, template: str, status: int = 200, **context: Any) -> Answer:
    """Return a page of administration, with the way to the others. `template`: in `templates/admin`.

    The context of its template besides `context`: `sections`, those that the caller may see; `may(kind, action)`, whether the
    caller may do something.
    """

    def may(kind: str, action: str) -> bool:
        return call.principal.allows(administration(kind, action))

    sections = [section for section in SECTIONS if call.principal.allows(section.demand)]
    return page(call, f"admin/{template}", status, sections=sections, may=may, **context)


def confirmation(call: Call, forms: Forms, question: str, effects: Sequence[str], action: str, label: str, back: str) -> Answer:
    """Return the page that asks before a dangerous action: what will happen, a button, and the way back."""
    fields = {"nonce": forms.nonce(call)}
    return page(call, "confirm.html", question=question, effects=effects, action=action, label=label, back=back, fields=fields)


def role_options(policies: Policies) -> list[tuple[str, str, str]]:
    """Return all roles as options of a form: value, label, and the first of their permissions as a hint."""
    return [(role.name, role.name, _shortened(role.permissions)) for role in policies.current.roles.values()]


def with_form_groups(subject: Subject, form: Parameters) -> Subject:
    """Return a subject with the groups and organisational units of a form; they stay where it has no such fields."""
    given = {"groups": subject.groups, "ous": subject.ous}
    for field in given:
        text = form.one(field)
        if text is not None:
            given[field] = tuple(filter(None, map(str.strip, text.splitlines())))
    return replace(subject, groups=given["groups"], ous=given["ous"])


def _shortened(permissions: Sequence[str]) -> str:
    more = len(permissions) - _SHOWN
    return ", ".join(permissions[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def sentence(text: str | None) -> str:
    """Return a message as a sentence: with a capital at its beginning and a full stop at its end."""
    return f"{text[0].upper()}{text[1:]}." if text else ""
