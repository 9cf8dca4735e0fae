"""Build the parts that the server and the commands share: database, documents, subjects, roles, accounts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from apiv3.model import collections
from apiv3.model.sessions import Limits
from apiv3.operations.inspection import Inspection
from apiv3.operations.writing import Rules, Writing
from apiv3.provisioning import revealed
from apiv3.security import demands
from apiv3.security.accounts.accounts import Accounts
from apiv3.security.accounts.passwords import Passwords
from apiv3.security.devices.devices import Devices
from apiv3.security.devices.keys import hub_keys, text_of
from apiv3.security.logins import Logins
from apiv3.security.oauth2.access_tokens import AccessTokens
from apiv3.security.oauth2.clients import Clients
from apiv3.security.oauth2.issuing import Issuer, Lifetimes
from apiv3.security.oauth2.scopes import NAMED, ScopeTable
from apiv3.security.policy import Policies
from apiv3.security.sessions import Sessions
from apiv3.security.subjects import Administration
from apiv3.security.trail import Trail
from apiv3.settings import Settings, public_url
from apiv3.storage.accounts import AccountTable
from apiv3.storage.audit import AuditTable
from apiv3.storage.clients import ClientTable
from apiv3.storage.commands import CommandTable
from apiv3.storage.database import Database
from apiv3.storage.devices import DeviceTable
from apiv3.storage.documents import DocumentTable
from apiv3.storage.grants import GrantTable
from apiv3.storage.inventory import InventoryTable
from apiv3.storage.logins import LoginTable
from apiv3.storage.messages import MessageTable
from apiv3.storage.offers import OfferTable
from apiv3.storage.policy import PolicyTable
from apiv3.storage.sessions import SessionTable
from apiv3.updates.repository import Repository

if TYPE_CHECKING:
    from apiv3.updates.publishing import Publisher


class Installation:
    """An installation: its settings, and everything that works on its database."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.collections = collections.table(settings.api3_extra_collections)
        self.demands = demands.every(self.collections.values())
        self.database = Database(settings.database)
        self.documents = DocumentTable(self.database)
        rules = Rules(settings.api3_dedup_fallback_enabled, settings.api3_created_at_fallback_enabled)
        self.writing = Writing(self.documents, rules)
        default = settings.auth_default_roles
        policy_table = PolicyTable(self.database, default)
        self.policies = Policies(policy_table, revealed(settings.api_secret), default)
        self.administration = Administration(policy_table, self.policies)
        self.account_table = AccountTable(self.database, default)
        self.audit = AuditTable(self.database)
        self.trail = Trail(self.audit)
        inventory, backup = InventoryTable(self.database), settings.apiv3_data / "last_backup"
        self.inspection = Inspection(inventory, self.documents, self.collections, settings.workers, backup)
        self.passwords = Passwords(settings.password_rounds)
        self.session_table = SessionTable(self.database, default)
        self.login_table = LoginTable(self.database, default)
        self.sessions = Sessions(self.session_table, _limits(settings))
        self.logins = Logins(self.session_table, self.sessions, self.policies)
        self.scopes = ScopeTable(settings.oauth_scopes or NAMED)
        self.client_table, self.grant_table = ClientTable(self.database, default), GrantTable(self.database, default)
        self.access_tokens = AccessTokens(self.grant_table)
        self.clients = Clients(self.client_table, self.grant_table, self.policies, self.scopes, self.access_tokens)
        lifetimes = Lifetimes(settings.oauth_access_lifetime, settings.oauth_refresh_grace)
        self.issuer = Issuer(self.grant_table, lifetimes, self.scopes)
        self.device_table, self.message_table = DeviceTable(self.database, default), MessageTable(self.database)
        self.command_table, self.offers = CommandTable(self.database), OfferTable(self.database)
        self.updates = Repository(settings.apiv3_data / "updates")
        self.devices = Devices(
            self.device_table,
            self.message_table,
            self.policies,
            lambda: public_url(settings),
            lambda: text_of(hub_keys(revealed(settings.hub_key)).public),
        )
        self.accounts = Accounts(self.account_table, self.policies, self.passwords, self.logins)

    def publisher(self) -> Publisher:
        """Return what publishes software updates. Raises ImportError without the extra `apiv3[updates]`."""
        from apiv3.updates.publishing import Publisher  # imports what the extra installs

        return Publisher(self.updates, self.offers, self.settings.updates_valid_days * 86_400)

    async def open(self) -> None:
        """Connect, and load subjects and roles. May be called again after a failure. Raises StorageUnavailable."""
        await self.database.connect()
        await self.policies.refresh()

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Open the installation for the length of a block. Raises StorageUnavailable."""
        try:
            await self.open()
            yield
        finally:
            await self.database.disconnect()


def _limits(settings: Settings) -> Limits:
    return Limits(round(settings.session_idle_minutes * 60_000), round(settings.session_max_days * 86_400_000))
