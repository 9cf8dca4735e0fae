"""The checks of `apiv3 serve` before it serves requests: exposure to the network, certificates, secrets, the clock."""

from __future__ import annotations

import ipaddress
import logging
import ssl
from collections.abc import Sequence

from apiv3.model import timestamps
from apiv3.model.identity import BUILT_IN_ROLES, Subject
from apiv3.provisioning import revealed
from apiv3.security import advice
from apiv3.security.addresses import Network
from apiv3.security.permissions import Demand, Permission
from apiv3.security.policy import Snapshot
from apiv3.security.strength import weakness
from apiv3.settings import Settings, SettingsError, is_local
from apiv3.storage import urls

RELEASED = 1_767_225_600_000
"""The beginning of 2026, in ms. A correct clock cannot be before it, since this version was released later."""
_HOUR = 3_600_000
"""Milliseconds by which the greatest `srvModified` may be ahead of the clock. An import gives each document another one, a
millisecond apart, so it can run ahead of the clock."""
_MANAGES = Permission.parse("admin:api:subjects:update")
_PRIVATE = ipaddress.IPv6Network("fc00::/7")
_log = logging.getLogger("apiv3")

_NO_SECURITY = """SECURITY IS SWITCHED OFF
******************************************************************************
API3_SECURITY_ENABLE is false: whoever reaches this server can read, change and
delete everything. This is for debugging; never run it so with real data.
******************************************************************************"""

_WRONG_CLOCK = """THE CLOCK OF THIS MACHINE IS WRONG
******************************************************************************
It says {now}, but {reason}.
Until it is right, apps are refused with 401 "Date header out of tolerance",
and what is stored gets wrong times. Set it, or wait for NTP; no restart is needed.
******************************************************************************"""


def check_exposure(settings: Settings) -> None:
    """With security switched off: log a warning, and raise SettingsError unless a second setting allows the network."""
    if settings.api3_security_enable:
        return
    if not is_local(settings) and not settings.api3_security_disabled_on_network:
        raise SettingsError(
            f"API3_SECURITY_ENABLE is false, so everybody who reaches HOST {settings.host} could read and change everything; "
            "listen on 127.0.0.1, or set API3_SECURITY_DISABLED_ON_NETWORK=true too if you really mean it."
        )
    _log.warning(_NO_SECURITY)


def check_reach(settings: Settings) -> None:
    """Warn when the server listens to the network, but would refuse all callers there."""
    demands_tls = settings.api3_security_enable and settings.api3_require_https
    if demands_tls and not (is_local(settings) or settings.tls_cert or settings.trusted_proxies):
        _log.warning(
            "HOST is %s, but callers from other machines get 403 `Not using SSL/TLS`: set --tls-cert and --tls-key, or "
            "TRUSTED_PROXIES where a proxy speaks TLS, or API3_REQUIRE_HTTPS=false where the network is encrypted",
            settings.host,
        )


def check_tls(settings: Settings) -> None:
    """Raise SettingsError when the certificate and its key cannot be used."""
    if settings.tls_cert is None or settings.tls_key is None:
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(settings.tls_cert, settings.tls_key)
    except (OSError, ssl.SSLError) as error:
        files = f"TLS_CERT is {str(settings.tls_cert)!r} and TLS_KEY is {str(settings.tls_key)!r}"
        raise SettingsError(f"{files}, which cannot be used: {error}.") from error


def check_secrets(settings: Settings) -> None:
    """Warn when API_SECRET or JWT_KEY could be guessed: with either of them anybody can make tokens."""
    for name in ("api_secret", "jwt_key"):
        reason = weakness(revealed(getattr(settings, name)))
        if reason is not None:
            _log.warning(
                "%s is weak: it %s. Whoever guesses it may do everything. Set a long random one, such as `openssl rand "
                "-hex 32` prints; %s change with it",
                name.upper(),
                reason,
                "all access tokens" if name == "api_secret" else "all JWTs",
            )


def check_default_roles(settings: Settings, policy: Snapshot) -> None:
    """Warn when AUTH_DEFAULT_ROLES lets every subject manage subjects and roles, and thereby do everything."""
    if policy.principal(Subject("", "", ())).holds(_MANAGES):
        names = ", ".join(settings.auth_default_roles)
        _log.warning("AUTH_DEFAULT_ROLES is %r: every subject may do everything, and every token is an administrator's", names)


def check_roles(policy: Snapshot, demands: Sequence[Demand]) -> None:
    """Warn of permissions that match nothing, in roles that were stored before anybody looked, or by another version."""
    stored = [role for role in policy.roles.values() if role not in BUILT_IN_ROLES]
    for sentence in advice.on_stored_roles(stored, demands):
        _log.warning(sentence)


def check_proxies(settings: Settings) -> None:
    """Warn when TRUSTED_PROXIES contains addresses of other owners, or is set without the URL that people open."""
    if settings.trusted_proxies and not settings.public_url:
        _log.warning(
            "TRUSTED_PROXIES is set, but PUBLIC_URL is not: links lead past the proxies to HOST and PORT, and passkeys do not "
            "work. Set PUBLIC_URL to the URL that people open"
        )
    for network in filter(_is_vast, settings.trusted_proxies):
        _log.warning(
            "TRUSTED_PROXIES has %s, in which strangers are: each of them is believed about its address and about TLS, so that "
            "plain HTTP is answered and no limit for one address holds. Name the addresses of your own proxies",
            network,
        )


def _is_vast(network: Network) -> bool:
    """Whether a network is larger than any that belongs to one owner; fc00::/7 is for private use (RFC 4193)."""
    if isinstance(network, ipaddress.IPv4Network):
        return network.prefixlen < 8
    if network.network_address.ipv4_mapped is not None:
        return network.prefixlen < 96 + 8
    return network.prefixlen < 16 and not network.subnet_of(_PRIVATE)


def check_database(settings: Settings) -> None:
    """Warn when DATABASE_URL requires something that the driver does not support."""
    if not settings.database.startswith("sqlite:") and urls.read(settings.database).binds:
        _log.warning(
            "DATABASE_URL says channel_binding=require, which is not supported: nothing binds the password to the encryption; "
            "sslmode=verify-full keeps others out just as well"
        )


def check_clock(last_tick: int) -> None:
    """Warn when the machine's clock must be wrong. `last_tick`: the greatest `srvModified` in the database, in ms."""
    now = timestamps.now()
    if now < RELEASED:
        reason = f"this version was made after {timestamps.iso(RELEASED)}"
    elif now < last_tick - _HOUR:
        reason = f"the newest document was stored at {timestamps.iso(last_tick)}"
    else:
        return
    _log.warning(_WRONG_CLOCK.format(now=timestamps.iso(now), reason=reason))
