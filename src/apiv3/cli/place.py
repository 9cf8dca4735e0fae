"""Where the commands find their installation, and which of them may make one."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import click

from apiv3.settings import Settings, SettingsError, load, without_password

EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 (compared, not listened on)
"""A HOST that means every address of the machine, and the one at which it can be opened there."""


def here(*, makes: bool) -> Settings:
    """The settings of the installation here. Where there is none, one is made if `makes`, and that is said.

    Raises SettingsError where there is none, so that a command in the wrong folder leaves nothing behind.
    """
    settings = load()
    check_file(settings)
    if not is_there(settings):
        if not makes:
            raise SettingsError(_absent(settings))
        click.echo(f"This makes a new installation in {_folder(settings)}, with its data in {location(settings)}", err=True)
    return settings


def is_there(settings: Settings) -> bool:
    """On SQLite the file tells. A PostgreSQL may be shared, so there it is the secrets that belong to this place."""
    file = _file(settings)
    if file is not None:
        return file.exists()
    return settings.apiv3_data.exists() or None not in (settings.api_secret, settings.jwt_key)


def location(settings: Settings) -> str:
    """The database, to show: a file by its whole path, an address without its password."""
    file = _file(settings)
    return without_password(settings.database) if file is None else f"sqlite:///{file.absolute()}"


def described(settings: Settings) -> str:
    """The database as the beginning of a sentence: by the setting, or by its file where nobody has set that."""
    if settings.database_url.get_secret_value():
        return f"DATABASE_URL is {without_password(settings.database)!r}, which"
    return f"The database file {_file(settings)}"


def check_file(settings: Settings) -> None:
    """Raises SettingsError where SQLite's file, or the folder in which it keeps its log, may not be written to."""
    file = _file(settings)
    for path, kind in () if file is None else ((file.absolute().parent, "folder"), (file.absolute(), "file")):
        needed = os.R_OK | os.W_OK | (os.X_OK if kind == "folder" else 0)
        if os.path.exists(path) and not os.access(path, needed):  # noqa: PTH110 (which raises where it may not look)
            raise SettingsError(
                f"{described(settings)} cannot be used: the {kind} {path} belongs to {_name(path.stat().st_uid)}, and this "
                f"program, which runs as {_name(os.geteuid())}, may not read and write it."
            )


def _name(uid: int) -> str:
    """A user's name, or number where there is none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def local_url(settings: Settings, port: int) -> str:
    """Where the server of these settings can be reached from its own machine."""
    host = EVERYWHERE.get(settings.host, settings.host)
    host = f"[{host}]" if ":" in host else host
    return f"{'https' if settings.tls_cert else 'http'}://{host}:{port}"


def _file(settings: Settings) -> Path | None:
    """SQLite's file."""
    kind, _, path = settings.database.partition(":///")
    return Path(path.partition("?")[0]) if kind == "sqlite" else None


def _folder(settings: Settings) -> Path:
    return settings.apiv3_data.absolute()


def _absent(settings: Settings) -> str:
    file = _file(settings)
    if settings.database_url.get_secret_value() and file is not None:
        return f"There is no installation with its data in {file.absolute()}, which is what DATABASE_URL says."
    return f"There is no installation in {_folder(settings)}; run it where the server is started, or set APIV3_DATA."
