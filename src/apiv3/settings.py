"""All settings in one table: name, type, default, description. The environment takes precedence over `.env`."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

from dotenv import dotenv_values
from pydantic import BeforeValidator, Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from apiv3.model import collections
from apiv3.security.addresses import Network, is_loopback
from apiv3.security.secrets import SHORTEST_SECRET, keep
from apiv3.storage import urls

ENV_FILE = ".env"
_AUTOPRUNE = "API3_AUTOPRUNE"
_PRUNE = f"{_AUTOPRUNE}_"
_ORIGIN = re.compile(r"\*|[a-z][a-z0-9+.-]*://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:\d{1,5})?", re.ASCII)
_PUBLIC_URL = re.compile(r"https?://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:\d{1,5})?(/[A-Za-z0-9._~/-]*)?", re.ASCII)
_ASCENDING = (
    ("BG_LOW", "BG_TARGET_BOTTOM", "BG_TARGET_TOP", "BG_HIGH"),
    ("ALARM_TIMEAGO_WARN_MINS", "ALARM_TIMEAGO_URGENT_MINS"),
)
_SHORTEST = {"api_secret": SHORTEST_SECRET, "jwt_key": 32}


class SettingsError(ValueError):
    """A setting has an invalid value. The message is one sentence for the operator."""


def check_secret(name: str, secret: str) -> None:
    """Raise ValueError for a secret that is too short, and for an asymmetric key, which cannot sign with HS256."""
    if len(secret) < _SHORTEST[name]:
        raise ValueError(f"its file {name} holds less than {_SHORTEST[name]} characters")
    if name == "jwt_key" and any(mark in secret for mark in ("-----BEGIN", "ssh-rsa")):
        raise ValueError(f"its file {name} holds a PEM or SSH key")


def _words(value: object) -> object:
    """Split a text at commas, blanks and colons."""
    return tuple(re.findall(r"[^\s,:]+", value)) if isinstance(value, str) else value


def _comma_list(value: object) -> object:
    return tuple(part for part in re.split(r"[\s,]+", value) if part) if isinstance(value, str) else value


def _networks(value: object) -> object:
    if not isinstance(value, str):
        return value
    names = [name for name in re.split(r"[\s,]+", value) if name]
    return tuple(ipaddress.ip_network(name, strict=False) for name in names)


def _access_log(value: object) -> object:
    """Return a format; also for true and false, the values of this setting in earlier versions."""
    switch = str(value).lower()
    return "auto" if switch in {"true", "on", "yes", "1"} else "off" if switch in {"false", "no", "0"} else value


Words = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_words)]
CommaList = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_comma_list)]
Networks = Annotated[tuple[Network, ...], NoDecode, BeforeValidator(_networks)]
AccessLogFormat = Annotated[Literal["auto", "text", "json", "off"], BeforeValidator(_access_log)]


class Settings(BaseSettings):
    """The table of settings. Each description says what is allowed; the documentation and error messages show it."""

    model_config = SettingsConfigDict(env_file=ENV_FILE, env_file_encoding="utf-8", extra="ignore", env_ignore_empty=True)

    host: str = Field("127.0.0.1", min_length=1, description="address to listen on")
    port: int = Field(8000, ge=0, le=65535, description="port to listen on, 0 to 65535 (0: any free port)")
    workers: int = Field(1, ge=1, le=64, description="number of server processes, 1 to 64")
    apiv3_data: Path = Field(Path("data"), description="directory for the SQLite file and the generated secrets")
    database_url: SecretStr = Field(
        SecretStr(""),
        description="sqlite:///path/to/file or postgresql://user:password@host/name, special characters in user and password "
        "percent-encoded (/ as %2F); empty: SQLite in APIV3_DATA",
    )
    api_secret: SecretStr | None = Field(
        None,
        description=f"secret from which access tokens are derived, at least {SHORTEST_SECRET} characters; "
        "unset: generated and kept in APIV3_DATA",
    )
    jwt_key: SecretStr | None = Field(
        None,
        description="key that signs JWTs, at least 32 characters, no PEM or SSH key; unset: generated and kept in APIV3_DATA",
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
    api3_autoprune: Annotated[dict[str, Annotated[int, Field(ge=0, le=36_500)]], NoDecode] = Field(
        default_factory=dict,
        description="API3_AUTOPRUNE_<COLLECTION>: days after which its documents are removed, 0 to 36500 (0 or unset: never)",
    )
    api3_tombstone_days: int = Field(
        90, ge=1, le=36_500, description="days for which those who follow changes can learn of a permanent deletion, 1 to 36500"
    )
    api3_extra_collections: CommaList = Field(
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
    public_url: str = Field(
        "",
        description="URL under which people reach the server, for the links that it makes: http:// or https://, a host, "
        "optionally a port and a path; empty: the address to listen on",
    )
    password_rounds: int = Field(
        12, ge=4, le=16, description="cost of hashing a new password, 4 to 16; each step doubles the time"
    )
    security_token_max_age: int = Field(
        21_600, ge=1, le=31_536_000, description="seconds for which a user token is valid, 1 to 31536000"
    )
    cors_origins: CommaList = Field(
        (),
        description="origins whose web pages may call the API, separated by commas: scheme://host or scheme://host:port each, "
        "or *; empty: none",
    )
    access_log: AccessLogFormat = Field(
        "auto", description="format of the access log: auto (text on a terminal, otherwise json), text, json or off"
    )

    @field_validator("api_secret", "jwt_key")
    @classmethod
    def _good_secret(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if value is not None:
            check_secret(str(info.field_name), value.get_secret_value())
        return value

    @field_validator("database_url")
    @classmethod
    def _known_database(cls, value: SecretStr) -> SecretStr:
        url = value.get_secret_value()
        if url and not urls.is_url(url):
            raise ValueError("no URL of a database")
        return SecretStr(re.sub("^postgres:", "postgresql:", url))

    @field_validator("api3_extra_collections")
    @classmethod
    def _good_names(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        collections.table(value)
        return value

    @field_validator("cors_origins")
    @classmethod
    def _good_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        origins = tuple(origin.lower() for origin in value)  # as browsers write them
        if not all(map(_ORIGIN.fullmatch, origins)):
            raise ValueError("no origin")
        return origins

    @field_validator("public_url")
    @classmethod
    def _good_public_url(cls, value: str) -> str:
        if value and not _PUBLIC_URL.fullmatch(value):
            raise ValueError("no URL of a server")
        return value.rstrip("/")

    @field_validator("api3_autoprune")
    @classmethod
    def _not_for_ever(cls, value: dict[str, int]) -> dict[str, int]:
        return {name: days for name, days in value.items() if days}

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


def provision(settings: Settings, names: Sequence[str] = tuple(_SHORTEST)) -> Settings:
    """Return the settings with their secrets: read those that are not set from APIV3_DATA, or generate them there.

    `names`: the secrets; by default all. Raises SettingsError when the directory or a file in it cannot be used.
    """
    make_folder(settings)
    try:
        missing = [name for name in names if getattr(settings, name) is None]
        kept = {name: keep(settings.apiv3_data / name) for name in missing}
        for name, secret in kept.items():
            check_secret(name, secret)
        return settings.model_copy(update={name: SecretStr(secret) for name, secret in kept.items()})
    except (OSError, ValueError) as error:
        raise _unusable(settings, error) from None


def make_folder(settings: Settings) -> None:
    """Create the directory APIV3_DATA, accessible only to its owner. Raises SettingsError."""
    try:
        settings.apiv3_data.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise _unusable(settings, error) from None


def _unusable(settings: Settings, error: Exception) -> SettingsError:
    return SettingsError(f"APIV3_DATA is {str(settings.apiv3_data)!r}, which cannot be used: {error}.")


def is_lacking(settings: Settings) -> bool:
    """Whether API_SECRET is neither set nor stored, so that `provision` would generate it."""
    return settings.api_secret is None and not (settings.apiv3_data / "api_secret").exists()


def secret_missing(settings: Settings) -> SettingsError:
    """Return the error for a lost API_SECRET, without which access tokens cannot be computed."""
    return SettingsError(
        f"The file {settings.apiv3_data / 'api_secret'}, on which all access tokens depend, is missing: restore it from a "
        "backup, or set API_SECRET (to a new value, if all tokens shall change); a new installation gets it at the first start "
        "of `apiv3 serve`."
    )


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


def without_password(url: str) -> str:
    """Return a database URL without anything that can be part of a password, even if the URL is malformed."""
    if url.startswith("sqlite:"):
        return url
    masked = re.sub(r"://([^:@]*):.*@", r"://\1:***@", url, flags=re.DOTALL)
    return masked.partition("?")[0]


def revealed(secret: SecretStr | None) -> str:
    """Return the text of a secret. Raises RuntimeError when `provision` has not been called."""
    if secret is None:
        raise RuntimeError("the settings were not provisioned with secrets")
    return secret.get_secret_value()
