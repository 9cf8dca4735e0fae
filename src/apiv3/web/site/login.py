"""Signing in and signing out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from apiv3.model.accounts import Person
from apiv3.model.errors import BadNonce, TooManyRequests, Unauthorized
from apiv3.security.accounts.accounts import Accounts
from apiv3.security.accounts.relying_party import RelyingParty
from apiv3.security.accounts.sign_in import SignIn
from apiv3.security.logins import Logins
from apiv3.security.principal import ANYBODY
from apiv3.web.administration import author
from apiv3.web.calls import Call
from apiv3.web.next_page import LOGIN, checked_next, see_other
from apiv3.web.responses import Answer, error_headers
from apiv3.web.site.forms import Forms
from apiv3.web.site.pages import page

STALE = "This form was sent already, or it is older than an hour; please send it again."
_LOST = "Nobody was signed in any more, so what you sent was not used. Sign in, and enter it again."
_OFF = "Security is switched off (API3_SECURITY_ENABLE), so everybody may do everything, and nobody signs in."


class Login:
    """The endpoints of `/login` and `/logout`."""

    def __init__(self, accounts: Accounts, sign_in: SignIn, logins: Logins, forms: Forms, party: RelyingParty) -> None:
        self._accounts, self._sign_in, self._logins = accounts, sign_in, logins
        self._forms, self._party = forms, party

    async def form(self, call: Call) -> Answer:
        """Show the form for signing in; who is signed in already goes on to `next`."""
        after = checked_next(call.query.one("next"))
        if call.browser_session is not None:
            return see_other(after)
        return self.page(call, after, complaint=_LOST if call.query.all("lost") else "")

    async def sign_in(self, call: Call) -> Answer:
        """Sign in with e-mail address and password, and go on to `next`."""
        form = await call.form()
        email, password = form.one("email") or "", form.one("password") or ""
        return await self.enter(
            call, "password", lambda: self._sign_in.by_password(email, password, call.address, "password"), email
        )

    async def enter(self, call: Call, way: str, verify: Callable[[], Awaitable[Person]], email: str = "") -> Answer:
        """Sign in the person whom `verify` returns, and go on to `next`; if it raises an error, show the form again.

        `way`: how the person signs in. `email`: what was typed as the address.
        """
        after = checked_next((await call.form()).one("next"))
        if call.browser_session is not None:  # the form was sent twice
            return see_other(after)
        try:
            await self._forms.check(call)
            person = await verify()
        except BadNonce:
            return self.page(call, after, email, STALE, 403)
        except (Unauthorized, TooManyRequests) as error:
            refused = self.page(call, after, email, f"{error.message}.", error.status)
            return refused._replace(headers=(*refused.headers, *error_headers(error)))
        call.keep(await self._logins.begin(person, way, call.visitor))
        return see_other(after)

    async def sign_out(self, call: Call) -> Answer:
        """End the session."""
        session = call.browser_session
        if session is not None:
            await self._forms.check(call)
            person = await self._accounts.find(session.subject)
            await self._logins.end([session.id], "sign-out", person, author(call))
            call.drop()
        return see_other(LOGIN)

    def page(self, call: Call, after: str, email: str = "", complaint: str = "", status: int = 200) -> Answer:
        """Return the page, with what is wrong about a form that was sent."""
        if call.principal is ANYBODY:
            return page(
                call, "message.html", title="Nobody signs in here", sentences=[_OFF], links=[("/", "To the front page")]
            )
        given: dict[str, Any] = {"next": after, "email": email, "complaint": complaint, "party": self._party}
        return page(call, "login.html", status, **given, nonces=self._forms.nonces(call, 2))
