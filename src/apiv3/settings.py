"""All settings in one table: name, type, default, description. The environment takes precedence over `.env`."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from dotenv import dotenv_values
from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from apiv3.model import collections
from apiv3.security.addresses import is_loopback
from apiv3.security.secrets import SHORTEST_SECRET
from apiv3.setting_values import (
    SHORTEST_JWT_KEY,
    AccessLogFormat,
    ApiSecret,
    CollectionNames,
    DatabaseUrl,
    DaysByCollection,
    HubKey,
    JwtKey,
    Networks,
    Origins,
    PublicUrl,
    ScopesByName,
    Words,
)
from apiv3.storage import urls

ENV_FILE = ".env"
_AUTOPRUNE = "API3_AUTOPRUNE"
_PRUNE = f"{_AUTOPRUNE}_"
EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 (compared, not listened on)
"""A HOST that means every address of the machine -> an address at which this machine can reach it."""
_ASCENDING = (
    ("BG_LOW", "BG_TARGET_BOTTOM", "BG_TARGET_TOP", "BG_HIGH"),
    ("ALARM_TIMEAGO_WARN_MINS", "ALARM_TIMEAGO_URGENT_MINS"),
)


class SettingsError(ValueError):
    """A setting has an invalid value. The message is one sentence for the operator."""


class Settings(BaseSettings):
    """The table of settings. Each description says what is allowed; the documentation and error messages show it."""

    model_config = SettingsConfigDict(env_file=ENV_FILE, env_file_encoding="utf-8", extra="ignore", env_ignore_empty=True)

    host: str = Field("127.0.0.1", min_length=1, description="address to listen on")
    port: int = Field(8000, ge=0, le=65535, description="port to listen on, 0 to 65535 (0: any free port)")
    workers: int = Field(1, ge=1, le=64, description="number of server processes, 1 to 64")
    only: Literal["login", "api"] | None = Field(
        None, description="the half of the server that this process is, login or api; unset: both"
    )
    apiv3_data: Path = Field(Path("data"), description="directory for the SQLite file and the generated secrets")
    database_url: DatabaseUrl = Field(
        SecretStr(""),
        description="sqlite:///path/to/file or postgresql://user:password@host/name, special characters in user and password "
        "percent-encoded (/ as %2F); empty: SQLite in APIV3_DATA",
    )
    api_secret: ApiSecret | None = Field(
        None,
        description=f"secret from which access tokens are derived, at least {SHORTEST_SECRET} characters; "
        "unset: generated and kept in APIV3_DATA",
    )
    jwt_key: JwtKey | None = Field(
        None,
        description=f"key that signs JWTs, at least {SHORTEST_JWT_KEY} characters, no PEM or SSH key; "
        "unset: generated and kept in APIV3_DATA",
    )
    hub_key: HubKey | None = Field(
        None,
        description="private key by which devices recognize this server: 32 bytes in base64url; "
        "unset: generated and kept in APIV3_DATA",
    )
    device_message_days: int = Field(
        7,
        ge=1,
        le=365,
        description="days for which messages of devices are remembered, so that none is done twice, 1 to 365",
    )
    updates_valid_days: float = Field(
        7,
        gt=0,
        le=365,
        description="days for which devices accept software updates as they were signed: greater than 0, up to 365",
    )
    api_secret_enable: bool = Field(
        True, description="whether the header api-secret gives access to administration: true, false, on or off"
    )
    tls_cert: Path | None = Field(None, description="file with the TLS certificate chain (PEM); requires TLS_KEY")
    tls_key: Path | None = Field(None, description="file with the TLS private key (PEM); requires TLS_CERT")
    http_port: int | None = Field(
        None, ge=0, le=65535, description="additional port that redirects plain HTTP to HTTPS, 0 to 65535; requires TLS"
    )
    api3_security_enable: bool = Field(
        True, description="whether security is on; switch it off for debugging only: true, false, on or off"
    )
    api3_security_disabled_on_network: bool = Field(
        False, description="confirms that security is off although HOST is not a loopback address: true, false, on or off"
    )
    api3_time_skew_tolerance: float = Field(
        5, ge=0, le=1_000_000, description="minutes by which a client's clock may differ from the server's, 0 to 1000000"
    )
    api3_client_timestamp: Literal["required", "optional", "off"] = Field(
        "required", description="whether calls must carry the client's time: required, optional (checked when present) or off"
    )
    api3_require_https: bool = Field(True, description="whether plain HTTP from elsewhere is refused: true, false, on or off")
    trusted_proxies: Networks = Field(
        (), description="addresses or networks of proxies whose X-Forwarded-* headers are trusted, separated by commas"
    )
    api3_jwt_lifetime: int = Field(3600, ge=1, le=31_536_000, description="seconds for which a JWT is valid, 1 to 31536000")
    oauth_access_lifetime: int = Field(
        3600, ge=1, le=86_400, description="seconds for which an access token of OAuth2 is valid, 1 to 86400"
    )
    oauth_refresh_grace: int = Field(
        30,
        ge=0,
        le=3600,
        description="seconds for which a refresh token that was used gives the same tokens once more, 0 to 3600 (0: never)",
    )
    oauth_password_grant: bool = Field(
        False, description="whether applications made for it may send people's passwords: true, false, on or off"
    )
    oauth_scopes: ScopesByName = Field(
        {},
        description="scopes of OAuth2 as a JSON object: the name of each with a list of the permissions that it allows; "
        "empty: read, write and execute",
    )
    api3_max_limit: int = Field(1000, ge=1, le=100_000, description="largest number of documents in an answer, 1 to 100000")
    api3_max_body: int = Field(
        8_388_608, ge=1024, le=1_073_741_824, description="largest size of a request body in bytes, 1024 to 1073741824"
    )
    api3_max_bulk: int = Field(1000, ge=1, le=100_000, description="largest number of documents in a bulk request, 1 to 100000")
    api3_max_bulk_body: int = Field(
        16_777_216, ge=1024, le=1_073_741_824, description="largest size of a bulk request's body in bytes, 1024 to 1073741824"
    )
    api3_max_headers: int = Field(
        16_384, ge=1024, le=1_048_576, description="largest size of the request line and headers in bytes, 1024 to 1048576"
    )
    api3_request_timeout: float = Field(
        30,
        gt=0,
        le=3600,
        description="seconds that a client may take to send the headers, to send the body, to begin its next request or to "
        "read an answer: greater than 0, up to 3600",
    )
    api3_max_in_flight: int = Field(
        100, ge=1, le=100_000, description="largest number of concurrent requests of an address or a subject, 1 to 100000"
    )
    api3_max_connections: int = Field(
        256, ge=1, le=100_000, description="largest number of open connections from one address to one process, 1 to 100000"
    )
    api3_live_connections: int = Field(
        100, ge=1, le=100_000, description="largest number of live connections from one address to one process, 1 to 100000"
    )
    api3_live_ping_interval: float = Field(
        25, ge=1, le=300, description="seconds between two heartbeats on a live connection, 1 to 300"
    )
    api3_dedup_fallback_enabled: bool = Field(
        True, description="whether duplicates without an identifier are recognised by other fields: true, false, on or off"
    )
    api3_created_at_fallback_enabled: bool = Field(
        True, description="whether created_at is stored, and replaces a missing date: true, false, on or off"
    )
    api3_autoprune: DaysByCollection = Field(
        default_factory=dict,
        description="API3_AUTOPRUNE_<COLLECTION>: days after which its documents are removed, 0 to 36500 (0 or unset: never)",
    )
    api3_tombstone_days: int = Field(
        90, ge=1, le=36_500, description="days for which those who follow changes can learn of a permanent deletion, 1 to 36500"
    )
    api3_extra_collections: CollectionNames = Field(
        (),
        description="further collections, separated by commas: a lower-case letter, then lower-case letters, digits and _, "
        "at most 50 characters in all; no name of a route or of the six collections",
    )
    bg_high: int = Field(260, ge=40, le=1000, description="glucose in mg/dL above which an urgent alarm is raised, 40 to 1000")
    bg_target_top: int = Field(180, ge=40, le=1000, description="glucose in mg/dL above which a warning is raised, 40 to 1000")
    bg_target_bottom: int = Field(
        80, ge=40, le=1000, description="glucose in mg/dL below which a warning is raised, 40 to 1000"
    )
    bg_low: int = Field(55, ge=40, le=1000, description="glucose in mg/dL below which an urgent alarm is raised, 40 to 1000")
    alarm_timeago_warn_mins: float = Field(
        15, ge=1, le=10_080, description="age of the newest reading in minutes at which a warning is raised, 1 to 10080"
    )
    alarm_timeago_urgent_mins: float = Field(
        30, ge=1, le=10_080, description="age of the newest reading in minutes at which an urgent alarm is raised, 1 to 10080"
    )
    auth_default_roles: Words = Field((), description="roles of every subject, separated by commas, spaces or colons")
    auth_fail_delay: int = Field(
        5000, ge=0, le=60_000, description="ms by which each failed authentication delays the answer to the next, 0 to 60000"
    )
    public_url: PublicUrl = Field(
        "",
        description="URL under which people reach the server, for the links that it makes: http:// or https://, a host, "
        "optionally a port, and no path, since the server answers at the root of a host only; empty: the address to listen on",
    )
    password_rounds: int = Field(
        12, ge=4, le=16, description="cost of hashing a new password, 4 to 16; each step doubles the time"
    )
    session_idle_minutes: float = Field(
        10_080, gt=0, le=525_600, description="minutes without a use after which a session ends: greater than 0, up to 525600"
    )
    session_max_days: float = Field(
        30, gt=0, le=365, description="days after the sign-in after which a session ends: greater than 0, up to 365"
    )
    security_token_max_age: int = Field(
        21_600, ge=1, le=31_536_000, description="seconds for which a user token is valid, 1 to 31536000"
    )
    audit_days: int = Field(
        730, ge=100, le=36_500, description="days for which entries of the audit trail are kept, 100 to 36500"
    )
    cors_origins: Origins = Field(
        (),
        description="origins whose web pages may call the API, separated by commas: scheme://host or scheme://host:port each, "
        "or *; empty: none",
    )
    access_log: AccessLogFormat = Field(
        "auto", description="format of the access log: auto (text on a terminal, otherwise json), text, json or off"
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, _AutopruneSource(settings_cls), env_settings, dotenv_settings

    @property
    def database(self) -> str:
        """The URL of the database, password included."""
        return self.database_url.get_secret_value() or f"sqlite:///{self.apiv3_data / 'apiv3.sqlite'}"


class _AutopruneSource(PydanticBaseSettingsSource):
    """Collects API3_AUTOPRUNE_<COLLECTION>, whose names depend on the installation, in one setting."""

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        raise NotImplementedError

    def __call__(self) -> dict[str, Any]:
        given = {name.upper(): value for source in (_dotenv(), os.environ) for name, value in source.items() if value}
        days = {name[len(_PRUNE) :].lower(): value for name, value in given.items() if name.startswith(_PRUNE)}
        found = given.get(_AUTOPRUNE) or days  # the plain name is no setting; its value is no table, and is refused
        return {"api3_autoprune": found} if found else {}


def _dotenv() -> Mapping[str, str | None]:
    return dotenv_values(ENV_FILE, encoding="utf-8")


def load(**overrides: Any) -> Settings:
    """Read the settings. `overrides` (from the command line) take precedence over the environment. Raises SettingsError."""
    given = {name: value for name, value in overrides.items() if value is not None}
    try:
        settings = Settings(**given)
    except ValidationError as error:
        raise SettingsError(_sentence(error)) from None
    except (UnicodeDecodeError, OSError) as error:
        raise SettingsError(f"The file {ENV_FILE} cannot be read: {error}") from None
    return _checked(settings)


def _checked(settings: Settings) -> Settings:
    try:
        urls.check(settings.database)
    except urls.BadAddress as error:
        raise SettingsError(f"DATABASE_URL {error}.") from None
    known = collections.table(settings.api3_extra_collections)
    for name in settings.api3_autoprune:
        if name not in known:
            raise SettingsError(f"{_PRUNE}{name.upper()} names no collection; there are: {', '.join(known)}.")
    if (settings.tls_cert is None) != (settings.tls_key is None):
        missing = "TLS_KEY" if settings.tls_key is None else "TLS_CERT"
        raise SettingsError(f"{missing} is not set; TLS_CERT and TLS_KEY go together.")
    if settings.http_port is not None and settings.tls_cert is None:
        raise SettingsError("HTTP_PORT is only for a server with TLS; set TLS_CERT and TLS_KEY too, or leave it out.")
    for names in _ASCENDING:
        values = [getattr(settings, name.lower()) for name in names]
        if any(one >= other for one, other in pairwise(values)):
            shown = ", ".join(f"{name}={value:g}" for name, value in zip(names, values, strict=True))
            raise SettingsError(f"{shown}: each of them must be greater than the one before.")
    return settings


def _sentence(error: ValidationError) -> str:
    """Return a sentence about the first error: the setting, its value (except for secrets), and what is allowed."""
    first = error.errors()[0]
    name = str(first["loc"][0])
    field = Settings.model_fields[name]
    deeper = "_".join(str(part) for part in first["loc"][1:2]).upper() if name == "api3_autoprune" else ""
    shown = "" if "Secret" in str(field.annotation) else f" is {first['input']!r}, which"
    return f"{name.upper()}{'_' + deeper if deeper else ''}{shown or ' has a value that'} is not allowed: {field.description}."


def is_local(settings: Settings) -> bool:
    """Whether the server listens on a loopback address only."""
    return settings.host == "localhost" or is_loopback(settings.host)


def local_url(settings: Settings, port: int) -> str:
    """Return the URL at which this machine can reach the server of these settings."""
    host = EVERYWHERE.get(settings.host, settings.host)
    host = f"[{host}]" if ":" in host else host
    return f"{'https' if settings.tls_cert else 'http'}://{host}:{port}"


def public_url(settings: Settings) -> str:
    """Return the URL under which people reach the server: PUBLIC_URL, by default the address to listen on."""
    return settings.public_url or local_url(settings, settings.port)


def without_password(url: str) -> str:
    """Return a database URL without anything that can be part of a password, even if the URL is malformed."""
    if url.startswith("sqlite:"):
        return url
    masked = re.sub(r"://([^:@]*):.*@", r"://\1:***@", url, flags=re.DOTALL)
    return masked.partition("?")[0]
