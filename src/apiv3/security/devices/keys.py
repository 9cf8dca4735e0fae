"""The keys of devices and of the hub: X25519, as base64url without padding."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode

from apiv3.model.errors import BadRequest
from apiv3.noise import KeyPair, NoiseError, check_public

_BAD = "Bad public_key: it must be an X25519 key, 32 bytes in base64url without padding"


def text_of(key: bytes) -> str:
    """Return a key as text."""
    return urlsafe_b64encode(key).rstrip(b"=").decode()


def public_key(text: str) -> str:
    """Return the public key of a device as it is stored. Raises BadRequest for anything that cannot be one.

    Keys of low order are refused, since the secret shared with one is known to everybody, and so are other spellings of a key.
    """
    try:
        key = urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
        check_public(key)
    except (ValueError, NoiseError) as error:
        raise BadRequest(_BAD) from error
    if text_of(key) != text:
        raise BadRequest(_BAD)
    return text


def hub_keys(secret: str) -> KeyPair:
    """Return the hub's keys. `secret`: the setting HUB_KEY, 43 characters of base64url."""
    return KeyPair.of(urlsafe_b64decode(secret + "="))


def pairing_code(url: str, hub_key: str, code: str, device: str) -> str:
    """Return what a person types or scans on a device: where the hub is, how to recognize it, and a code that is good once."""
    parts = {"url": url, "hub_key": hub_key, "code": code, "device": device}
    return "apiv3:1:" + text_of(json.dumps(parts, separators=(",", ":")).encode())
