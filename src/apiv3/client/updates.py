"""Install software updates on a device: what the hub has offered, by apt, and nothing else.

apt verifies the signature, the dates and the digests of the repository. This module pins the key, asks apt for all of its
checks whatever the machine's own configuration says, and adds what apt cannot know: which version was offered, and in which
state of the repository. It works beside the machine's other sources, in a folder of its own, so that `apt upgrade` installs
nothing from the hub that was not offered.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

_FIELDS = {
    "package": re.compile(r"[a-z0-9][a-z0-9+.-]+"),
    "version": re.compile(r"(\d+:)?\d[A-Za-z0-9.+~-]*"),
    "suite": re.compile(r"[a-z0-9][a-z0-9.-]*"),
    "inrelease_sha256": re.compile(r"[0-9a-f]{64}"),
    "secret": re.compile(r"[A-Za-z0-9_-]{16,}"),
}
"""The fields of an offer that are used. They become arguments and lines of files, so nothing else may be in them."""
_SOURCE = """Types: deb
URIs: {url}
Suites: {suite}
Components: main
Signed-By: {key}
"""
_CHECKS = {
    "Acquire::AllowInsecureRepositories": "false",
    "Acquire::AllowWeakRepositories": "false",
    "Acquire::AllowDowngradeToInsecureRepositories": "false",
    "Acquire::Check-Date": "true",
    "Acquire::Check-Valid-Until": "true",
    "Acquire::https::Verify-Host": "true",
    "Acquire::https::Verify-Peer": "true",
    "APT::Get::AllowUnauthenticated": "false",
    "APT::Update::Error-Mode": "any",
}
"""What apt must check, although a machine may be configured otherwise, as container images often are."""
_OTHERS = {
    "Acquire::Languages": "none",
    "DPkg::Lock::Timeout": "120",
    "Dir::Cache::pkgcache": "",
    "Dir::Cache::srcpkgcache": "",
    "Dir::Etc::netrc": "/dev/null",
    "Dir::Etc::sourceparts": "/dev/null",
}
_PLANNED = re.compile(r"^(?:Inst|Remv) (\S+?)(?::\S+)? ", re.MULTILINE)
"""A line of a simulated installation that names a package to be installed or removed."""
_ENVIRONMENT = {"LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}


class _Done(NamedTuple):
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


class UpdateRefused(Exception):
    """The update was not installed: it is not what was offered, or cannot be trusted, or apt could not get it."""


class Updates:
    """Installs the updates that a hub offers.

    `url`: the hub's, with https. `device`: the device's id. `signing_key`: the public key to pin, as `apiv3 update key` prints
    it; it must reach the device by a way of its own. `folder`: for the configuration and state of apt. `root`: where packages
    are installed. `options`: further options of apt, such as `Acquire::https::CAInfo` for a certificate of your own.
    """

    def __init__(
        self,
        url: str,
        device: str,
        signing_key: str,
        folder: Path = Path("/var/lib/apiv3-updates"),
        *,
        root: Path = Path("/"),
        options: Mapping[str, str] | None = None,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme != "https" or not parts.hostname or "@" in parts.netloc:
            raise ValueError("updates are fetched from an URL with https, without a user")
        self._url, self._machine = f"https://{parts.netloc}/updates/", f"{parts.netloc}/updates/"
        self._device, self._signing_key, self._folder, self._root = device, signing_key, folder, root
        self._options = {**_OTHERS, **self._places(), **(options or {}), **_CHECKS}

    def install(self, offer: Mapping[str, Any]) -> bool:
        """Install what was offered; return False if the device has it already. Takes as long as apt does.

        `offer`: the body of an `update.offer`. Raises UpdateRefused; OSError when this is no Debian, or the folder cannot be
        written. Whatever happens, a later offer can be installed.
        """
        fields = {name: _field(offer, name, pattern) for name, pattern in _FIELDS.items()}
        package, version = fields["package"], fields["version"]
        installed = self._installed(package)
        if installed == version:
            return False
        if installed and _is_older(version, installed):
            raise UpdateRefused(f"{package} {version} is older than {installed}, which is installed")
        self._configure(fields)
        self._apt("update")
        if self._fetched() != fields["inrelease_sha256"]:
            raise UpdateRefused("the repository is not in the state that was offered")
        self._check_plan(package, self._apt("--simulate", "install", f"{package}={version}"))
        self._apt("install", f"{package}={version}")
        return True

    def _configure(self, offer: Mapping[str, str]) -> None:
        """Write the source, the pinned key and the secret, each in one step."""
        for name in ("auth.conf.d", "lists/partial", "archives/partial"):
            (self._folder / name).mkdir(parents=True, exist_ok=True)
        key = self._folder / "apiv3.asc"
        _write(key, self._signing_key, 0o644)
        _write(self._folder / "apiv3.sources", _SOURCE.format(url=self._url, suite=offer["suite"], key=key), 0o644)
        secret = f"machine {self._machine} login {self._device} password {offer['secret']}\n"
        _write(self._folder / "auth.conf.d" / "apiv3.conf", secret, 0o600)

    def _places(self) -> dict[str, str]:
        """Return the options that say where apt finds and keeps things."""
        places = {
            "Dir::Cache::archives": f"{self._folder}/archives/",
            "Dir::Etc::netrcparts": f"{self._folder}/auth.conf.d/",
            "Dir::Etc::sourcelist": f"{self._folder}/apiv3.sources",
            "Dir::State::lists": f"{self._folder}/lists/",
        }
        if self._root != Path("/"):
            places["Dir::State::status"] = str(self._dpkg / "status")
            places["Dir::State::extended_states"] = str(self._folder / "extended_states")
            places["Dir::Log"] = str(self._folder)
            places["DPkg::Options::"] = f"--root={self._root}"
        return places

    @property
    def _dpkg(self) -> Path:
        return self._root / "var/lib/dpkg"

    def _fetched(self) -> str | None:
        """Return the hex SHA-256 of the file InRelease that apt has accepted."""
        files = list((self._folder / "lists").glob("*_InRelease"))
        return hashlib.sha256(files[0].read_bytes()).hexdigest() if len(files) == 1 else None

    def _check_plan(self, package: str, plan: str) -> None:
        others = sorted(set(_PLANNED.findall(plan)) - {package})
        if others:
            raise UpdateRefused(f"{package} would change {', '.join(others)}, which was not offered")

    def _installed(self, package: str) -> str | None:
        """Return the version of an installed package, None when it is not installed."""
        shown = ("--showformat", "${db:Status-Status} ${Version}", "--show", package)
        done = _run(["dpkg-query", f"--admindir={self._dpkg}", *shown])
        status, _, version = done.stdout.partition(" ")
        return version if done.returncode == 0 and status == "installed" else None

    def _apt(self, *arguments: str) -> str:
        """Run apt-get and return its output. Raises UpdateRefused with what it says."""
        options = [text for name, value in self._options.items() for text in ("-o", f"{name}={value}")]
        done = _run(["apt-get", *options, "--assume-yes", "--no-install-recommends", "--no-remove", *arguments])
        if done.returncode != 0:
            raise UpdateRefused(f"apt-get {arguments[0]}: {done.stderr.strip()}")
        return done.stdout


def _field(offer: Mapping[str, Any], name: str, pattern: re.Pattern[str]) -> str:
    value = offer.get(name)
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise UpdateRefused(f"the offer has no valid {name}")
    return value


def _is_older(version: str, other: str) -> bool:
    return _run(["dpkg", "--compare-versions", version, "lt", other]).returncode == 0


def _run(command: Sequence[str]) -> _Done:
    paths = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"  # dpkg demands programs that stand there
    environment = {**os.environ, **_ENVIRONMENT, "PATH": paths}
    done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, check=False)  # noqa: S603
    return _Done(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))


def _write(path: Path, text: str, mode: int) -> None:
    """Replace a file in one step. Nobody else can read it before it has its mode."""
    draft = path.with_name(f".{path.name}")
    draft.unlink(missing_ok=True)
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    draft.chmod(mode)
    draft.replace(path)
