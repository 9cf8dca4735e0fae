"""Build the parts of a server process from an installation: budgets, credentials, the gate, live channels."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from apiv3.hub.commands import Commands
from apiv3.hub.hub import Hub
from apiv3.hub.messages import Messages
from apiv3.installation import Installation
from apiv3.live.alarm_namespace import NAME as ALARM
from apiv3.live.alarm_namespace import AlarmNamespace
from apiv3.live.audience import Audience
from apiv3.live.bells import Bells
from apiv3.live.connections import Lobby, Namespace
from apiv3.live.engine import Engine
from apiv3.live.feed import Feed
from apiv3.live.logins import LoginChannel
from apiv3.live.sessions import Rules as SessionRules
from apiv3.live.storage_namespace import NAME as STORAGE
from apiv3.live.storage_namespace import StorageNamespace
from apiv3.live.workers import FOLDER, Workers
from apiv3.model.alarms import Thresholds
from apiv3.operations.alarming import Alarming
from apiv3.operations.bulk import Bulk
from apiv3.provisioning import revealed
from apiv3.security.accounts.challenges import Challenges
from apiv3.security.accounts.nonces import Nonces
from apiv3.security.accounts.passkeys import Passkeys
from apiv3.security.accounts.relying_party import RelyingParty
from apiv3.security.accounts.user_tokens import UserTokens
from apiv3.security.authenticator import Authenticator
from apiv3.security.devices.keys import hub_keys
from apiv3.security.devices.updates import DeviceAuthentication
from apiv3.security.gate import Gate
from apiv3.security.lasting import LastingRights
from apiv3.security.ledger import Budget, Ledger
from apiv3.security.safeguard import Safeguard
from apiv3.security.throttle import Throttle
from apiv3.security.tokens import Tokens
from apiv3.security.verifiers.access_token import AccessTokenVerifier
from apiv3.security.verifiers.api_secret import ApiSecretVerifier
from apiv3.security.verifiers.bearer import BearerVerifier
from apiv3.security.verifiers.jwt import JwtVerifier
from apiv3.security.verifiers.session import SessionVerifier
from apiv3.security.verifiers.user_token import UserTokenVerifier
from apiv3.settings import Settings, is_local, public_url
from apiv3.storage.alarms import AlarmTable
from apiv3.storage.passkeys import PasskeyTable
from apiv3.web.access_log import AccessLog
from apiv3.web.bodies import Limits

_BODIES = 33_554_432
"""Most bytes of request bodies that one address may have under way in a process. All addresses together may have twice that."""
_ANSWERS = 16_777_216
"""Most bytes of pages that the clients of one subject have not received yet. Pages over 1 MiB have own bounds (turns.py)."""
_QUEUE = 10
"""Requests that may wait, as a multiple of those that one owner (an address or a subject) may have under way."""


class Parts:
    """The parts of one server process, which its endpoints and its background work share."""

    def __init__(self, installation: Installation) -> None:
        self.installation, self.settings = installation, installation.settings
        settings, policies, documents = installation.settings, installation.policies, installation.documents
        size, bulk_size, patience = settings.api3_max_body, settings.api3_max_bulk_body, settings.api3_request_timeout
        self.ledger = _ledger(settings)
        self.limits = Limits(size, patience, bulk_size, settings.api3_max_bulk, self.ledger.bodies)
        self.tokens = Tokens(revealed(settings.jwt_key), settings.api3_jwt_lifetime)
        self.user_tokens = UserTokens(revealed(settings.jwt_key), settings.security_token_max_age)
        self.throttle = Throttle(settings.auth_fail_delay)
        verifiers = (
            ApiSecretVerifier(revealed(settings.api_secret)),
            SessionVerifier(installation.sessions, policies),
            BearerVerifier(installation.access_tokens, installation.scopes, policies),
            UserTokenVerifier(self.user_tokens, policies),
            JwtVerifier(self.tokens, policies),
            AccessTokenVerifier(policies),
        )
        self.authenticator = Authenticator(verifiers, self.throttle, policies)
        installation.sessions.on_end.append(self.authenticator.forget)
        installation.access_tokens.on_end.append(self.authenticator.forget)
        self.rights = LastingRights(policies, installation.sessions, installation.access_tokens)
        self.nonces = Nonces(revealed(settings.jwt_key), installation.session_table)
        party, challenges = RelyingParty(public_url(settings)), Challenges(revealed(settings.jwt_key))
        self.passkeys = Passkeys(PasskeyTable(installation.database), party, challenges)
        self.thresholds = _thresholds(settings)
        bells = Bells(installation.database.watch)
        documents.on_write.append(bells.ring)
        self.logins = LoginChannel(installation.login_table, bells)
        self.feed = Feed(documents, bells, installation.collections)
        self.engine = Engine(
            SessionRules(settings.api3_live_ping_interval, settings.api3_request_timeout),
            self.ledger.live,
            self._namespaces(bells),
        )
        folder = os.environ.get(FOLDER)
        self.workers = Workers(self.engine, Path(folder) if folder else None)
        self.commands = Commands(installation.command_table, installation.device_table)
        self.hub = None if settings.only == "login" else self._hub()
        self.access_log = AccessLog(settings.access_log, secret=revealed(settings.api_secret))

    def _namespaces(self, bells: Bells) -> Mapping[str, Namespace]:
        installation = self.installation
        storage = StorageNamespace(self._audience(), self.feed, installation.collections)
        alarming = Alarming(installation.documents, AlarmTable(installation.database), self.thresholds)
        return {"/": Lobby(), STORAGE: storage, ALARM: AlarmNamespace(self._audience(), alarming, bells)}

    def _hub(self) -> Hub:
        """Return the hub, which the half for logins does without."""
        installation = self.installation
        messages, commands = installation.message_table, installation.command_table
        bulk, policies = Bulk(installation.writing), installation.policies
        handler = Messages(messages, commands, bulk, installation.collections, policies)
        kept = self.settings.device_message_days * 86_400_000
        keys, devices, offers = hub_keys(revealed(self.settings.hub_key)), installation.device_table, installation.offers
        hub = Hub(keys, devices, messages, commands, offers, handler, policies, kept)
        installation.devices.on_change.append(hub.catch_up)
        return hub

    def _device_authentication(self) -> DeviceAuthentication | None:
        """Return what verifies the secrets of devices, which the half for logins does without."""
        if self.settings.only == "login":
            return None
        key = hub_keys(revealed(self.settings.hub_key)).private
        return DeviceAuthentication(key, self.installation.device_table, self.throttle)

    def _audience(self) -> Audience:
        policies = self.installation.policies
        return Audience(self.authenticator, policies, self.rights, enabled=self.settings.api3_security_enable)

    def gate(self) -> Gate:
        """Return the checks that every request passes before its endpoint."""
        settings = self.settings
        return Gate(
            self.authenticator,
            Safeguard(self.installation.sessions, self.nonces, self.installation.logins),
            self.installation.access_tokens,
            self._device_authentication(),
            enabled=settings.api3_security_enable,
            require_https=settings.api3_require_https,
            timestamp_rule=settings.api3_client_timestamp,
            tolerance=settings.api3_time_skew_tolerance,
            api_secret_enabled=settings.api_secret_enable,
            local_origins=settings.cors_origins if is_local(settings) else None,
        )

    def end_live(self) -> None:
        """End all live connections, in any order and any number of times."""
        self.feed.close()
        self.logins.close()
        self.engine.close()
        self.workers.close()


def _thresholds(settings: Settings) -> Thresholds:
    return Thresholds(
        settings.bg_low,
        settings.bg_target_bottom,
        settings.bg_target_top,
        settings.bg_high,
        settings.alarm_timeago_warn_mins,
        settings.alarm_timeago_urgent_mins,
    )


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
