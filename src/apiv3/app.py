"""Build the ASGI application from the settings, and run what a server process does beside its requests."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from apiv3 import endpoints
from apiv3.installation import Installation
from apiv3.logs import configure_logging
from apiv3.memory import give_back_free_memory, give_back_large_blocks
from apiv3.model.errors import StorageUnavailable
from apiv3.operations.pruning import Pruning
from apiv3.parts import Parts
from apiv3.provisioning import needed, provision
from apiv3.security.logins import Endings
from apiv3.security.revisions import follow
from apiv3.settings import load
from apiv3.web.api import Api, ASGIApp, lifespan, with_cors
from apiv3.web.proxies import Proxies
from apiv3.web.router import Route
from apiv3.web.server.connections import CONNECTIONS, Connections

_PATIENCE = 10.0
"""Seconds that the start waits for the database; after that, the server listens without it."""
_LAST_PATIENCE = 2.0
"""Seconds that the end waits for the database to store what it would not know otherwise."""
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.25, 4.0
"""Seconds between two attempts to connect to the database; they double each time."""
_log = logging.getLogger(__name__)


class Server:
    """One server process: its parts, its routes, and the work that it does beside its requests."""

    def __init__(self, installation: Installation) -> None:
        self.installation, self.settings = installation, installation.settings
        self.parts = Parts(installation)

    def routes(self) -> Sequence[Route]:
        """Return all routes, with endpoints that work on the parts of this process."""
        return endpoints.table(self.parts)

    def _connections(self) -> Connections:
        shares = Proxies(self.settings.trusted_proxies).trusts
        return Connections(self.parts.ledger.connections, self.settings.api3_request_timeout, shares, self.parts.end_live)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Mapping[str, Connections]]:
        """Connect to the database, load the policy, and run the background work for the length of a block.

        If the database is unavailable at the start, connecting goes on in the background, and requests that need the database
        are answered with 503 until then. Yields the state for the server: its connections.
        """
        attempted, connections = asyncio.Event(), self._connections()
        opening = asyncio.create_task(self._open(attempted))
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(_PATIENCE):
                    await attempted.wait()
            if opening.done():
                opening.result()
            works = (self._work(opening), connections.watch(), give_back_free_memory())
            async with _meanwhile(*works), self.parts.workers.listening():
                try:
                    yield {CONNECTIONS: connections}
                finally:
                    self.parts.end_live()
        finally:
            opening.cancel()
            await self._remember()
            await self.installation.database.disconnect()
            self.parts.access_log.flush()

    async def _remember(self) -> None:
        """Store what is stored only once in a while: when sessions, grants and devices were used, and which are gone."""
        with suppress(StorageUnavailable, TimeoutError):
            async with asyncio.timeout(_LAST_PATIENCE):
                await self.installation.sessions.save()
                await self.installation.access_tokens.save()
                if self.parts.hub is not None:
                    await self.parts.hub.save()

    async def _open(self, attempted: asyncio.Event) -> None:
        """Connect and load subjects and roles; try again until that succeeds. `attempted` is set after the first attempt."""
        pause = _SHORTEST_PAUSE
        while True:
            try:
                await self.installation.open()
                await self.installation.documents.prepare(tuple(self.installation.collections))
            except StorageUnavailable as error:
                if pause == _SHORTEST_PAUSE:
                    reason = error.reason or "it cannot be used"
                    _log.warning("the database is unavailable: %s. Requests that need it get 503 until it is there", reason)
            except Exception:
                if not attempted.is_set():
                    raise
                _log.exception("the database cannot be used; trying again")
            else:
                self._check_default_roles()
                return
            finally:
                attempted.set()
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def _work(self, opening: asyncio.Task[None]) -> None:
        """Run the background work, once the database is connected."""
        await asyncio.shield(opening)
        installation, hub = self.installation, self.parts.hub
        parts = (installation.policies, installation.sessions, installation.access_tokens)
        following = follow(*parts) if hub is None else follow(*parts, hub)
        endings = Endings(installation.login_table, installation.sessions)
        works = [following, installation.sessions.run(), installation.access_tokens.run(), endings.run()]
        if self.settings.only != "login":
            works.append(self._pruning().run())
        if hub is not None:
            works += [hub.run(), self.parts.commands.run(), self._sign_updates()]
        await asyncio.gather(*works)

    def _pruning(self) -> Pruning:
        installation, settings = self.installation, self.settings
        return Pruning(
            installation.documents,
            settings.api3_autoprune,
            tuple(installation.collections),
            settings.api3_tombstone_days,
            installation.audit,
            settings.audit_days,
            installation.login_table,
        )

    async def _sign_updates(self) -> None:
        """Sign the repository of software updates anew, in time, until cancelled."""
        try:
            publisher = self.installation.publisher()
        except ImportError:
            if self.installation.updates.inrelease is not None:
                _log.warning("software updates end soon, since nothing can sign them: install apiv3[updates]")
            return
        await publisher.run()

    def _check_default_roles(self) -> None:
        """Warn about default roles that do not exist. This is no error, since they may be added later."""
        for name in self.settings.auth_default_roles:
            if name not in self.installation.policies.current.roles:
                _log.warning("AUTH_DEFAULT_ROLES names the role %r, which does not exist; it grants nothing", name)


@asynccontextmanager
async def _meanwhile(*works: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run coroutines in the background, until the end of the block."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def build(server: Server) -> ASGIApp:
    """Return the ASGI application of a server."""
    settings, parts = server.settings, server.parts
    others = lifespan(server.running)
    proxies = Proxies(settings.trusted_proxies)
    api = Api(
        server.routes(),
        parts.gate(),
        proxies,
        parts.ledger,
        parts.limits,
        parts.access_log,
        others,
        server.installation.scopes,
        settings.public_url,
    )
    return with_cors(api, settings.cors_origins)


def create() -> ASGIApp:
    """Return the ASGI application for a worker process of `apiv3 serve`, from the environment, `.env` and APIV3_DATA."""
    give_back_large_blocks()
    configure_logging()
    settings = load()
    return build(Server(Installation(provision(settings, needed(settings)))))
