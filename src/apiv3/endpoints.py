"""Build the endpoints from the parts of a server process, and the table of routes that leads to them."""

from __future__ import annotations

from collections.abc import Sequence

from apiv3.model.clients import DEVICE_CODE
from apiv3.operations.bulk import Bulk
from apiv3.operations.reading import Reading
from apiv3.parts import Parts
from apiv3.provisioning import revealed
from apiv3.security.accounts.first_invitation import FirstInvitation
from apiv3.security.accounts.sign_in import SignIn
from apiv3.security.devices.enrolment import Enrolment
from apiv3.security.oauth2.authentication import ClientAuthentication, Registry
from apiv3.security.oauth2.authorization import Authorization as OAuth2Authorization
from apiv3.security.oauth2.grants.authorization_code import AuthorizationCodeGrant
from apiv3.security.oauth2.grants.client_credentials import ClientCredentialsGrant
from apiv3.security.oauth2.grants.device_code import DeviceCodeGrant
from apiv3.security.oauth2.grants.grant import TokenGrant
from apiv3.security.oauth2.grants.password import PasswordGrant
from apiv3.security.oauth2.grants.refresh_token import RefreshTokenGrant
from apiv3.security.oauth2.token_endpoint import TokenEndpoint, TokenInspection
from apiv3.settings import Settings, public_url
from apiv3.storage.failures import FailureTable
from apiv3.web.administration import Authorization, Roles, Subjects
from apiv3.web.clients import ClientEndpoints
from apiv3.web.devices import DeviceEndpoints
from apiv3.web.documents import Documents
from apiv3.web.events import Events
from apiv3.web.halves import serving
from apiv3.web.hub import SLOWEST_PING, HubEndpoints
from apiv3.web.logins import Logins
from apiv3.web.oauth2 import OAuth2
from apiv3.web.openapi.document import describe
from apiv3.web.operation import Bounds
from apiv3.web.people import People
from apiv3.web.router import Route
from apiv3.web.routes import routes
from apiv3.web.service import Service
from apiv3.web.site.account import AccountPage
from apiv3.web.site.admin.checks import CheckPage
from apiv3.web.site.admin.clients import ClientPages
from apiv3.web.site.admin.devices import DevicePages
from apiv3.web.site.admin.pages import AdminPages
from apiv3.web.site.admin.roles import RolePages
from apiv3.web.site.admin.sessions import SessionPages
from apiv3.web.site.admin.state import StatePage
from apiv3.web.site.admin.subjects import SubjectPages
from apiv3.web.site.admin.trail import TrailPages
from apiv3.web.site.admin.users import UserPages
from apiv3.web.site.applications import ApplicationPages
from apiv3.web.site.checklist import Checklist
from apiv3.web.site.consent import Consent
from apiv3.web.site.device import DevicePages as DeviceCodePages
from apiv3.web.site.explorer import Explorer
from apiv3.web.site.first_invitation import FirstInvitationPage
from apiv3.web.site.forms import Forms
from apiv3.web.site.front import Front
from apiv3.web.site.invitation import Invitation
from apiv3.web.site.login import Login
from apiv3.web.site.passkey_list import PasskeyList
from apiv3.web.site.passkeys import PasskeyPages
from apiv3.web.site.scope_words import ScopeWords
from apiv3.web.site.static import StaticFiles
from apiv3.web.socketio import SocketIo
from apiv3.web.updates import Updates
from apiv3.web.users import Users


def table(parts: Parts) -> Sequence[Route]:
    """Return the routes of a server, or of its half, with their endpoints."""
    settings, installation, limits = parts.settings, parts.installation, parts.limits
    documents, kinds, administration = installation.documents, installation.collections, installation.administration
    reading, writing, bulk = Reading(documents, kinds), installation.writing, Bulk(installation.writing)
    accounts, logins = installation.accounts, installation.logins
    sign_in, forms, most = _sign_in(parts), Forms(parts.nonces), settings.api3_max_limit
    listed, login = PasskeyList(parts.passkeys, forms), Login(accounts, sign_in, logins, forms, parts.passkeys.party)
    account = AccountPage(accounts, sign_in, logins, forms, listed)
    authorization, words = _authorization(parts), ScopeWords(installation.scopes, installation.demands)
    consent = Consent(authorization, installation.policies, words, forms, public_url(settings))
    scopes, made = installation.scopes, list[Route]()
    made += routes(
        Service(reading, documents),
        {name: Documents(kind, reading, writing, bulk, limits, most) for name, kind in kinds.items()},
        Events(parts.feed, kinds, parts.rights),
        Logins(parts.logins, parts.rights),
        Authorization(parts.authenticator, installation.policies, parts.tokens, installation.demands, logins),
        Subjects(administration, installation.policies, limits, shows_tokens=settings.api3_security_enable),
        Roles(administration, installation.policies, limits, installation.demands),
        Users(accounts, limits),
        ClientEndpoints(installation.clients, limits),
        DeviceEndpoints(installation.devices, limits),
        _hub(parts),
        Updates(installation.updates),
        _oauth2(parts, sign_in),
        consent,
        ApplicationPages(authorization, installation.clients, installation.policies, words, forms),
        DeviceCodePages(_devices(parts), authorization, installation.policies, parts.throttle, consent, forms),
        People(sign_in, logins, parts.user_tokens, limits),
        _live(parts),
        Explorer(lambda: describe(_described(made), kinds, _bounds(settings), scopes), lambda: made, scopes),
        Front(reading, kinds, parts.thresholds, _checklist(parts)),
        login,
        Invitation(accounts, forms, listed),
        FirstInvitationPage(FirstInvitation(revealed(settings.jwt_key), accounts), forms),
        account,
        PasskeyPages(parts.passkeys, accounts, sign_in, logins, login, account),
        _admin_pages(parts, forms),
        StaticFiles(),
    )
    made[:] = serving(settings.only, made)
    return made


