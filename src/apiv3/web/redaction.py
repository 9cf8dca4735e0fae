"""Paths and queries without secrets, for the log: by where a value stands, by its name, and by what it looks like."""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

MASK = "***"
_SECRETS = ("token", "secret", "passw", "code", "key", "jwt", "bearer", "authoriz", "pwd", "credential")
"""What is in the name of a parameter that holds a secret."""
_EXCHANGE = re.compile(rb"authori[^/]*/+[^/]*req[^/]*/+", re.IGNORECASE)
"""The route on which a secret is part of the path, and what it is mistaken for."""
_SEPARATORS = re.compile(r"([/?&=;,])")
_SHAPES = re.compile(r"(?<![0-9A-Fa-f])[0-9A-Fa-f]{16,}|eyJ[\w.-]{10,}", re.ASCII)
"""The end of an access token, the digest of API_SECRET; a JWT or a part of one. Whatever stands before the last 16 characters
of an access token, it is good."""
_IDENTIFIERS = (24, 32)
"""Lengths of hex numbers that are no secrets: ids of MongoDB, and UUIDs."""
_MOST_ROUNDS = 5
"""Percent-encodings on top of each other that are looked through; what has more is masked."""


def redacted(path: bytes, query: bytes) -> str:
    """Path and query as they were sent, without secrets: wherever they stand, and however they are spelled."""
    text = _redacted_path(path).decode("latin-1")
    if query:
        text += "?" + "&".join(map(_redacted_parameter, query.decode("latin-1").split("&")))
    if "%" in text:
        text = "".join(map(_redacted_part, _SEPARATORS.split(text)))
    return _SHAPES.sub(_masked, text)


def _redacted_path(path: bytes) -> bytes:
    if b"%" not in path:
        found = _EXCHANGE.search(path)
        return path if found is None else path[: found.end()] + MASK.encode()
    plain = _decoded(path)
    if plain is not None and not _EXCHANGE.search(plain):
        return path
    return b"/api/v2/authorization/request/" + MASK.encode()


def _redacted_parameter(parameter: str) -> str:
    """A semicolon, too, separates parameters for some clients."""
    return ";".join(map(_redacted_value, parameter.split(";"))) if ";" in parameter else _redacted_value(parameter)


def _redacted_value(parameter: str) -> str:
    name, _, _ = parameter.partition("=")
    plain = name.lower()
    if "%" in plain:
        decoded = _decoded(plain.encode("latin-1"))
        plain = "token" if decoded is None else decoded.decode("latin-1").lower()
    return f"{name}={MASK}" if plain == "sid" or any(secret in plain for secret in _SECRETS) else parameter


def _redacted_part(part: str) -> str:
    """A part without separators: masked as a whole if a secret shows when it is decoded."""
    if "%" not in part:
        return part
    plain = _decoded(part.encode("latin-1"))
    if plain is None:
        return MASK
    text = plain.decode("latin-1")
    return MASK if _SHAPES.sub(_masked, text) != text else part


def _decoded(text: bytes) -> bytes | None:
    """Without any percent-encoding; None where that is never seen."""
    for _ in range(_MOST_ROUNDS):
        plain = unquote_to_bytes(re.sub(rb"%(25)+", b"%", text))
        if plain == text:
            return plain
        text = plain
    return None


def _masked(found: re.Match[str]) -> str:
    text = found[0]
    return text if len(text) in _IDENTIFIERS and "." not in text and not text.startswith("eyJ") else MASK
