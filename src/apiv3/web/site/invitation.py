"""Using an invitation: choosing a password, which signs the person in."""

from __future__ import annotations

from apiv3.model.accounts import LONGEST_PASSWORD, SHORTEST_PASSWORD
from apiv3.model.errors import BadNonce, BadRequest, Forbidden
from apiv3.security.accounts.accounts import Accounts
from apiv3.web import requests
from apiv3.web.calls import Call
from apiv3.web.next_page import LOGIN
from apiv3.web.responses import Answer
from apiv3.web.site.forms import Forms
from apiv3.web.site.pages import page
from apiv3.web.site.passkey_list import PasskeyList

STALE = "This form was sent already, or it is older than an hour; please choose the password again."
"""What a form says that is shown again because its nonce was not good."""


class Invitation:
    """The endpoints of invitations."""

    def __init__(self, accounts: Accounts, forms: Forms, passkeys: PasskeyList) -> None:
        self._accounts, self._forms, self._passkeys = accounts, forms, passkeys

    async def form(self, call: Call) -> Answer:
        """Show the form in which an invited person chooses a password. It may be opened any number of times."""
        try:
            invited = await self._accounts.check_invitation(requests.identifier(call.params[-1]))
        except Forbidden as error:
            return spent(call, error)
        return self._form(call, invited.account.email.address)

    async def accept(self, call: Call) -> Answer:
        """Set the password that was chosen, which uses the invitation up, and sign the person in."""
        code = requests.identifier(call.params[-1])
        try:
            invited = await self._accounts.check_invitation(code)
        except Forbidden as error:
            return spent(call, error)
        email = invited.account.email.address
        try:
            await self._forms.check(call)
            password = (await call.form()).one("password") or ""
            started = await self._accounts.accept(code, password, call.visitor)
        except BadNonce:
            return self._form(call, email, STALE, 403)
        except Forbidden as error:
            return spent(call, error)
        except BadRequest as error:
            return self._form(call, email, f"{error.message}.", 422)
        call.keep(started)
        sentences = [
            f"The password of {email} is set, and you are signed in on this browser.",
            "Everything else that was open to this account has ended: other browsers and apps have to sign in again.",
        ]
        links = [("/", "To the front page"), ("/account", "To your account")]
        stay = await self._passkeys.rows(call, started.session)
        return page(call, "accepted.html", title="Your password is set", sentences=sentences, links=links, passkeys=stay)

    def _form(self, call: Call, email: str, error: str = "", status: int = 200) -> Answer:
        """Return the form, with what is wrong about what was sent."""
        return page(
            call,
            "invitation.html",
            status,
            email=email,
            error=error,
            nonce_value=self._forms.nonce(call),
            shortest=SHORTEST_PASSWORD,
            longest=LONGEST_PASSWORD,
        )


def spent(call: Call, error: Forbidden) -> Answer:
    """Return the page for an invitation that is not good."""
    links = [(LOGIN, "Sign in"), ("/", "To the front page")]
    return page(call, "message.html", 404, title="Nothing here", sentences=[f"{error.message}."], links=links)