def _described(table: Sequence[Route]) -> Sequence[Route]:
    """Return the routes of the API that OpenAPI has words for: neither pages for people nor websockets."""
    return [route for route in table if route.path.startswith("/api/") and route.talk is None]


def _bounds(settings: Settings) -> Bounds:
    return Bounds(
        settings.api3_max_limit,
        settings.api3_max_body,
        settings.api3_max_bulk,
        settings.api3_max_bulk_body,
        settings.api3_time_skew_tolerance,
        settings.api3_created_at_fallback_enabled,
    )


def _sign_in(parts: Parts) -> SignIn:
    installation = parts.installation
    failures, delay = FailureTable(installation.database), parts.settings.auth_fail_delay
    return SignIn(installation.account_table, failures, installation.passwords, parts.passkeys, delay)


def _registry(parts: Parts) -> Registry:
    settings, installation = parts.settings, parts.installation
    return Registry(installation.client_table, public_url(settings), tuple(sorted(installation.scopes.named)))


def _authorization(parts: Parts) -> OAuth2Authorization:
    installation = parts.installation
    return OAuth2Authorization(installation.grant_table, _registry(parts), installation.scopes, installation.access_tokens)


def _devices(parts: Parts) -> DeviceCodeGrant:
    installation = parts.installation
    key = revealed(parts.settings.jwt_key)
    return DeviceCodeGrant(installation.grant_table, installation.scopes, installation.policies, installation.issuer, key)


def _oauth2(parts: Parts, sign_in: SignIn) -> OAuth2:
    settings, installation = parts.settings, parts.installation
    store, tokens, scopes = installation.grant_table, installation.access_tokens, installation.scopes
    policies, issuer = installation.policies, installation.issuer
    devices = _devices(parts)
    grants: dict[str, TokenGrant] = {
        "authorization_code": AuthorizationCodeGrant(tokens, policies, issuer),
        "client_credentials": ClientCredentialsGrant(scopes, issuer),
        "refresh_token": RefreshTokenGrant(tokens, scopes, policies, issuer, revealed(settings.jwt_key)),
        DEVICE_CODE: devices,
    }
    if settings.oauth_password_grant:
        grants["password"] = PasswordGrant(scopes, sign_in, issuer)
    return OAuth2(
        ClientAuthentication(_registry(parts), parts.throttle),
        TokenEndpoint(grants),
        TokenInspection(store, tokens, policies, public_url(settings)),
        devices,
        scopes,
        parts.limits,
        public_url(settings),
    )


def _hub(parts: Parts) -> HubEndpoints | None:
    if parts.hub is None:
        return None
    enrolment = Enrolment(parts.installation.device_table, parts.throttle)
    ping = min(parts.settings.api3_live_ping_interval, SLOWEST_PING)
    return HubEndpoints(parts.hub, enrolment, parts.commands, parts.ledger.live, parts.limits, ping)


def _live(parts: Parts) -> SocketIo:
    settings, ledger = parts.settings, parts.ledger
    patience = settings.api3_request_timeout
    return SocketIo(parts.engine, parts.workers, settings.cors_origins, ledger.live, patience, ledger.bodies)


def _checklist(parts: Parts) -> Checklist:
    settings, policies = parts.settings, parts.installation.policies
    reachable = settings.tls_cert is not None or settings.public_url.startswith("https://")
    return Checklist(lambda: policies.current, parts.installation.inspection.last_backup, is_reachable=reachable)


def _admin_pages(parts: Parts, forms: Forms) -> AdminPages:
    installation = parts.installation
    administration, policies, accounts = installation.administration, installation.policies, installation.accounts
    return AdminPages(
        SubjectPages(administration, policies, forms, shows_tokens=parts.settings.api3_security_enable),
        ClientPages(installation.clients, policies, installation.scopes, forms),
        DevicePages(installation.devices, parts.commands, policies, forms),
        RolePages(administration, policies, installation.demands, forms),
        CheckPage(policies, installation.demands),
        UserPages(accounts, policies, forms, public_url(parts.settings)),
        SessionPages(accounts, forms),
        TrailPages(installation.trail),
        StatePage(installation.inspection),
    )
