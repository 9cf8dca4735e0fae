"""The folder of a device: its keys, and which hub it belongs to. Nobody else can read it.

`device.json` names the hub and the device; `key` holds its private key; `key.new` the next one, from the moment when the hub
asks for it until the hub has accepted it. Files are replaced whole, so that a power cut leaves the old or the new one.
"""

from __future__ import annotations

import json
import os
from base64 import urlsafe_b64decode, urlsafe_b64encode
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from apiv3.client.devices.errors import NotEnrolled
from apiv3.noise import KeyPair, NoiseError, check_public


class Hub(NamedTuple):
    """The hub of a device. `url`: its address; `key`: its public key; `device`: the id that it knows the device by."""

    url: str
    key: bytes
    device: str


class Folder:
    """A folder with the keys of one device."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def database(self) -> Path:
        """The file of what waits to be sent."""
        return self.path / "buffer.db"

    def make(self) -> None:
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)

    def hub(self) -> Hub:
        """Return the hub that the device belongs to. Raises NotEnrolled."""
        try:
            told = json.loads((self.path / "device.json").read_text())
            return Hub(told["url"], key_of(told["hub_key"]), told["device"])
        except (FileNotFoundError, NotADirectoryError):
            raise NotEnrolled(self.path) from None

    def belong_to(self, hub: Hub) -> None:
        told = {"url": hub.url, "hub_key": text_of(hub.key), "device": hub.device}
        self._write("device.json", json.dumps(told).encode())

    def leave(self) -> None:
        """Forget the hub. The key stays, for the next attempt."""
        (self.path / "device.json").unlink(missing_ok=True)

    def keys(self) -> KeyPair:
        """Return the device's keys, which are made when they are asked for first."""
        return self._keys("key") or self._generate("key")

    def replace_keys(self, keys: KeyPair) -> None:
        """Make these the device's keys, and forget all others."""
        self._write("key", text_of(keys.private).encode())
        self.drop_new_keys()

    def new_keys(self) -> KeyPair | None:
        """Return the keys that shall become the device's, if the hub has asked for some."""
        return self._keys("key.new")

    def make_new_keys(self) -> KeyPair:
        """Return the keys that shall become the device's, instead of those that should before."""
        return self._generate("key.new")

    def drop_new_keys(self) -> None:
        (self.path / "key.new").unlink(missing_ok=True)

    def activate_new_keys(self) -> None:
        """Replace the device's keys by the new ones."""
        (self.path / "key.new").replace(self.path / "key")
        self._sync()

    def _keys(self, name: str) -> KeyPair | None:
        try:
            return KeyPair.of(key_of((self.path / name).read_text()))
        except FileNotFoundError:
            return None

    def _generate(self, name: str) -> KeyPair:
        keys = KeyPair.generate()
        self._write(name, text_of(keys.private).encode())
        return keys

    def _write(self, name: str, content: bytes) -> None:
        """Replace a file, on disk when this returns."""
        scratch = self.path / f".{name}"
        scratch.unlink(missing_ok=True)
        with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(self.path / name)
        self._sync()

    def _sync(self) -> None:
        """Make the names of files last a power cut, where the system can."""
        with suppress(OSError):
            folder = os.open(self.path, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)


def text_of(key: bytes) -> str:
    """Return a key as text: base64url without padding."""
    return urlsafe_b64encode(key).rstrip(b"=").decode()


def key_of(text: str) -> bytes:
    """Return the key that a text stands for. Raises NoiseError unless it has 32 bytes."""
    try:
        key = urlsafe_b64decode(text.strip() + "=")
    except ValueError:
        key = b""
    if len(key) != 32:
        raise NoiseError("a key is 43 characters of base64url")
    return key


def public_key_of(text: str) -> bytes:
    """Return a public key. Raises NoiseError unless it is a good one."""
    key = key_of(text)
    check_public(key)
    return key
