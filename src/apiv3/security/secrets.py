"""Secrets: generate them, keep them in files that only their owner can read, digest them, compare them in constant time."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Callable
from pathlib import Path

SHORTEST_SECRET = 12
_TOKEN_DIGITS = 16
_HEX = re.compile(rf"[0-9a-f]{{{_TOKEN_DIGITS}}}", re.ASCII)
_NOT_A_WORD = re.compile(r"\W", re.ASCII)


def sha1(text: str) -> str:
    """Return the hex SHA-1 of a text. The protocol prescribes it for tokens (docs/reference/protocol.md, section 1)."""
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


def access_token(api_secret: str, name: str, id: str, nonce: str = "") -> str:
    """Return the access token of a subject.

    It is derived from API_SECRET and the subject's id, so that it stays the same after a move from a Nightscout server with
    the same secret. `nonce` is empty until the token is rotated; a new nonce makes a new token.
    """
    abbreviation = _NOT_A_WORD.sub("", name.lower())[:10]
    return f"{abbreviation}-{sha1(sha1(api_secret) + id + nonce)[:_TOKEN_DIGITS]}"


def token_digits(token: str) -> str:
    """Return the part of an access token that is compared: its last 16 characters."""
    return token[-_TOKEN_DIGITS:]


def is_access_token(text: str) -> bool:
    """Whether a text could be somebody's access token: it ends in 16 hex digits."""
    return _HEX.fullmatch(token_digits(text)) is not None


def digest(secret: str | bytes) -> bytes:
    """Return a keyed digest, to look a secret up without keeping it. The key is random for each process; do not store it."""
    keyed = _KEYED.copy()
    keyed.update(secret.encode("utf-8", "surrogatepass") if isinstance(secret, str) else secret)
    return keyed.digest()


_KEYED = hashlib.blake2b(key=secrets.token_bytes(32), digest_size=16)
"""A hash with the key in it; a copy of it takes half the time of a new one."""


def stored_digest(secret: str) -> str:
    """Return the digest under which a secret of 256 random bits is stored. A secret that people choose needs a slow hash."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def derived(key: str, text: str) -> str:
    """Return 256 bits, in URL-safe Base64, that follow from a text; nobody finds them without the key."""
    bits = hmac.digest(key.encode(), text.encode("utf-8", "surrogatepass"), hashlib.sha256)
    return urlsafe_b64encode(bits).rstrip(b"=").decode()


def same(one: str, other: str) -> bool:
    """Compare two texts in constant time."""
    return hmac.compare_digest(one.encode("utf-8", "surrogatepass"), other.encode("utf-8", "surrogatepass"))


def mint() -> str:
    """Return a new random secret of 256 bits, in URL-safe Base64."""
    return secrets.token_urlsafe(32)


def object_id() -> str:
    """Return a new random id of 24 hex digits."""
    return secrets.token_hex(12)


def keep(path: Path, make: Callable[[], str] = mint) -> str:
    """Return the secret in the file; generate one if the file does not exist, readable by its owner only.

    `make`: generates the secret. Processes that start at the same time get the same secret, since the file is created complete
    in one step. Raises OSError, and ValueError when the file is empty.
    """
    try:
        return _read(path)
    except FileNotFoundError:
        pass
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(make() + "\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(draft, path)
    except FileExistsError:
        pass  # another process was faster
    finally:
        draft.unlink()
    return _read(path)


def _read(path: Path) -> str:
    text = path.read_text().strip()
    if not text:
        raise ValueError(f"{path} is empty; restore it from a backup, or remove it so that a new secret is generated")
    return text
