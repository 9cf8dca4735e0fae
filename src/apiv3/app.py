"""Build the ASGI application from the settings: storage, services, routes."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from apiv3.installation import Installation
from apiv3.live.alarm_namespace import NAME as ALARM
from apiv3.live.alarm_namespace import AlarmNamespace
from apiv3.live.audience import Audience
from apiv3.live.bells import Bells
from apiv3.live.connections import Lobby, Namespace
from apiv3.live.engine import Engine
from apiv3.live.feed import Feed
from apiv3.live.sessions import Rules as SessionRules
from apiv3.live.storage_namespace import NAME as STORAGE
from apiv3.live.storage_namespace import StorageNamespace
from apiv3.live.workers import FOLDER, Workers
from apiv3.logs import configure_logging
from apiv3.memory import give_back_free_memory, give_back_large_blocks
from apiv3.model.alarms import Thresholds
from apiv3.model.errors import StorageUnavailable
from apiv3.operations.alarming import Alarming
from apiv3.operations.bulk import Bulk
from apiv3.operations.pruning import Pruning
from apiv3.operations.reading import Reading
from apiv3.provisioning import provision, revealed
from apiv3.security.accounts.challenges import Challenges
from apiv3.security.accounts.first_invitation import FirstInvitation
from apiv3.security.accounts.nonces import Nonces
from apiv3.security.accounts.passkeys import Passkeys
from apiv3.security.accounts.relying_party import RelyingParty
from apiv3.security.accounts.sign_in import SignIn
from apiv3.security.accounts.user_tokens import UserTokens
from apiv3.security.authenticator import Authenticator
from apiv3.security.gate import Gate
from apiv3.security.lasting import LastingRights
from apiv3.security.ledger import Budget, Ledger
from apiv3.security.revisions import follow
from apiv3.security.safeguard import Safeguard
from apiv3.security.throttle import Throttle
from apiv3.security.tokens import Tokens
from apiv3.security.verifiers.access_token import AccessTokenVerifier
from apiv3.security.verifiers.api_secret import ApiSecretVerifier
from apiv3.security.verifiers.jwt import JwtVerifier
from apiv3.security.verifiers.session import SessionVerifier
from apiv3.security.verifiers.user_token import UserTokenVerifier
from apiv3.settings import Settings, is_local, load, public_url
from apiv3.storage.alarms import AlarmTable
from apiv3.storage.failures import FailureTable
from apiv3.storage.passkeys import PasskeyTable
from apiv3.web.access_log import AccessLog
from apiv3.web.administration import Authorization, Roles, Subjects
from apiv3.web.api import Api, ASGIApp, lifespan, with_cors
from apiv3.web.bodies import Limits
from apiv3.web.documents import Documents
from apiv3.web.events import Events
from apiv3.web.openapi.document import describe
from apiv3.web.operation import Bounds
from apiv3.web.people import People
from apiv3.web.proxies import Proxies
from apiv3.web.router import Route
from apiv3.web.routes import routes
from apiv3.web.server.connections import CONNECTIONS, Connections
from apiv3.web.service import Service
from apiv3.web.site.account import AccountPage
from apiv3.web.site.admin.checks import CheckPage
from apiv3.web.site.admin.pages import AdminPages
from apiv3.web.site.admin.roles import RolePages
from apiv3.web.site.admin.sessions import SessionPages
from apiv3.web.site.admin.state import StatePage
from apiv3.web.site.admin.subjects import SubjectPages
from apiv3.web.site.admin.trail import TrailPages
from apiv3.web.site.admin.users import UserPages
from apiv3.web.site.checklist import Checklist
from apiv3.web.site.explorer import Explorer
from apiv3.web.site.first_invitation import FirstInvitationPage
from apiv3.web.site.forms import Forms
from apiv3.web.site.front import Front
from apiv3.web.site.invitation import Invitation
from apiv3.web.site.login import Login
from apiv3.web.site.passkey_list import PasskeyList
from apiv3.web.site.passkeys import PasskeyPages
from apiv3.web.site.static import StaticFiles
from apiv3.web.socketio import SocketIo
from apiv3.web.users import Users

_PATIENCE = 10.0
"""Seconds that the start waits for the database; after that, the server listens without it."""
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.25, 4.0
"""Seconds between two attempts to connect to the database; they double each time."""
_log = logging.getLogger(__name__)
_BODIES = 33_554_432
"""Most bytes of request bodies that one address may have under way in a process. All addresses together may have twice that."""
_ANSWERS = 16_777_216
"""Most bytes of pages that the clients of one subject have not received yet. Pages over 1 MiB have own bounds (turns.py)."""
_QUEUE = 10
"""Requests that may wait, as a multiple of those that one owner (an address or a subject) may have under way."""


class Server:
    """The parts of one server process, created from an installation."""

    def __init__(self, installation: Installation) -> None:
        self.installation, self.settings = installation, installation.settings
        settings, policies, documents = installation.settings, installation.policies, installation.documents
        size, bulk_size, patience = settings.api3_max_body, settings.api3_max_bulk_body, settings.api3_request_timeout
        self.ledger = _ledger(settings)
        self.limits = Limits(size, patience, bulk_size, settings.api3_max_bulk, self.ledger.bodies)
        self.tokens = Tokens(revealed(settings.jwt_key), settings.api3_jwt_lifetime)
        self.user_tokens = UserTokens(revealed(settings.jwt_key), settings.security_token_max_age)
        verifiers = (
            ApiSecretVerifier(revealed(settings.api_secret)),
            SessionVerifier(installation.sessions, policies),
            UserTokenVerifier(self.user_tokens, policies),
            JwtVerifier(self.tokens, policies),
            AccessTokenVerifier(policies),
        )
        self.authenticator = Authenticator(verifiers, Throttle(settings.auth_fail_delay), policies)
        installation.sessions.on_end.append(self.authenticator.forget)
        self.rights = LastingRights(policies, installation.sessions)
        self.nonces = Nonces(revealed(settings.jwt_key), installation.session_table)
        party, challenges = RelyingParty(public_url(settings)), Challenges(revealed(settings.jwt_key))
        self.passkeys = Passkeys(PasskeyTable(installation.database), party, challenges)
        bells = Bells(installation.database.watch)
        documents.on_write.append(bells.ring)
        self.feed = Feed(documents, bells, installation.collections)
        self.engine = Engine(
            SessionRules(settings.api3_live_ping_interval, settings.api3_request_timeout),
            self.ledger.live,
            self._namespaces(bells),
        )
        folder = os.environ.get(FOLDER)
        self.workers = Workers(self.engine, Path(folder) if folder else None)
        self.access_log = AccessLog(settings.access_log)

    def _namespaces(self, bells: Bells) -> Mapping[str, Namespace]:
        installation = self.installation
        storage = StorageNamespace(self._audience(), self.feed, installation.collections)
        alarming = Alarming(installation.documents, AlarmTable(installation.database), self._thresholds())
        return {"/": Lobby(), STORAGE: storage, ALARM: AlarmNamespace(self._audience(), alarming, bells)}

    def _audience(self) -> Audience:
        policies = self.installation.policies
        return Audience(self.authenticator, policies, self.rights, enabled=self.settings.api3_security_enable)

    def _thresholds(self) -> Thresholds:
        settings = self.settings
        return Thresholds(
            settings.bg_low,
            settings.bg_target_bottom,
            settings.bg_target_top,
            settings.bg_high,
            settings.alarm_timeago_warn_mins,
            settings.alarm_timeago_urgent_mins,
        )

    def gate(self) -> Gate:
        settings = self.settings
        return Gate(
            self.authenticator,
            Safeguard(self.installation.sessions, self.nonces, self.installation.logins),
            enabled=settings.api3_security_enable,
            require_https=settings.api3_require_https,
            timestamp_rule=settings.api3_client_timestamp,
            tolerance=settings.api3_time_skew_tolerance,
            api_secret_enabled=settings.api_secret_enable,
            local_origins=settings.cors_origins if is_local(settings) else None,
        )

    def routes(self) -> Sequence[Route]:
        settings, installation, limits = self.settings, self.installation, self.limits
        documents, kinds, administration = installation.documents, installation.collections, installation.administration
        reading, writing, bulk = Reading(documents, kinds), installation.writing, Bulk(installation.writing)
        accounts, logins, lasting = installation.accounts, installation.logins, installation.sessions.limits
        sign_in, forms, most = self._sign_in(), Forms(self.nonces), settings.api3_max_limit
        listed, login = PasskeyList(self.passkeys, forms), Login(accounts, sign_in, logins, lasting, forms, self.passkeys.party)
        account = AccountPage(accounts, sign_in, logins, lasting, forms, listed)
        table: list[Route] = []
        table += routes(
            Service(reading, documents),
            {name: Documents(kind, reading, writing, bulk, limits, most) for name, kind in kinds.items()},
            Events(self.feed, kinds, self.rights),
            Authorization(self.authenticator, installation.policies, self.tokens, installation.demands),
            Subjects(administration, installation.policies, limits, shows_tokens=settings.api3_security_enable),
            Roles(administration, installation.policies, limits, installation.demands),
            Users(installation.accounts, limits),
            People(sign_in, logins, self.user_tokens, limits),
            self._live(),
            Explorer(lambda: describe(_described(table), kinds, self._bounds()), lambda: table),
            Front(reading, kinds, self._thresholds(), self._checklist()),
            login,
            Invitation(accounts, lasting, forms, listed),
            FirstInvitationPage(FirstInvitation(revealed(settings.jwt_key), accounts), lasting, forms),
            account,
            PasskeyPages(self.passkeys, accounts, sign_in, logins, lasting, forms, login, account),
            self._admin_pages(forms),
            StaticFiles(),
        )
        return table

    def _checklist(self) -> Checklist:
        settings = self.settings
        reachable = settings.tls_cert is not None or settings.public_url.startswith("https://")
        return Checklist(lambda: self.installation.policies.current, is_reachable=reachable)

    def _admin_pages(self, forms: Forms) -> AdminPages:
        installation = self.installation
        administration, policies, accounts = installation.administration, installation.policies, installation.accounts
        return AdminPages(
            SubjectPages(administration, policies, forms, shows_tokens=self.settings.api3_security_enable),
            RolePages(administration, policies, installation.demands, forms),
            CheckPage(policies, installation.demands),
            UserPages(accounts, policies, forms, public_url(self.settings)),
            SessionPages(accounts, forms),
            TrailPages(installation.trail),
            StatePage(installation.inspection),
        )

    def _bounds(self) -> Bounds:
        settings = self.settings
        return Bounds(
            settings.api3_max_limit,
            settings.api3_max_body,
            settings.api3_max_bulk,
            settings.api3_max_bulk_body,
            settings.api3_time_skew_tolerance,
            settings.api3_created_at_fallback_enabled,
        )

    def _sign_in(self) -> SignIn:
        installation = self.installation
        failures = FailureTable(installation.database)
        delay = self.settings.auth_fail_delay
        return SignIn(installation.account_table, failures, installation.passwords, self.passkeys, delay)

    def _live(self) -> SocketIo:
        settings = self.settings
        live, bodies, patience = self.ledger.live, self.ledger.bodies, settings.api3_request_timeout
        return SocketIo(self.engine, self.workers, settings.cors_origins, live, patience, bodies)

    def _end_live(self) -> None:
        self.feed.close()
        self.engine.close()
        self.workers.close()

    def _connections(self) -> Connections:
        shares = Proxies(self.settings.trusted_proxies).trusts
        return Connections(self.ledger.connections, self.settings.api3_request_timeout, shares, self._end_live)

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
            async with _meanwhile(*works), self.workers.listening():
                try:
                    yield {CONNECTIONS: connections}
                finally:
                    self._end_live()
        finally:
            opening.cancel()
            await self.installation.database.disconnect()
            self.access_log.flush()

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
        installation, settings = self.installation, self.settings
        names = tuple(installation.collections)
        pruning = Pruning(
            installation.documents,
            settings.api3_autoprune,
            names,
            settings.api3_tombstone_days,
            installation.audit,
            settings.audit_days,
        )
        following = follow(installation.policies, installation.sessions)
        await asyncio.gather(following, installation.sessions.run(), pruning.run())

    def _check_default_roles(self) -> None:
        """Warn about default roles that do not exist. This is no error, since they may be added later."""
        for name in self.settings.auth_default_roles:
            if name not in self.installation.policies.current.roles:
                _log.warning("AUTH_DEFAULT_ROLES names the role %r, which does not exist; it grants nothing", name)


def _ledger(settings: Settings) -> Ledger:
    """Return the budgets of a process. Their queues are long enough for a burst of requests of an honest client."""
    patience, requests, connections = settings.api3_request_timeout, settings.api3_max_in_flight, settings.api3_max_connections
    largest = max(_BODIES, settings.api3_max_body, settings.api3_max_bulk_body)
    return Ledger(
        connections=Budget(connections, waiting=_QUEUE * connections, patience=patience),
        requests=Budget(requests, waiting=_QUEUE * requests, patience=patience),
        live=Budget(settings.api3_live_connections),
        answers=Budget(_ANSWERS, waiting=_QUEUE * requests, patience=patience),
        bodies=Budget(largest, total=2 * largest, waiting=_QUEUE * requests, patience=patience),
    )


def _described(table: Sequence[Route]) -> Sequence[Route]:
    """The routes of the API: all but pages for people and Socket.IO."""
    return [route for route in table if route.path.startswith("/api/")]


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
    settings = server.settings
    others = lifespan(server.running)
    proxies = Proxies(settings.trusted_proxies)
    api = Api(
        server.routes(),
        server.gate(),
        proxies,
        server.ledger,
        server.limits,
        server.access_log,
        others,
        settings.public_url,
    )
    return with_cors(api, settings.cors_origins)


def create() -> ASGIApp:
    """Return the ASGI application for a worker process of `apiv3 serve`, from the environment, `.env` and APIV3_DATA."""
    give_back_large_blocks()
    configure_logging()
    return build(Server(Installation(provision(load()))))
