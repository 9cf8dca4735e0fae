"""Connect a device without a keyboard: a person types its code (RFC 8628, section 3.3)."""

from __future__ import annotations

from apiv3.model.errors import BadNonce
from apiv3.model.grants import DeviceRequest, Verdict
from apiv3.security import secrets
from apiv3.security.oauth2.authorization import Authorization
from apiv3.security.oauth2.grants.device_code import DeviceCodeGrant, normalised, spelt
from apiv3.security.policy import Policies
from apiv3.security.throttle import Throttle
from apiv3.web.administration import author
from apiv3.web.calls import Call
from apiv3.web.responses import Answer
from apiv3.web.site.account import person_of, session_of
from apiv3.web.site.applications import APPLICATIONS
from apiv3.web.site.consent import Consent
from apiv3.web.site.forms import Forms
from apiv3.web.site.pages import page

_WRONG = "No device waits with this code. It may be mistyped, or older than a quarter of an hour: look at your device again."


class DevicePages:
    """The endpoints of `/device`. Opening them changes nothing; a decision is a form."""

    def __init__(
        self,
        devices: DeviceCodeGrant,
        authorization: Authorization,
        policies: Policies,
        throttle: Throttle,
        consent: Consent,
        forms: Forms,
    ) -> None:
        self._devices, self._authorization, self._policies = devices, authorization, policies
        self._throttle, self._consent, self._forms = throttle, consent, forms

    async def form(self, call: Call) -> Answer:
        """Show the form for the code of a device."""
        session_of(call)
        return self._form(call, (call.query.one("user_code") or "")[:40])

    async def ask(self, call: Call) -> Answer:
        """Ask what a device may do."""
        code = (await call.form()).one("user_code") or ""
        request = await self._waiting(call, code)
        if request is None:
            return self._form(call, code[:40], 422, _WRONG)
        application = await self._authorization.find(request.client)
        if application is None:
            return self._form(call, "", 422, _WRONG)
        described = await self._consent.described(application, request.scopes, call.principal)
        nonce, typed = self._forms.nonce(call), normalised(code) or ""
        seal = self._devices.seal(typed, nonce)
        return page(call, "device-consent.html", **described, code=spelt(typed), nonce_value=nonce, seal=seal)

    async def decide(self, call: Call) -> Answer:
        """Send the decision about what a device has asked for."""
        form = await call.form()
        code, decision = form.one("user_code") or "", form.one("decision")
        if decision not in ("allow", "deny"):
            return self._form(call, code[:40], 400, "Choose Allow or Deny.")
        request, subject = await self._waiting(call, code), await person_of(call, self._policies)
        if not secrets.same(form.one("seal") or "", self._devices.seal(code, form.one("nonce") or "")):
            raise BadNonce  # the form has shown another device
        application = None if request is None else await self._authorization.find(request.client)
        if application is None:
            return self._form(call, code[:40], 422, _WRONG)
        verdict: Verdict = "allowed" if decision == "allow" else "denied"
        if not await self._devices.judge(code, verdict, subject, application, author(call)):
            return self._form(call, code[:40], 422, _WRONG)
        title = "Your device is connected" if decision == "allow" else "Nothing was allowed"
        sentence = "It goes on by itself within some seconds." if decision == "allow" else "The device is told so."
        links = [(APPLICATIONS, "My applications"), ("/", "To the front page")]
        return page(call, "message.html", title=title, sentences=[sentence], links=links)

    async def _waiting(self, call: Call, code: str) -> DeviceRequest | None:
        """Return the device that waits with a code, and slow down who guesses codes. Raises TooManyRequests."""
        guesser = f"device code, {session_of(call).subject}"
        self._throttle.check(call.address)
        request = await self._devices.waiting(code)
        if request is None:
            await self._throttle.fail(call.address, guesser)
        return request

    def _form(self, call: Call, code: str, status: int = 200, wrong: str = "") -> Answer:
        return page(call, "device.html", status, code=code, wrong=wrong, nonce_value=self._forms.nonce(call))
