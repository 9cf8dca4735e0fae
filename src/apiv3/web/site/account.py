"""What people see and do about their own account."""

from __future__ import annotations

from typing import Any, NamedTuple

from apiv3.model.accounts import LONGEST_PASSWORD, SHORTEST_PASSWORD
from apiv3.model.errors import BadRequest, NotFound, SignInNeeded, Unauthorized
from apiv3.model.identity import Subject
from apiv3.model.sessions import CONFIRMED, Session
from apiv3.model.timestamps import now
from apiv3.security.accounts.accounts import Accounts
from apiv3.security.accounts.sign_in import SignIn
from apiv3.security.logins import Logins
from apiv3.security.policy import Policies
from apiv3.web.administration import author
from apiv3.web.calls import Call
from apiv3.web.next_page import LOGIN, see_other
from apiv3.web.responses import Answer
from apiv3.web.site.forms import Forms
from apiv3.web.site.pages import page
from apiv3.web.site.passkey_list import PasskeyList

ACCOUNT = "/account"
_DONE = {
    "password": "Your password is changed. Every other session and token of yours has ended.",
    "session": "The session has ended.",
    "others": "Every other session and token of yours has ended.",
    "confirmed": "It is you. You may add a passkey within the next ten minutes.",
    "passkey-added": "The passkey is added. You can sign in with it from now on.",
    "passkey-renamed": "The passkey has a new name.",
    "passkey-removed": "The passkey is removed here. You can delete it on your device, too.",
}
"""What the page says after a form, by the parameter `done`."""
_FORMS = ("password", "others", "logout", "passkey", "confirm", "confirm-passkey")
"""The forms that the page has once each."""
WRONG = "Wrong password."


class Row(NamedTuple):
    """One session in the list of my sessions."""

    session: Session
    is_this: bool
    nonce: str


class AccountPage:
    """The endpoints of `/account`."""

    def __init__(self, accounts: Accounts, sign_in: SignIn, logins: Logins, forms: Forms, passkeys: PasskeyList) -> None:
        self._accounts, self._sign_in, self._logins = accounts, sign_in, logins
        self._forms, self._passkeys = forms, passkeys

    async def show(self, call: Call) -> Answer:
        """Show who is signed in, with the forms for the password and the sessions."""
        notice = _DONE.get(call.query.one("done") or "", "")
        return await self.page(call, session_of(call), notice=notice)

    async def change_password(self, call: Call) -> Answer:
        """Change the password, which takes the old one and ends everything else that is open to the account."""
        session, form = session_of(call), await call.form()
        person = await self._accounts.find(session.subject)
        try:
            old = form.one("old") or ""
            email = person.account.email.address
            await self._sign_in.by_password(email, old, call.address, "password change", session.subject)
        except Unauthorized:
            return await self.page(call, session, 422, wrong_old=WRONG)
        try:
            started = await self._accounts.change_password(session, form.one("password") or "", author(call))
        except BadRequest as error:
            return await self.page(call, session, 422, wrong_new=f"{error.message}.")
        call.keep(started)
        return see_other(f"{ACCOUNT}?done=password")

    async def end_session(self, call: Call) -> Answer:
        """End one of my sessions."""
        session, wanted = session_of(call), (await call.form()).one("session") or ""
        person = await self._accounts.find(session.subject)
        if not await self._logins.end([wanted], "session-ended", person, author(call)):
            raise NotFound("There is no such session; it may have ended by itself")
        if wanted == session.id:
            call.drop()
            return see_other(LOGIN)
        return see_other(f"{ACCOUNT}?done=session")

    async def sign_out_elsewhere(self, call: Call) -> Answer:
        """End all my other sessions, and all my tokens."""
        call.keep(await self._accounts.sign_out_elsewhere(session_of(call), author(call)))
        return see_other(f"{ACCOUNT}?done=others")

    async def page(self, call: Call, session: Session, status: int = 200, **said: Any) -> Answer:
        """Return the page, with what is to be said about a form that was sent."""
        person = await self._accounts.find(session.subject)
        rows = [self._row(call, each, session) for each in await self._logins.of(person)]
        context: dict[str, Any] = {
            "email": person.account.email.address,
            "name": person.subject.name,
            "roles": call.principal.roles,
            "rows": rows,
            "passkeys": await self._passkeys.rows(call, session),
            "party": self._passkeys.party,
            "confirmed": now() - session.authenticated < CONFIRMED,
            "nonces": dict(zip(_FORMS, self._forms.nonces(call, len(_FORMS)), strict=True)),
            "shortest": SHORTEST_PASSWORD,
            "longest": LONGEST_PASSWORD,
            "wrong_old": "",
            "wrong_new": "",
            "wrong_confirmation": "",
        }
        return page(call, "account.html", status, **context | said)

    def _row(self, call: Call, each: Session, current: Session) -> Row:
        return Row(each, each.id == current.id, self._forms.nonce(call))


async def person_of(call: Call, policies: Policies) -> Subject:
    """Return the person who calls. Raises SignInNeeded, also for one who was disabled or removed a moment ago."""
    person = (await policies.latest()).person(session_of(call).subject)
    if person is None:
        raise SignInNeeded
    return person


def session_of(call: Call) -> Session:
    """Return the session of whoever calls. Raises SignInNeeded, also while security is switched off."""
    if call.browser_session is None:
        raise SignInNeeded
    return call.browser_session
