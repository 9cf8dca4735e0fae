"""The OpenPGP key that signs the apt repository, which devices pin. docs/decisions/0026 says why it is Sequoia's."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pysequoia import SignatureMode, Tsk, sign

from apiv3.security.secrets import keep

_OWNER = "apiv3 software updates"


class SigningKey:
    """A key pair for signatures with Ed25519 (RFC 9580), which does not expire: devices could not be given another one."""

    def __init__(self, key: Tsk) -> None:
        self._key = key

    @classmethod
    def kept(cls, path: Path) -> Self:
        """Return the key in a file; generate one if the file does not exist, readable by its owner only.

        Raises OSError, and ValueError when the file holds no such key.
        """
        keep(path, _generate)
        return cls.read(path)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Return the key in a file. Raises OSError, and ValueError when the file holds no such key."""
        text = path.read_bytes()
        try:
            return cls(Tsk.from_bytes(text))
        except Exception as error:  # the library raises plain ones
            raise ValueError(f"{path} holds no OpenPGP key: {error}") from None

    @property
    def public(self) -> str:
        """The public half, in ASCII armor, as devices pin it."""
        return str(self._key.extract_certificate())

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the key, as hex digits."""
        return self._key.extract_certificate().fingerprint

    def sign(self, text: str) -> bytes:
        """Return a text with its signature around it (cleartext signature framework, RFC 9580, section 7)."""
        return sign(self._key.signer(), text.encode(), mode=SignatureMode.CLEAR)


def _generate() -> str:
    return str(Tsk.generate(_OWNER))
