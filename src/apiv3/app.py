"""Wiring only: settings -> storage -> services -> routes -> one ASGI app."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from apiv3.live.alarm import ACKNOWLEDGE, Alarms
from apiv3.live.alarm import NAME as ALARM
from apiv3.live.audience import Audience
from apiv3.live.bells import Bells
from apiv3.live.connections import Lobby, Namespace
from apiv3.live.engine import Engine
from apiv3.live.feed import Feed
from apiv3.live.sessions import Rules as SessionRules
from apiv3.live.storage import NAME as STORAGE
from apiv3.live.storage import Storage
from apiv3.live.workers import FOLDER, Workers
from apiv3.model import collections
from apiv3.model.alarms import Thresholds
from apiv3.operations.alarming import Alarming
from apiv3.operations.bulk import Bulk
from apiv3.operations.pruning import Pruning
from apiv3.operations.reading import Reading
from apiv3.operations.writing import Rules, Writing
from apiv3.security.audit import AccessLog
from apiv3.security.authenticator import AccessTokenVerifier, ApiSecretVerifier, Authenticator, JwtVerifier
from apiv3.security.floods import InFlight
from apiv3.security.gate import Gate
from apiv3.security.lasting import LastingRights
from apiv3.security.policy import Policies
from apiv3.security.proxies import Proxies
from apiv3.security.subjects import Administration
from apiv3.security.throttle import Throttle
from apiv3.security.tokens import Tokens
from apiv3.settings import Settings, load, provision
from apiv3.storage.alarms import AlarmTable
from apiv3.storage.database import Database
from apiv3.storage.documents import DocumentTable
from apiv3.storage.policy import PolicyTable
from apiv3.web.administration import Authorization, Roles, Subjects
from apiv3.web.api import Api, ASGIApp, lifespan, with_cors
from apiv3.web.bodies import Limits
from apiv3.web.documents import Documents
from apiv3.web.events import Events
from apiv3.web.explorer import Explorer
from apiv3.web.openapi.document import describe
from apiv3.web.openapi.operation import Bounds
from apiv3.web.pages import Pages
from apiv3.web.protocol import SHUTDOWN
from apiv3.web.router import Route, demanded
from apiv3.web.routes import routes
from apiv3.web.service import Service
from apiv3.web.socketio import PATH as SOCKET_IO
from apiv3.web.socketio import SocketIo

_log = logging.getLogger(__name__)


class Installation:
    """All the parts of one server process, put together from its settings."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.collections = collections.table(settings.api3_extra_collections)
        self.limits = Limits(
            settings.api3_max_body, settings.api3_request_timeout, settings.api3_max_bulk_body, settings.api3_max_bulk
        )
        self.database = Database(settings.database)
        self.documents = DocumentTable(self.database)
        rules = Rules(settings.api3_dedup_fallback_enabled, settings.api3_created_at_fallback_enabled)
        self.writing = Writing(self.documents, rules)
        bells = Bells(self.database.watch)
        self.documents.on_write.append(bells.ring)
        self.feed = Feed(self.documents, bells, self.collections)
        policy_table = PolicyTable(self.database)
        api_secret, jwt_key = _text(settings.api_secret), _text(settings.jwt_key)
        self.policies = Policies(policy_table, api_secret, settings.auth_default_roles)
        self.administration = Administration(policy_table, self.policies)
        self.tokens = Tokens(jwt_key, settings.api3_jwt_lifetime)
        verifiers = (
            ApiSecretVerifier(api_secret),
            JwtVerifier(self.tokens, self.policies),
            AccessTokenVerifier(self.policies),
        )
        self.authenticator = Authenticator(verifiers, Throttle(settings.auth_fail_delay), self.policies)
        self.rights = LastingRights(self.policies)
        storage = Storage(self._audience(), self.feed, self.collections)
        alarming = Alarming(self.documents, AlarmTable(self.database), self._thresholds())
        alarms = Alarms(self._audience(), alarming, bells)
        namespaces: Mapping[str, Namespace] = {"/": Lobby(), STORAGE: storage, ALARM: alarms}
        pace = SessionRules(settings.api3_live_ping_interval, settings.api3_request_timeout)
        self.engine = Engine(pace, settings.api3_live_connections, namespaces)
        folder = os.environ.get(FOLDER)
        self.workers = Workers(self.engine, Path(folder) if folder else None)
        self.access_log = AccessLog() if settings.access_log else AccessLog(None)

    def _audience(self) -> Audience:
        return Audience(self.authenticator, self.policies, self.rights, enabled=self.settings.api3_security_enable)

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
            Proxies(settings.trusted_proxies),
            enabled=settings.api3_security_enable,
            require_https=settings.api3_require_https,
            timestamp_rule=settings.api3_client_timestamp,
            tolerance=settings.api3_time_skew_tolerance,
            api_secret_enabled=settings.api_secret_enable,
        )

    def routes(self) -> Sequence[Route]:
        settings = self.settings
        reading, bulk = Reading(self.documents, self.collections), Bulk(self.documents, self.writing)
        most = settings.api3_max_limit
        table: list[Route] = []
        table += routes(
            Service(reading, self.documents),
            {name: Documents(each, reading, self.writing, bulk, self.limits, most) for name, each in self.collections.items()},
            Events(self.feed, self.collections, self.rights),
            Authorization(self.authenticator, self.policies, self.tokens, lambda: demanded(table, ACKNOWLEDGE)),
            Subjects(self.administration, self.policies, self.limits),
            Roles(self.administration, self.policies, self.limits),
            self._live(),
            Pages(lambda: table),
            Explorer(lambda: describe([each for each in table if each.path != SOCKET_IO], self.collections, self._bounds())),
        )
        return table

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

    def _live(self) -> SocketIo:
        settings = self.settings
        most, patience = settings.api3_live_connections, settings.api3_request_timeout
        return SocketIo(self.engine, self.workers, settings.cors_origins, most, patience)

    def _end_live(self) -> None:
        self.feed.close()
        self.engine.close()
        self.workers.close()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Mapping[str, Callable[[], None]]]:
        """Connected, up to date with the policy, and with the background work going on.

        What it yields is for the server: SHUTDOWN is called before it waits for the last answers.
        """
        await self.database.connect()
        try:
            await self.documents.prepare(tuple(self.collections))
            await self.policies.refresh()
            self._check_default_roles()
            pruning = Pruning(
                self.documents, self.settings.api3_autoprune, tuple(self.collections), self.settings.api3_tombstone_days
            )
            async with _meanwhile(self.policies.follow(), pruning.run()), self.workers.listening():
                try:
                    yield {SHUTDOWN: self._end_live}
                finally:
                    self._end_live()
        finally:
            self.access_log.flush()
            await self.database.disconnect()

    def _check_default_roles(self) -> None:
        """A role may be made later, so an unknown one is worth a warning, no more."""
        for name in self.settings.auth_default_roles:
            if name not in self.policies.current.roles:
                _log.warning("AUTH_DEFAULT_ROLES names the role %r, which does not exist; it grants nothing", name)


@asynccontextmanager
async def _meanwhile(*works: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Do these in the background, until the end of the block."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _text(secret: SecretStr | None) -> str:
    if secret is None:
        raise RuntimeError("the settings were not provisioned with secrets")
    return secret.get_secret_value()


def build(installation: Installation) -> ASGIApp:
    """The ASGI app of an installation."""
    settings = installation.settings
    in_flight, others = InFlight(settings.api3_max_in_flight), lifespan(installation.running)
    api = Api(installation.routes(), installation.gate(), in_flight, installation.access_log, others)
    return with_cors(api, settings.cors_origins)


def configure_logging() -> None:
    """Plain lines on standard error; what libraries say about their own affairs only from a warning on."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for chatty in ("alembic", "databases", "httpx", "uvicorn"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def create() -> ASGIApp:
    """What a worker process of `apiv3 serve` runs; its settings come from the environment, `.env` and APIV3_DATA."""
    configure_logging()
    return build(Installation(provision(load())))
