"""Signing in with a passkey, and the forms for passkeys under `/account`.

A script of the page (`static/passkeys.js`) gets the options for the browser here, and sends a form with the answer of the
authenticator, in JSON. Renaming and removing need no script.
"""

from __future__ import annotations

import orjson

from apiv3.model.errors import ApiError, BadRequest, Conflict, Forbidden, Unauthorized
from apiv3.model.sessions import CONFIRMED, Session
from apiv3.model.timestamps import now
from apiv3.security.accounts.accounts import Accounts
from apiv3.security.accounts.passkeys import PasskeyRefused, Passkeys
from apiv3.security.accounts.relying_party import Options
from apiv3.security.accounts.sign_in import SignIn
from apiv3.security.logins import Logins
from apiv3.web.administration import author
from apiv3.web.calls import Call
from apiv3.web.headers import NO_STORE
from apiv3.web.next_page import see_other
from apiv3.web.responses import Answer, json_answer
from apiv3.web.site.account import ACCOUNT, WRONG, AccountPage, session_of
from apiv3.web.site.login import Login

_UNCONFIRMED = "Load this page again and confirm that it is you, before you add a passkey"


class PasskeyPages:
    """The endpoints for passkeys."""

    def __init__(
        self, passkeys: Passkeys, accounts: Accounts, sign_in: SignIn, logins: Logins, login: Login, account: AccountPage
    ) -> None:
        self._passkeys, self._accounts, self._sign_in, self._logins = passkeys, accounts, sign_in, logins
        self._login, self._account = login, account

    async def sign_in_options(self, call: Call) -> Answer:
        """Get the options for signing in: apart from the challenge, they are the same for everybody."""
        return _json(self._passkeys.request_options("sign-in", call.form_cookie or ""))

    async def sign_in(self, call: Call) -> Answer:
        """Sign in with the answer of an authenticator, and go on to `next`."""
        answer, owner = _said((await call.form()).one("answer")), call.form_cookie or ""
        return await self._login.enter(
            call, "passkey", lambda: self._sign_in.by_passkey(answer, "sign-in", owner, call.address)
        )

    async def confirm_options(self, call: Call) -> Answer:
        """Get the options for proving again, with a passkey, who is signed in."""
        return _json(self._passkeys.request_options("confirm", session_of(call).id))

    async def confirm(self, call: Call) -> Answer:
        """Confirm with the password or a passkey who is signed in. The session goes on with another value."""
        session, form = session_of(call), await call.form()
        answer, password = form.one("answer"), form.one("confirmation") or ""
        person = await self._accounts.find(session.subject)
        try:
            if answer is None:
                email = person.account.email.address
                found = await self._sign_in.by_password(email, password, call.address, "confirmation", session.subject)
            else:
                found = await self._sign_in.by_passkey(_said(answer), "confirm", session.id, call.address, session.subject)
        except PasskeyRefused as error:
            return await self._complain(call, session, error)
        except Unauthorized:
            return await self._account.page(call, session, 422, wrong_confirmation=WRONG)
        call.keep(await self._logins.confirm(session, found))
        return see_other(f"{ACCOUNT}?done=confirmed#passkeys")

    async def creation_options(self, call: Call) -> Answer:
        """Get the options for making a passkey. Whoever asks must have given the password or a passkey a short time ago."""
        session = session_of(call)
        if now() - session.authenticated >= CONFIRMED:
            raise Forbidden(_UNCONFIRMED)
        person = await self._accounts.find(session.subject)
        return _json(await self._passkeys.creation_options(person, session.id))

    async def add(self, call: Call) -> Answer:
        """Add the passkey that an authenticator has made."""
        session, form = session_of(call), await call.form()
        name, answer = form.one("name") or "", _said(form.one("answer"))
        try:
            await self._passkeys.add(session.subject, answer, name, session.id, author(call))
        except (BadRequest, Conflict) as error:
            return await self._complain(call, session, error)
        return see_other(f"{ACCOUNT}?done=passkey-added#passkeys")

    async def rename(self, call: Call) -> Answer:
        """Give a passkey another name."""
        session, form = session_of(call), await call.form()
        try:
            await self._passkeys.rename(session.subject, form.one("passkey") or "", form.one("name") or "")
        except BadRequest as error:
            return await self._complain(call, session, error)
        return see_other(f"{ACCOUNT}?done=passkey-renamed#passkeys")

    async def remove(self, call: Call) -> Answer:
        """Remove a passkey, unless it is the only way in to the account."""
        session, form = session_of(call), await call.form()
        try:
            await self._passkeys.remove(session.subject, form.one("passkey") or "", author(call))
        except Conflict as error:
            return await self._complain(call, session, error)
        return see_other(f"{ACCOUNT}?done=passkey-removed#passkeys")

    async def _complain(self, call: Call, session: Session, error: ApiError) -> Answer:
        status = 422 if error.status == 400 else error.status
        return await self._account.page(call, session, status, complaint=f"{error.message}.")


def _json(options: Options) -> Answer:
    return json_answer(options, headers=(NO_STORE,))


def _said(answer: str | None) -> object:
    """Return the answer of an authenticator; None if it is no JSON, which nobody accepts."""
    try:
        return orjson.loads(answer or "")
    except ValueError:
        return None
