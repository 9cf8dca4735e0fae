"""Software updates in tests: packages, servers that offer them, and devices that install them with the real apt."""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import os
import shutil
import ssl
import subprocess
import threading
import uuid
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import orjson
from cryptography import x509

from apiv3.client.updates import Updates
from apiv3.noise import KeyPair
from tests.support import commands, devices
from tests.support.installation import Installation
from tests.support.needs import do_without
from tests.support.server import LiveServer
from tests.support.tls import Pair, self_signed

_TOOLS = ("apt-get", "dpkg", "dpkg-deb", "dpkg-query")


def need_apt() -> None:
    """Do without the test where there is no apt, or where it may not install."""
    missing = [tool for tool in _TOOLS if shutil.which(tool) is None]
    if missing:
        do_without("apt", f"no {', '.join(missing)}: only Debian and its kin have them")
    if os.geteuid() != 0:
        do_without("apt", "dpkg installs for root only")


def local_pair(folder: Path) -> Pair:
    """A certificate for this machine."""
    folder.mkdir(exist_ok=True)
    return self_signed(folder, x509.IPAddress(ipaddress.ip_address("127.0.0.1")))


def tls(pair: Pair) -> tuple[str, ...]:
    """The arguments of a server with a certificate."""
    return ("--tls-cert", str(pair.certificate), "--tls-key", str(pair.key))


# --- packages


def new_name() -> str:
    """The name of a package that no other test has."""
    return f"package-{uuid.uuid4().hex[:12]}"


def deb(folder: Path, name: str, version: str, architecture: str = "all", **fields: str) -> Path:
    """A package with one file, `/opt/NAME`, that holds its version. `fields`: further ones of its control file."""
    tree = folder / uuid.uuid4().hex
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "opt").mkdir()
    (tree / "opt" / name).write_text(version)
    told = {"Package": name, "Version": version, "Architecture": architecture, "Maintainer": "A <a@x.example>", **fields}
    lines = [f"{key}: {value}\n" for key, value in {**told, "Description": "für Tests\n in two lines"}.items()]
    (tree / "DEBIAN" / "control").write_text("".join(lines), encoding="utf-8")
    file = folder / f"{uuid.uuid4().hex}.deb"
    subprocess.run(["dpkg-deb", "--build", "--root-owner-group", tree, file], check=True, capture_output=True)
    return file


def publish(installation: Installation, file: Path, *arguments: str) -> dict[str, Any]:
    """Publishes a package, and returns what the command says."""
    done = commands.here(installation, "update", "publish", str(file), "--json", *arguments)
    assert done.status == 0, done.errors
    said: dict[str, Any] = orjson.loads(done.output)
    return said


def refusal(installation: Installation, file: Path, *arguments: str) -> str:
    """The error of a publication that is refused."""
    done = commands.here(installation, "update", "publish", str(file), *arguments)
    assert done.status == 1, done.output
    return done.errors


def signing_key(installation: Installation) -> str:
    """The public key that signs the repository."""
    done = commands.here(installation, "update", "key")
    assert done.status == 0, done.errors
    return done.output


def repository(installation: Installation) -> Path:
    return installation.data / "updates"


def inrelease(installation: Installation) -> str:
    return (repository(installation) / "dists/stable/InRelease").read_text()


def digest(installation: Installation) -> str:
    return hashlib.sha256(inrelease(installation).encode()).hexdigest()


# --- devices


class Connection:
    """A device's connection to the hub, whose event loop runs while somebody waits for something."""

    def __init__(self, runner: asyncio.Runner, connection: devices.Connection) -> None:
        self._runner, self._connection = runner, connection

    def say(self, type: str, body: dict[str, Any]) -> dict[str, Any]:
        """Send a message, and return the body of the answer."""
        answer = self._runner.run(self._connection.ask(type, body))
        assert answer["type"] == "ack", answer
        said: dict[str, Any] = answer["body"]
        return said

    def offer(self, package: str) -> dict[str, Any]:
        """The next offer of a package."""
        offered = self._runner.run(self._connection.wait_for(lambda said: _offers(said, package)))
        body: dict[str, Any] = offered["body"]
        return body


def _offers(envelope: dict[str, Any], package: str) -> bool:
    return envelope["type"] == "update.offer" and bool(envelope["body"]["package"] == package)


class Device:
    """A device with a root of its own, in which apt installs."""

    def __init__(self, server: LiveServer, folder: Path, certificate: Path | None = None) -> None:
        self.server, self.root, self.state, self.certificate = server, folder / "root", folder / "updates", certificate
        self.keys, self.name = KeyPair.generate(), f"device-{uuid.uuid4().hex[:12]}"
        body = {"name": self.name, "roles": [], "notes": "", "public_key": devices.text(self.keys.public)}
        self.id: str = server.admin("POST", "/devices", body)["_id"]
        for place in ("var/lib/dpkg/updates", "var/lib/dpkg/info", "var/lib/dpkg/triggers", "var/log"):
            (self.root / place).mkdir(parents=True)
        (self.root / "var/lib/dpkg/status").touch()

    @contextmanager
    def connected(self) -> Iterator[Connection]:
        """A connection to the hub."""
        hub = KeyPair.of(devices.raw((self.server.installation.data / "hub_key").read_text().strip()))
        device = devices.Device(self.server, self.id, self.name, devices.text(hub.public), self.keys)
        with asyncio.Runner() as runner:
            stack = AsyncExitStack()
            try:
                yield Connection(runner, runner.run(stack.enter_async_context(device.connected())))
            finally:
                runner.run(stack.aclose())

    def offered(self, package: str) -> dict[str, Any]:
        """What the device is offered of a package when it connects."""
        with self.connected() as connection:
            return connection.offer(package)

    def renew_key(self) -> None:
        """Use a new key from the next connection on; the hub has asked for it."""
        new = KeyPair.generate()
        with self.connected() as connection:
            connection.say("key.new", {"public_key": devices.text(new.public)})
        self.keys = new

    def updates(self, *, url: str | None = None, certificate: Path | None = None, key: str | None = None) -> Updates:
        """What installs updates. By default all is as it should be: the server, its certificate, its signing key."""
        options = {"Acquire::https::CAInfo": str(certificate or self.certificate), "APT::Sandbox::User": "root"}
        pinned = signing_key(self.server.installation) if key is None else key
        return Updates(url or self.server.url, self.id, pinned, self.state, root=self.root, options=options)

    def has(self, name: str) -> str | None:
        """The version of a package that is installed, by the file that it has brought; None when there is none."""
        file = self.root / "opt" / name
        return file.read_text() if file.exists() else None


# --- other servers


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@contextmanager
def impostor(folder: Path, pair: Pair) -> Iterator[str]:
    """The URL of a server that gives the files of a repository to anybody."""
    (folder.parent / "site").mkdir()
    (folder.parent / "site" / "updates").symlink_to(folder)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder.parent / "site"))) as server:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair.certificate, pair.key)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"https://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
