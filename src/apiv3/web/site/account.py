"""What people see and do about their own account."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, NamedTuple

from apiv3.model.accounts import LONGEST_PASSWORD, SHORTEST_PASSWORD
from apiv3.model.errors import BadRequest, NotFound, SignInNeeded, Unauthorized
from apiv3.model.sessions import Limits, Session
from apiv3.model.timestamps import iso
from apiv3.security.accounts.accounts import Accounts
from apiv3.security.accounts.sign_in import SignIn
from apiv3.security.logins import Logins
from apiv3.web.administration import author
from apiv3.web.calls import Call
from apiv3.web.next_page import LOGIN, see_other
from apiv3.web.responses import Answer
from apiv3.web.site.forms import Forms
from apiv3.web.site.pages import page

ACCOUNT = "/account"
_DONE = {
    "password": "Your password is changed. Every other session and token of yours has ended.",
    "session": "The session has ended.",
    "others": "Every other session and token of yours has ended.",
}
"""What the page says after a form, by the parameter `done`."""
_WRONG = "Wrong password"


class Moment(NamedTuple):
    """A time for people and for programs."""

    text: str
    iso: str


class Row(NamedTuple):
    """One session in the list of my sessions."""

    session: Session
    since: Moment
    seen: Moment
    is_this: bool
    nonce: str


class AccountPage:
    """The endpoints of `/account`."""

    def __init__(self, accounts: Accounts, sign_in: SignIn, logins: Logins, limits: Limits, forms: Forms) -> None:
        self._accounts, self._sign_in, self._logins, self._limits = accounts, sign_in, logins, limits
        self._forms = forms

    async def show(self, call: Call) -> Answer:
        """Show who is signed in, with the forms for the password and the sessions."""
        notice = _DONE.get(call.query.one("done") or "", "")
        return await self._show(call, _session(call), notice=notice)

    async def change_password(self, call: Call) -> Answer:
        """Change the password, which takes the old one and ends everything else that is open to the account."""
        session, form = _session(call), await call.form()
        person = await self._accounts.find(session.subject)
        try:
            old = form.one("old") or ""
            found = await self._sign_in.by_password(person.account.email.address, old, call.address, "password change")
        except Unauthorized:
            return await self._show(call, session, 422, wrong_old=f"{_WRONG}.")
        if found.subject.id != session.subject:
            raise SignInNeeded
        try:
            started = await self._accounts.change_password(session, form.one("password") or "", author(call))
        except BadRequest as error:
            return await self._show(call, session, 422, wrong_new=f"{error.message}.")
        call.keep(started, self._limits)
        return see_other(f"{ACCOUNT}?done=password")

    async def end_session(self, call: Call) -> Answer:
        """End one of my sessions."""
        session, wanted = _session(call), (await call.form()).one("session") or ""
        person = await self._accounts.find(session.subject)
        if not await self._logins.end([wanted], "session-ended", person, author(call)):
            raise NotFound("There is no such session; it may have ended by itself")
        if wanted == session.id:
            call.drop()
            return see_other(LOGIN)
        return see_other(f"{ACCOUNT}?done=session")

    async def sign_out_elsewhere(self, call: Call) -> Answer:
        """End all my other sessions, and all my tokens."""
        call.keep(await self._accounts.sign_out_elsewhere(_session(call), author(call)), self._limits)
        return see_other(f"{ACCOUNT}?done=others")

    async def _show(self, call: Call, session: Session, status: int = 200, **said: Any) -> Answer:
        person = await self._accounts.find(session.subject)
        rows = [self._row(call, each, session) for each in await self._logins.of(person)]
        context: dict[str, Any] = {
            "email": person.account.email.address,
            "name": person.subject.name,
            "roles": call.principal.roles,
            "rows": rows,
            "nonces": {name: self._forms.nonce(call) for name in ("password", "others", "logout")},
            "shortest": SHORTEST_PASSWORD,
            "longest": LONGEST_PASSWORD,
            "wrong_old": "",
            "wrong_new": "",
        }
        return page(call, "account.html", status, **context | said)

    def _row(self, call: Call, each: Session, current: Session) -> Row:
        return Row(each, _moment(each.begun), _moment(each.seen), each.id == current.id, self._forms.nonce(call))


def _session(call: Call) -> Session:
    """The session of whoever calls. There is none while security is switched off."""
    if call.browser_session is None:
        raise SignInNeeded
    return call.browser_session


def _moment(ms: int) -> Moment:
    return Moment(f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d %H:%M} UTC", iso(ms))
