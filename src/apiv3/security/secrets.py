"""Secrets: minted, kept in files that only their owner reads, digested, compared in constant time."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
from pathlib import Path

SHORTEST_SECRET = 12
_TOKEN_DIGITS = 16
_HEX = re.compile(rf"[0-9a-f]{{{_TOKEN_DIGITS}}}", re.ASCII)
_NOT_A_WORD = re.compile(r"\W", re.ASCII)


def sha1(text: str) -> str:
    """Hex SHA-1: the protocol's way to derive tokens, not ours to choose (docs/reference/protocol.md, section 1)."""
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


def access_token(api_secret: str, name: str, id: str, nonce: str = "") -> str:
    """The access token of a subject: derived, so that it survives a move from another server with the same secret.

    `nonce` is empty until the token is rotated; then it makes another one.
    """
    abbreviation = _NOT_A_WORD.sub("", name.lower())[:10]
    return f"{abbreviation}-{sha1(sha1(api_secret) + id + nonce)[:_TOKEN_DIGITS]}"


def token_digits(token: str) -> str:
    """The part of an access token that counts: its last 16 characters."""
    return token[-_TOKEN_DIGITS:]


def is_access_token(text: str) -> bool:
    """Whether a text could be somebody's access token: it ends in 16 hex digits."""
    return _HEX.fullmatch(token_digits(text)) is not None


def digest(secret: str | bytes) -> bytes:
    """A digest under which a secret can be looked up without being kept. Random for each process: it is never stored."""
    data = secret.encode("utf-8", "surrogatepass") if isinstance(secret, str) else secret
    return hashlib.blake2b(data, key=_KEY, digest_size=16).digest()


_KEY = secrets.token_bytes(32)


def same(one: str, other: str) -> bool:
    """Comparison in constant time."""
    return hmac.compare_digest(one.encode("utf-8", "surrogatepass"), other.encode("utf-8", "surrogatepass"))


def mint() -> str:
    """A new random secret of 256 bits."""
    return secrets.token_urlsafe(32)


def object_id() -> str:
    """A new id of 24 hex digits."""
    return secrets.token_hex(12)


def keep(path: Path) -> str:
    """The secret in the file, minted if there is none. The file is readable by its owner only.

    Two processes that start at once agree: the file appears whole or not at all. Raises OSError, ValueError when empty.
    """
    try:
        return _read(path)
    except FileNotFoundError:
        pass
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(mint() + "\n")
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
        raise ValueError(f"{path} is empty; restore it from a backup, or remove it to have a new secret minted")
    return text
