"""Mask secrets in paths and queries for the log, by the position of a value, its name, and its appearance."""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import unquote_to_bytes

MASK = "***"
_SECRETS = ("token", "secret", "passw", "code", "key", "jwt", "bearer", "authoriz", "pwd", "credential")
"""Texts in the names of parameters that hold secrets."""
_AUTHORIZATION, _REQUEST, _INVITATION = b"authori", b"req", b"invit"
"""Texts in a path before the secret of the token exchange or of an invitation, also in common misspellings of these paths."""
_SIGNS = (b"%", b"eyj", _AUTHORIZATION, _INVITATION)
_QUERY_SIGNS = (b"sid", *(secret.encode() for secret in _SECRETS))
"""Texts without which there is nothing to mask in a request in lower case, if it has no long hex number or word either."""
_MARK_HEX, _HEX_RUN = bytes.maketrans(b"0123456789abcdef", b"x" * 16), b"x" * 16
"""Replaces each hex digit, so that a long hex number becomes a fixed text, which is found in half the time of a pattern."""
_SEPARATORS = re.compile(r"([/?&=;,])")
_JWT = re.compile(r"eyJ[\w.-]{10,}", re.ASCII)
"""A JWT, or a part of one."""
_MINTED = re.compile(r"(?<![\w-])(?=[\w-]{0,42}[A-Z])(?=[\w-]{0,42}[a-z])[\w-]{43,}+", re.ASCII)
"""32 random bytes in base64, as the code of an invitation, and the parts of a user token: its value and its signature."""
_LONG = 43
"""Least characters of random bytes in base64."""
_MARK_WORD, _WORD_RUN = bytes.maketrans(b"abcdefghijklmnopqrstuvwxyz0123456789_.-", b"x" * 39), b"x" * _LONG
"""The same for a long word in lower case."""
_HEX = re.compile(r"[0-9A-Fa-f]{16,}")
"""The last 16 characters of an access token, which are valid by themselves; or the digest of API_SECRET."""
_IDENTIFIERS = (24, 32)
"""Lengths of hex numbers that are not secrets: ids of MongoDB, and UUIDs."""
_MOST_PARAMETERS, _MOST_ESCAPES, _MOST_ROUNDS = 200, 300, 5
"""Most parameters, percent-encoded characters, and levels of repeated percent-encoding that are examined. No honest client
sends more, so everything is masked then."""


def redacted(targets: Sequence[bytes], secret: bytes = b"") -> list[str]:
    """Return request targets (path, and query behind `?`) as they were sent, with secrets masked, however they are
    percent-encoded. `secret`: one that is masked wherever it stands, since it has no form of its own.

    Nearly always none of them holds a secret. One look at all of them together tells, in a fraction of the time of the rules.
    """
    together = b"\n".join(targets)
    shown = together.decode("latin-1").split("\n")
    if len(shown) == len(targets) and _is_harmless(together, secret):
        return shown
    return [target.decode("latin-1") if _is_harmless(target, secret) else _redacted(target, secret) for target in targets]


def _redacted(target: bytes, secret: bytes) -> str:
    path, _, query = (_without(secret, target) if secret else target).partition(b"?")
    text = _redacted_path(path).decode("latin-1")
    if query:
        text += "?" + _redacted_query(query.decode("latin-1"))
    if "%" in text:
        look = _redacted_part if text.count("%") <= _MOST_ESCAPES else _hidden_part
        text = "".join(map(look, _SEPARATORS.split(text)))
    return _without_shapes(text)


def masked(text: str) -> str:
    """Mask what looks like a secret in a message that may quote a request.

    `API_SECRET`, which has no form of its own, is not masked: the answer would tell who guesses it that the guess was right.
    """
    return _without_shapes(text)


def _without(secret: bytes, text: bytes) -> bytes:
    """Mask a known secret in a path or query, wherever it stands; the whole text when the secret is percent-encoded in it."""
    if secret in text:
        return text.replace(secret, MASK.encode())
    if (b"%" in text or b"+" in text) and text.count(b"%") <= _MOST_ESCAPES:
        plain = _decoded(text) or b""
        if secret in plain or secret in plain.replace(b"+", b" "):
            return MASK.encode()
    return text


def _is_harmless(targets: bytes, secret: bytes) -> bool:
    """Whether nothing in requests can be a secret, nor this one."""
    if secret and (secret in targets or b"+" in targets):  # a plus stands for a blank
        return False
    text = targets.lower()
    if any(sign in text for sign in _SIGNS) or (b"?" in text and any(sign in text for sign in _QUERY_SIGNS)):
        return False
    return _HEX_RUN not in text.translate(_MARK_HEX) and _WORD_RUN not in text.translate(_MARK_WORD)


def _without_shapes(text: str) -> str:
    if "eyJ" in text:
        text = _JWT.sub(MASK, text)
    if len(text) >= _LONG:
        text = _MINTED.sub(MASK, text)
    return _HEX.sub(_masked, text) if _HEX.search(text) else text


def _masked(found: re.Match[str]) -> str:
    return found[0] if len(found[0]) in _IDENTIFIERS else MASK


def _redacted_path(path: bytes) -> bytes:
    plain: bytes | None = path
    if b"%" in path:
        plain = _decoded(path) if path.count(b"%") <= _MOST_ESCAPES else None
    if plain is None:
        return b"/" + MASK.encode()
    end = _secret(plain.lower())
    return path if end is None else plain[:end] + MASK.encode()


def _secret(path: bytes) -> int | None:
    """Return the index of the secret in a path of the token exchange or of an invitation, None for any other path."""
    at = path.find(_INVITATION)
    if at < 0 and (at := path.find(_AUTHORIZATION)) >= 0:
        at = path.find(_REQUEST, at + len(_AUTHORIZATION))
    at = -1 if at < 0 else path.find(b"/", at)
    return None if at < 0 else at + 1


def _redacted_query(query: str) -> str:
    """Mask secrets in a query. A semicolon also separates parameters, as some clients use it."""
    if query.count("&") + query.count(";") > _MOST_PARAMETERS:
        return MASK
    return "&".join(map(_redacted_parameter, query.split("&")))


def _redacted_parameter(parameter: str) -> str:
    return ";".join(map(_redacted_value, parameter.split(";"))) if ";" in parameter else _redacted_value(parameter)


def _redacted_value(parameter: str) -> str:
    name, _, _ = parameter.partition("=")
    plain = name.lower()
    if "%" in plain:
        decoded = _decoded(plain.encode("latin-1")) if plain.count("%") <= _MOST_ESCAPES else None
        plain = "token" if decoded is None else decoded.decode("latin-1").lower()
    return f"{name}={MASK}" if plain == "sid" or any(secret in plain for secret in _SECRETS) else parameter


def _redacted_part(part: str) -> str:
    """Mask a part without separators as a whole if it contains a secret when it is decoded."""
    if "%" not in part:
        return part
    plain = _decoded(part.encode("latin-1"))
    if plain is None:
        return MASK
    text = plain.decode("latin-1")
    return part if _without_shapes(text) == text else MASK


def _hidden_part(part: str) -> str:
    return MASK if "%" in part else part


def _decoded(text: bytes) -> bytes | None:
    """Decode until no percent-encoding is left; None when that takes more than _MOST_ROUNDS."""
    for _ in range(_MOST_ROUNDS):
        plain = unquote_to_bytes(re.sub(rb"%(25)+", b"%", text))
        if plain == text:
            return plain
        text = plain
    return None
