"""What protects people who are signed in on a browser, which sends the cookie of their session with every request.

A request that may change something must come from a page of this server, and carry a nonce that only its forms show. The idle
limit of a session counts what the person does: opening pages and sending forms, but not what a page asks for by itself.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

from apiv3.model.errors import ForeignPage
from apiv3.model.sessions import Session, Started
from apiv3.security.accounts.nonces import Nonces
from apiv3.security.credentials import Identity
from apiv3.security.logins import Logins
from apiv3.security.principal import Principal
from apiv3.security.sessions import Sessions


class Browser(Protocol):
    """What has to be known of a request that a browser may have sent."""

    principal: Principal
    identity: Identity | None

    @property
    def is_safe(self) -> bool:
        """Whether the method is one that changes nothing."""

    @property
    def is_navigation(self) -> bool:
        """Whether a person has opened a page, rather than a script in it that asks for something."""

    @property
    def is_foreign(self) -> bool:
        """Whether a page of another site has sent the request."""

    async def nonce(self, *, form: bool) -> str | None:
        """Return the nonce in the header X-Nonce, or else in the form, if one is expected. Raises BadRequest."""

    def keep(self, started: Started) -> None:
        """Let the browser keep the value of a session, for as long as the session can last."""


class Page(Protocol):
    """What has to be known of a route: whether it is a page or a form for people, and whether it is for strangers, too."""

    @property
    def page(self) -> bool: ...

    @property
    def public(self) -> bool: ...


class Safeguard:
    """Checks the requests that a session authenticates."""

    def __init__(self, sessions: Sessions, nonces: Nonces, logins: Logins) -> None:
        self._sessions, self._nonces, self._logins = sessions, nonces, logins

    async def check(self, browser: Browser, session: Session, access: Page) -> None:
        """Check that the person meant a request that may change something, and note that the person did something.

        The endpoints of public forms check the nonces themselves. Raises ForeignPage, BadNonce, StorageUnavailable.
        """
        if not browser.is_safe:
            if browser.is_foreign:
                raise ForeignPage
            if not access.public:
                await self._nonces.use(await browser.nonce(form=access.page), session.id)
            await self._sessions.touch(session)
        elif access.page and browser.is_navigation:
            await self._sessions.touch(session)
            if session.roles != browser.principal.roles:
                await self._renew(browser, session)

    async def _renew(self, browser: Browser, session: Session) -> None:
        """Give the session another value, as the roles of the person have changed."""
        started = await self._logins.renew(session)
        if started is not None and browser.identity is not None:
            browser.identity = replace(browser.identity, session=started.session)
            browser.keep(started)
