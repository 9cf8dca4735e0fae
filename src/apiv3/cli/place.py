"""Find the installation that a command works on, or create one."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import click

from apiv3.settings import Settings, SettingsError, load, without_password


def here(*, makes: bool) -> Settings:
    """Return the settings of the installation here. If there is none, `makes` allows to create one, and a line says so.

    Otherwise raises SettingsError, so that a command in the wrong folder leaves nothing behind.
    """
    settings = load()
    check_file(settings)
    if not is_there(settings):
        if not makes:
            raise SettingsError(_absent(settings))
        click.echo(f"This makes a new installation in {_folder(settings)}, with its data in {location(settings)}", err=True)
    return settings


def is_there(settings: Settings) -> bool:
    """Whether there is an installation: with SQLite, its file; with PostgreSQL, which may be shared, the secrets here."""
    file = _file(settings)
    if file is not None:
        return file.exists()
    return settings.apiv3_data.exists() or None not in (settings.api_secret, settings.jwt_key)


def location(settings: Settings) -> str:
    """Return the database as shown to people: a file with its whole path, or a URL without its password."""
    file = _file(settings)
    return without_password(settings.database) if file is None else f"sqlite:///{file.absolute()}"


def described(settings: Settings) -> str:
    """Return the database as the beginning of a sentence: the setting DATABASE_URL, or the file if it is not set."""
    if settings.database_url.get_secret_value():
        return f"DATABASE_URL is {without_password(settings.database)!r}, which"
    return f"The database file {_file(settings)}"


def check_file(settings: Settings) -> None:
    """Raise SettingsError when this user may not read and write SQLite's file, or the folder with its write-ahead log."""
    file = _file(settings)
    for path, kind in () if file is None else ((file.absolute().parent, "folder"), (file.absolute(), "file")):
        needed = os.R_OK | os.W_OK | (os.X_OK if kind == "folder" else 0)
        if os.path.exists(path) and not os.access(path, needed):  # noqa: PTH110 (which raises where it may not look)
            raise SettingsError(
                f"{described(settings)} cannot be used: the {kind} {path} belongs to {_name(path.stat().st_uid)}, and this "
                f"program, which runs as {_name(os.geteuid())}, may not read and write it."
            )


def _name(uid: int) -> str:
    """Return a user's name, or the number if there is no name."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def _file(settings: Settings) -> Path | None:
    """Return SQLite's file; None for PostgreSQL."""
    kind, _, path = settings.database.partition(":///")
    return Path(path.partition("?")[0]) if kind == "sqlite" else None


def _folder(settings: Settings) -> Path:
    return settings.apiv3_data.absolute()


def _absent(settings: Settings) -> str:
    file = _file(settings)
    if settings.database_url.get_secret_value() and file is not None:
        return f"There is no installation with its data in {file.absolute()}, which is what DATABASE_URL says."
    return f"There is no installation in {_folder(settings)}; run it where the server is started, or set APIV3_DATA."
