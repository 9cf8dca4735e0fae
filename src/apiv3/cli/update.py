"""`apiv3 update`: publish software updates for devices."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from apiv3.cli.groups import Group
from apiv3.cli.installation import run
from apiv3.cli.options import as_json, show
from apiv3.installation import Installation
from apiv3.security.authors import OPERATOR
from apiv3.settings import SettingsError

T = TypeVar("T")


@click.group(cls=Group)
def update() -> None:
    """Publish software updates for devices (docs/how-to/update-devices.md)."""


def _run(work: Callable[[Installation], Awaitable[T]]) -> T:
    """Run work that needs the extra. What is wrong with the repository becomes one sentence."""
    try:
        return run(work)
    except ImportError as error:
        raise click.ClickException("Software updates need the extra apiv3[updates]: pip install 'apiv3[updates]'") from error
    except SettingsError:
        raise
    except (OSError, ValueError) as error:
        raise click.ClickException(f"The repository cannot be used: {error}") from error


async def _devices(installation: Installation, names: Sequence[str]) -> list[str]:
    """Return the ids of the devices with these names or ids. Raises ClickException."""
    there = await installation.device_table.all()
    known = {text: each.device.id for each in there for text in (each.subject.name, each.device.id)}
    for name in names:
        if name not in known:
            raise click.ClickException(f"There is no device {name!r}; `apiv3 device list` shows them all.")
    return [known[name] for name in names]


@update.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--device", "devices", multiple=True, metavar="NAME", help="Who gets it; may be repeated. Default: all devices.")
@as_json
def publish(file: Path, devices: tuple[str, ...], as_json: bool) -> None:
    """Publish a Debian package, and offer it to devices. FILE is a .deb.

    Devices that are connected hear of it within a second, others when they connect.

    \b
    apiv3 update publish uploader_1.2_arm64.deb --device kitchen
    """

    async def work(installation: Installation) -> dict[str, Any]:
        ids = await _devices(installation, devices)
        package = await installation.publisher().publish(file, ids, OPERATOR)
        record = {"package": package.name, "version": package.version, "architecture": package.architecture}
        return record | {"devices": list(devices) or ["all"]}

    show(_run(work), as_json)


@update.command("list")
@as_json
def list_(as_json: bool) -> None:
    """List the packages that are published.

    \b
    apiv3 update list
    """

    async def work(installation: Installation) -> list[dict[str, Any]]:
        packages = installation.publisher().packages()
        return [
            {"package": each.name, "version": each.version, "architecture": each.architecture, "sha256": each.digest}
            for each in packages
        ]

    show(_run(work), as_json)


@update.command()
def key() -> None:
    """Print the public key that signs the repository, which devices pin.

    \b
    apiv3 update key > apiv3-updates.asc
    """

    async def work(installation: Installation) -> str:
        return installation.publisher().key.public

    click.echo(_run(work), nl=False)
