"""The sessions of everybody."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from apiv3.model.identity import Subject
from apiv3.model.sessions import Session
from apiv3.security.accounts.accounts import Accounts
from apiv3.web import requests
from apiv3.web.administration import author
from apiv3.web.calls import Call
from apiv3.web.next_page import see_other
from apiv3.web.responses import Answer
from apiv3.web.site.admin.frame import admin_page, confirmation
from apiv3.web.site.forms import Forms
from apiv3.web.site.listings import Column, Listing
from apiv3.web.site.sections import SESSIONS


class Row(NamedTuple):
    session: Session
    person: Subject


_COLUMNS: Sequence[Column[Row]] = (
    Column("person", "Person", lambda row: row.person.name),
    Column("browser", "Browser", lambda row: row.session.visitor.browser),
    Column("address", "Address", lambda row: row.session.visitor.address),
    Column("way", "Signed in by", lambda row: row.session.way),
    Column("begun", "Signed in", lambda row: row.session.begun),
    Column("seen", "Last seen", lambda row: row.session.seen),
    Column("actions", ""),
)


class SessionPages:
    """The endpoints."""

    def __init__(self, accounts: Accounts, forms: Forms) -> None:
        self._accounts, self._forms = accounts, forms

    async def all(self, call: Call) -> Answer:
        """Show the sessions of everybody."""
        rows = (Row(session, person) for session, person in await self._accounts.sessions(author(call)))
        listing = Listing.of(call, _COLUMNS, "-seen").among(rows)
        own = None if call.browser_session is None else call.browser_session.id
        notice = "The session is ended." if call.query.one("done") else ""
        return admin_page(call, "sessions.html", listing=listing, own=own, notice=notice)

    async def ask_end(self, call: Call) -> Answer:
        """Ask whether a session shall be ended."""
        session, person = await self._accounts.session(requests.identifier(call.params[-1]), author(call))
        where = f"{session.visitor.browser}, {session.visitor.address}"
        effects = [
            f"{person.name} is signed out on this browser ({where}) within a second, also from live connections.",
            "Other sessions and tokens of this person stay. Whoever knows the password can sign in again.",
        ]
        question, action = f"End this session of {person.name}?", f"{SESSIONS.path}/{session.id}/end"
        return confirmation(call, self._forms, question, effects, action, "End the session", SESSIONS.path)

    async def end(self, call: Call) -> Answer:
        """End a session."""
        await self._accounts.end_session(requests.identifier(call.params[-1]), author(call))
        return see_other(f"{SESSIONS.path}?done=ended")
