"""The directory APIV3_DATA, and the secrets in it: create them, read them, and say which are missing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from pydantic import SecretStr

from apiv3.security.secrets import keep
from apiv3.setting_values import check_api_secret, check_hub_key, check_jwt_key
from apiv3.settings import Settings, SettingsError

_CHECKS: Mapping[str, Callable[[str], None]] = {
    "api_secret": check_api_secret,
    "jwt_key": check_jwt_key,
    "hub_key": check_hub_key,
}


def provision(settings: Settings, names: Sequence[str] = tuple(_CHECKS)) -> Settings:
    """Return the settings with their secrets: read those that are not set from APIV3_DATA, or generate them there.

    `names`: the secrets; by default all. Raises SettingsError when the directory or a file in it cannot be used.
    """
    make_folder(settings)
    try:
        missing = [name for name in names if getattr(settings, name) is None]
        kept = {name: keep(settings.apiv3_data / name) for name in missing}
        for name, secret in kept.items():
            _check(name, secret)
        return settings.model_copy(update={name: SecretStr(secret) for name, secret in kept.items()})
    except (OSError, ValueError) as error:
        raise _unusable(settings, error) from None


def needed(settings: Settings) -> Sequence[str]:
    """Return the names of the secrets that a server with these settings needs: the half for logins speaks with no device."""
    return tuple(name for name in _CHECKS if name != "hub_key" or settings.only != "login")


def make_folder(settings: Settings) -> None:
    """Create the directory APIV3_DATA, accessible only to its owner. Raises SettingsError."""
    try:
        settings.apiv3_data.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise _unusable(settings, error) from None


def _check(name: str, secret: str) -> None:
    try:
        _CHECKS[name](secret)
    except ValueError as error:
        raise ValueError(f"its file {name} holds {error}") from None


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


def revealed(secret: SecretStr | None) -> str:
    """Return the text of a secret. Raises RuntimeError when `provision` has not been called."""
    if secret is None:
        raise RuntimeError("the settings were not provisioned with secrets")
    return secret.get_secret_value()
