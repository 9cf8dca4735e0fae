"""Using the invitation of the first administrator."""

from __future__ import annotations

from apiv3.model.accounts import LONGEST_PASSWORD, SHORTEST_PASSWORD
from apiv3.model.errors import BadNonce, BadRequest, Conflict, Forbidden
from apiv3.security.accounts.first_invitation import FirstInvitation
from apiv3.web import requests
from apiv3.web.calls import Call
from apiv3.web.responses import Answer
from apiv3.web.site.forms import Forms
from apiv3.web.site.invitation import STALE, spent
from apiv3.web.site.pages import page


class FirstInvitationPage:
    """The endpoints."""

    def __init__(self, invitation: FirstInvitation, forms: Forms) -> None:
        self._invitation, self._forms = invitation, forms

    async def form(self, call: Call) -> Answer:
        """Show the form in which the first administrator enters name, e-mail address and password."""
        try:
            await self._invitation.check(requests.identifier(call.params[-1]))
        except Forbidden as error:
            return spent(call, error)
        return self._form(call)

    async def accept(self, call: Call) -> Answer:
        """Create the account of the first administrator, and sign the person in."""
        code = requests.identifier(call.params[-1])
        form = await call.form()
        email, name, password = form.one("email") or "", (form.one("name") or "").strip(), form.one("password") or ""
        try:
            await self._forms.check(call)
            call.keep(await self._invitation.accept(code, email, name, password, call.visitor))
        except BadNonce:
            return self._form(call, email, name, STALE, 403)
        except Forbidden as error:
            return spent(call, error)
        except (BadRequest, Conflict) as error:
            return self._form(call, email, name, f"{error.message}.", 422)
        sentences = [f"The account {email} may do everything, and you are signed in on this browser."]
        links = [("/admin", "To administration"), ("/", "To the front page")]
        return page(call, "message.html", title="Your account is made", sentences=sentences, links=links)

    def _form(self, call: Call, email: str = "", name: str = "", complaint: str = "", status: int = 200) -> Answer:
        return page(
            call,
            "first-invitation.html",
            status,
            email=email,
            name=name,
            complaint=complaint,
            nonce_value=self._forms.nonce(call),
            shortest=SHORTEST_PASSWORD,
            longest=LONGEST_PASSWORD,
        )
