"""Subjects: apps and scripts, with their access tokens. People are on pages of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from apiv3.model.errors import ApiError, Forbidden, NotFound
from apiv3.model.identity import Subject, Timestamp
from apiv3.security import advice
from apiv3.security.policy import Policies
from apiv3.security.subjects import Administration
from apiv3.web import requests
from apiv3.web.administration import author
from apiv3.web.calls import Call
from apiv3.web.next_page import see_other
from apiv3.web.parameters import Parameters
from apiv3.web.responses import Answer
from apiv3.web.site.admin.frame import REFUSALS, admin_page, confirmation, role_options, sentence, with_form_groups
from apiv3.web.site.forms import Forms
from apiv3.web.site.listings import Column, Listing
from apiv3.web.site.sections import SUBJECTS

_COLUMNS: Sequence[Column[Subject]] = (
    Column("name", "Name", lambda subject: subject.name),
    Column("kind", "Kind", lambda subject: "application" if subject.is_client else "device" if subject.is_device else ""),
    Column("roles", "Roles", lambda subject: ", ".join(subject.roles)),
    Column("notes", "Notes", lambda subject: subject.notes),
    Column("created", "Added", lambda subject: subject.created_at),
)
_DONE = {"added": "The subject is added.", "changed": "The subject is changed.", "removed": "The subject is removed."}
_TIMESTAMPS = (("required", "required"), ("optional", "may be left out"))


class SubjectPages:
    """The endpoints. `shows_tokens`: whether pages show access tokens; False while security is switched off."""

    def __init__(self, administration: Administration, policies: Policies, forms: Forms, *, shows_tokens: bool) -> None:
        self._administration, self._policies, self._forms = administration, policies, forms
        self._shows_tokens = shows_tokens

    async def all(self, call: Call) -> Answer:
        """Show all subjects that are no people."""
        await self._policies.catch_up()
        rows = (subject for subject in self._policies.current.subjects if not subject.is_person)
        listing = Listing.of(call, _COLUMNS, "name").among(rows)
        return admin_page(call, "subjects.html", listing=listing, notice=_DONE.get(call.query.one("done") or "", ""))

    async def new(self, call: Call) -> Answer:
        """Show the form for a new subject."""
        return self._add_form(call, Subject("", "", ()))

    async def add(self, call: Call) -> Answer:
        """Add a subject."""
        sent = _sent(await call.form(), Subject("", "", ()))
        try:
            added = await self._administration.add_subject(sent, author(call))
        except REFUSALS as error:
            return self._add_form(call, sent, error)
        return see_other(f"{SUBJECTS.path}/{added.id}?done=added")

    async def show(self, call: Call) -> Answer:
        """Show a subject, with the form to change it."""
        subject = await self._find(call)
        if subject.is_person:
            return see_other(f"/admin/users/{subject.id}")
        return self._show(call, subject, notice=_DONE.get(call.query.one("done") or "", ""))

    async def change(self, call: Call) -> Answer:
        """Change the name, roles, groups, units, notes and timestamp rule of a subject."""
        stored, form = await self._find_app(call), await call.form()
        try:
            await self._administration.change_subject(stored.id, lambda found: _sent(form, found), author(call))
        except REFUSALS as error:
            return self._show(call, _sent(form, stored), error.status, complaint=sentence(error.message))
        return see_other(f"{SUBJECTS.path}/{stored.id}?done=changed")

    async def token(self, call: Call) -> Answer:
        """Show the access token of a subject."""
        subject = await self._find_app(call)
        if reason := self._withheld(call, subject):
            raise Forbidden(reason)
        return self._show(call, subject, with_token=True)

    async def ask_rotation(self, call: Call) -> Answer:
        """Ask whether a subject shall get a new access token."""
        subject = await self._find_app(call)
        effects = [
            "The old token and every JWT that was made from it stop working within a second.",
            "The app or script has to be given the new token. This cannot be undone.",
        ]
        return self._ask(call, subject, f"Give {subject.name} a new access token?", effects, "rotate", "Make a new token")

    async def rotate(self, call: Call) -> Answer:
        """Give a subject a new access token, and show it."""
        subject = await self._find_app(call)
        rotated = await self._administration.rotate(subject.id, author(call))
        notice = "The old token does not work any more. This is the new one."
        return self._show(call, rotated, with_token=True, notice=notice)

    async def ask_removal(self, call: Call) -> Answer:
        """Ask whether a subject shall be removed."""
        subject = await self._find_app(call)
        effects = [
            "Its access token and every JWT that was made from it stop working within a second. Open connections end.",
            "Documents that it has written stay. The subject itself cannot be restored.",
        ]
        if subject.is_client:
            effects.insert(1, "It is an application: all tokens that people gave it stop working, too.")
        return self._ask(call, subject, f"Remove {subject.name}?", effects, "remove", "Remove the subject")

    async def remove(self, call: Call) -> Answer:
        """Remove a subject."""
        subject = await self._find_app(call)
        await self._administration.remove_subject(subject.id, author(call))
        return see_other(f"{SUBJECTS.path}?done=removed")

    async def _find(self, call: Call) -> Subject:
        wanted = requests.identifier(call.params[-1])
        await self._policies.catch_up()
        for subject in self._policies.current.subjects:
            if subject.id == wanted:
                return subject
        raise NotFound("There is no such subject")

    async def _find_app(self, call: Call) -> Subject:
        """Return the subject unless it is a person, whose roles are not changed on pages. Raises NotFound."""
        subject = await self._find(call)
        if subject.is_person:
            raise NotFound("There is no such subject; people are among the users")
        return subject

    def _show(self, call: Call, subject: Subject, status: int = 200, *, with_token: bool = False, **said: str) -> Answer:
        withheld = self._withheld(call, subject)
        return admin_page(
            call,
            "subject.html",
            status,
            subject=subject,
            token=self._policies.current.token(subject) if with_token and not withheld else None,
            withheld=withheld,
            warnings=list(map(sentence, advice.on_subject(subject, self._policies.default_roles))),
            roles=role_options(self._policies),
            timestamps=_TIMESTAMPS,
            nonces={name: self._forms.nonce(call) for name in ("change", "token")},
            **said,
        )

    def _withheld(self, call: Call, subject: Subject) -> str:
        """Return why the caller may not see the subject's access token, empty when they may."""
        if not self._shows_tokens:
            return "No page shows access tokens while security is switched off"
        if not self._policies.current.covers(call.principal, subject):
            return "This subject may do more than you, so its access token is not shown to you"
        return ""

    def _add_form(self, call: Call, subject: Subject, error: ApiError | None = None) -> Answer:
        return admin_page(
            call,
            "subject-new.html",
            200 if error is None else error.status,
            subject=subject,
            roles=role_options(self._policies),
            timestamps=_TIMESTAMPS,
            complaint="" if error is None else sentence(error.message),
            nonce_value=self._forms.nonce(call),
        )

    def _ask(self, call: Call, subject: Subject, question: str, effects: list[str], action: str, label: str) -> Answer:
        place = f"{SUBJECTS.path}/{subject.id}"
        return confirmation(call, self._forms, question, effects, f"{place}/{action}", label, place)


def _sent(form: Parameters, stored: Subject) -> Subject:
    """Return a stored subject with the values of a form."""
    timestamp: Timestamp = "optional" if form.one("timestamp") == "optional" else "required"
    notes = (form.one("notes") or "").replace("\r\n", "\n").strip()
    name = (form.one("name") or "").strip()
    sent = replace(stored, name=name, roles=tuple(form.all("roles")), notes=notes, timestamp=timestamp)
    return with_form_groups(sent, form)
