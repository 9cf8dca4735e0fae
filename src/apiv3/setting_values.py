"""The types of the settings: how their texts are read, and which values are allowed. Validators raise ValueError."""

from __future__ import annotations

import ipaddress
import json
import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_settings import NoDecode

from apiv3.model import collections
from apiv3.security.addresses import Network
from apiv3.security.permissions import check_meant
from apiv3.security.secrets import SHORTEST_SECRET
from apiv3.storage import urls

SHORTEST_JWT_KEY = 32
"""The least number of characters of a key for HS256: 256 bits (RFC 7518, 3.2)."""
_HUB_KEY = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)
_ORIGIN = re.compile(r"\*|[a-z][a-z0-9+.-]*://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:\d{1,5})?", re.ASCII)
_SCOPE = re.compile(r"[A-Za-z0-9._/-]{1,100}", re.ASCII)
"""The name of a scope. One with a colon would be a permission."""
_PUBLIC_URL = re.compile(r"https?://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:\d{1,5})?/?", re.ASCII)


def check_api_secret(secret: str) -> None:
    """Raise ValueError for a secret that is too short."""
    if len(secret) < SHORTEST_SECRET:
        raise ValueError(f"less than {SHORTEST_SECRET} characters")


def check_jwt_key(key: str) -> None:
    """Raise ValueError for a key that is too short, and for an asymmetric key, which cannot sign with HS256."""
    if len(key) < SHORTEST_JWT_KEY:
        raise ValueError(f"less than {SHORTEST_JWT_KEY} characters")
    if any(mark in key for mark in ("-----BEGIN", "ssh-rsa")):
        raise ValueError("a PEM or SSH key")


def check_hub_key(key: str) -> None:
    """Raise ValueError unless a text is a private key of X25519: 32 bytes in base64url."""
    if not _HUB_KEY.fullmatch(key):
        raise ValueError("no 32 bytes in base64url, which are 43 characters")


def _api_secret(value: SecretStr) -> SecretStr:
    check_api_secret(value.get_secret_value())
    return value


def _jwt_key(value: SecretStr) -> SecretStr:
    check_jwt_key(value.get_secret_value())
    return value


def _hub_key(value: SecretStr) -> SecretStr:
    check_hub_key(value.get_secret_value())
    return value


def _words(value: object) -> object:
    """Split a text at commas, blanks and colons."""
    return tuple(re.findall(r"[^\s,:]+", value)) if isinstance(value, str) else value


def _comma_list(value: object) -> object:
    """Split a text at commas and blanks."""
    return tuple(re.findall(r"[^\s,]+", value)) if isinstance(value, str) else value


def _networks(value: object) -> object:
    if not isinstance(value, str):
        return value
    return tuple(ipaddress.ip_network(name, strict=False) for name in re.findall(r"[^\s,]+", value))


def _access_log(value: object) -> object:
    """Return a format; also for true and false, the values of this setting in earlier versions."""
    switch = str(value).lower()
    return "auto" if switch in {"true", "on", "yes", "1"} else "off" if switch in {"false", "no", "0"} else value


def _database_url(value: SecretStr) -> SecretStr:
    url = value.get_secret_value()
    if url and not urls.is_url(url):
        raise ValueError("no URL of a database")
    return SecretStr(re.sub("^postgres:", "postgresql:", url))


def _collection_names(value: tuple[str, ...]) -> tuple[str, ...]:
    collections.table(value)
    return value


def _origins(value: tuple[str, ...]) -> tuple[str, ...]:
    origins = tuple(origin.lower() for origin in value)  # as browsers write them
    if not all(map(_ORIGIN.fullmatch, origins)):
        raise ValueError("no origin")
    return origins


def _public_url(value: str) -> str:
    if value and not _PUBLIC_URL.fullmatch(value):
        raise ValueError("no URL of a server")
    return value.removesuffix("/")


def _scopes(value: object) -> object:
    """Read a JSON object whose values are lists. Raises ValueError for another text."""
    found = json.loads(value) if isinstance(value, str) else value
    if not isinstance(found, dict) or not all(isinstance(each, (list, tuple)) for each in found.values()):
        raise ValueError("no JSON object with lists")
    return found


def _known_scopes(value: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    for name, permissions in value.items():
        if _SCOPE.fullmatch(name) is None:
            raise ValueError("no name of a scope")
        for permission in permissions:
            check_meant(permission)
    return value


def _limited(value: dict[str, int]) -> dict[str, int]:
    """Leave out the collections whose documents are kept for ever."""
    return {name: days for name, days in value.items() if days}


CommaList = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_comma_list)]
Words = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_words)]
Networks = Annotated[tuple[Network, ...], NoDecode, BeforeValidator(_networks)]
CollectionNames = Annotated[CommaList, AfterValidator(_collection_names)]
Origins = Annotated[CommaList, AfterValidator(_origins)]
ApiSecret = Annotated[SecretStr, AfterValidator(_api_secret)]
JwtKey = Annotated[SecretStr, AfterValidator(_jwt_key)]
HubKey = Annotated[SecretStr, AfterValidator(_hub_key)]
DatabaseUrl = Annotated[SecretStr, AfterValidator(_database_url)]
PublicUrl = Annotated[str, AfterValidator(_public_url)]
ScopesByName = Annotated[dict[str, tuple[str, ...]], NoDecode, BeforeValidator(_scopes), AfterValidator(_known_scopes)]
AccessLogFormat = Annotated[Literal["auto", "text", "json", "off"], BeforeValidator(_access_log)]
DaysByCollection = Annotated[dict[str, Annotated[int, Field(ge=0, le=36_500)]], NoDecode, AfterValidator(_limited)]
