"""The authorization endpoint of OAuth2: a person decides what an application may do (RFC 6749, section 4.1)."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlencode

from apiv3.model.clients import Application
from apiv3.model.errors import BadRequest, OAuth2Error
from apiv3.model.grants import Request, Scopes
from apiv3.model.identity import Subject
from apiv3.security.authors import Author
from apiv3.security.oauth2.authorization import Authorization, Redirected
from apiv3.security.policy import Policies
from apiv3.security.principal import Principal
from apiv3.web.administration import author
from apiv3.web.calls import Call
from apiv3.web.headers import NO_STORE
from apiv3.web.next_page import way_in
from apiv3.web.responses import Answer
from apiv3.web.site.account import person_of, session_of
from apiv3.web.site.forms import Forms
from apiv3.web.site.pages import page
from apiv3.web.site.scope_words import ScopeWords

_STALE = "This form was sent already, or it is too old. Go back to the application, and begin there again."
_ORIGIN = re.compile(r"https?://[^/?#\[\]]+", re.ASCII)


class Consent:
    """The endpoints of `/oauth/authorize`. `issuer`: the URL under which people reach the server."""

    def __init__(self, authorization: Authorization, policies: Policies, words: ScopeWords, forms: Forms, issuer: str) -> None:
        self._authorization, self._policies = authorization, policies
        self._words, self._forms, self._issuer = words, forms, issuer

    async def ask(self, call: Call) -> Answer:
        """Ask what an application may do, or go straight back to it if that was allowed before."""
        try:
            asked = await self._authorization.check(dict(call.query.items()))
        except BadRequest as error:
            return _mistake(call, f"{error.message}.", 400)
        except Redirected as error:
            return self._refuse(error.redirect, error.state, error.error)
        session = call.browser_session
        if session is None:
            return way_in(_own_address(call), lost=False)
        subject = await person_of(call, self._policies)
        if await self._authorization.is_remembered(asked, subject):
            return await self._allow(call, asked.request, subject, None)
        nonce = self._forms.nonce(call)
        await self._authorization.keep(nonce, session.id, asked.request)
        call.form_target = form_target(asked.request.redirect)
        described = await self.described(asked.application, asked.request.scopes, call.principal)
        host, is_app = _destination(asked.request.redirect)
        given: dict[str, Any] = {"host": host, "is_app": is_app, "nonce_value": nonce, "address": _own_address(call)}
        return page(call, "consent.html", **described, **given)

    async def described(self, application: Application, scopes: Scopes, principal: Principal) -> dict[str, Any]:
        """Return what a template tells about an application that asks a person: its name, its maker, what it can do."""
        owner = application.client.owner
        maker = None if owner is None else self._policies.current.active(owner)
        return {
            "name": application.subject.name,
            "maker": "whoever runs this server" if maker is None else maker.name,
            "sentences": self._words.sentences(scopes),
            "exceeds": self._words.exceeds(scopes, principal.granted),
        }

    async def decide(self, call: Call) -> Answer:
        """Send the decision about what an application has asked for back to it."""
        session, form = session_of(call), await call.form()
        decision = form.one("decision")
        request = await self._authorization.kept(await call.nonce(form=True) or "", session.id)
        if request is None or decision not in ("allow", "deny"):
            return _mistake(call, _STALE, 403 if request is None else 400)
        if decision == "deny":
            return self._refuse(request.redirect, request.state, OAuth2Error("access_denied", "The person has refused"))
        return await self._allow(call, request, await person_of(call, self._policies), author(call))

    async def _allow(self, call: Call, request: Request, subject: Subject, by: Author | None) -> Answer:
        """Send the browser back with a code. `by`: who has just consented; None when that was remembered."""
        code = await self._authorization.allow(request, subject, by)
        if code is None:
            return _mistake(call, _STALE, 403)
        return self._back(request.redirect, request.state, {"code": code})

    def _refuse(self, redirect: str, state: str | None, error: OAuth2Error) -> Answer:
        return self._back(redirect, state, {"error": error.error, "error_description": error.message or ""})

    def _back(self, redirect: str, state: str | None, said: dict[str, str]) -> Answer:
        """Send the browser back to the application; the query of its URI is kept (RFC 6749, section 3.1.2; RFC 9207)."""
        said = said | ({} if state is None else {"state": state}) | {"iss": self._issuer}
        location = f"{redirect}{'&' if '?' in redirect else '?'}{urlencode(said)}"
        return Answer(303, headers=((b"location", location.encode()), NO_STORE))


def form_target(redirect: str) -> bytes:
    """Return the source for `form-action` of a Content-Security-Policy: browsers apply it to redirects after a form, too."""
    origin = _ORIGIN.match(redirect)
    return (redirect.partition(":")[0] + ":" if origin is None else origin[0]).encode()


def _destination(redirect: str) -> tuple[str, bool]:
    """Return where a redirect URI leads, for people; and whether to a program on their own device."""
    scheme, _, rest = redirect.partition(":")
    host = re.split("[/?]", rest.removeprefix("//"), maxsplit=1)[0]
    return (host, False) if scheme == "https" else (host if scheme == "http" else f"{scheme}:", True)


def _own_address(call: Call) -> str:
    query = call.scope["query_string"].decode("ascii", "replace")
    return call.path.decode("ascii") + (f"?{query}" if query else "")


def _mistake(call: Call, sentence: str, status: int) -> Answer:
    """A page instead of a redirect: nothing about the request is sure (RFC 6749, section 4.1.2.1)."""
    return page(
        call,
        "message.html",
        status,
        title="The application cannot be connected",
        sentences=[sentence, "Tell whoever made the application. Nothing was allowed."],
        links=[("/", "To the front page")],
    )
