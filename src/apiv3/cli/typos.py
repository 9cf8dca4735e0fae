"""Find misspelled settings in .env and in the environment."""

from __future__ import annotations

import os
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path

from dotenv.parser import Binding, parse_stream

from apiv3.settings import ENV_FILE, Settings

_OURS = "API3_"
"""The prefix of most of our settings. Variables without it may belong to other programs."""
_OTHERS = ("APIV3_TOKEN",)
"""Variables that commands read from the environment, besides the settings."""
_NEAR_ENOUGH = 0.85
"""The least similarity (0 to 1) to a setting at which a variable of the environment counts as misspelled, as with one letter
too many, too few or misplaced. HOSTNAME, which every shell sets, is less similar to HOST."""
_NAMES = [name.upper() for name in Settings.model_fields]


def typos() -> Iterator[str]:
    """Yield a sentence for each malformed line of .env, each unknown name there, and each variable of the environment that
    looks like a misspelled setting. Other variables belong to other programs.
    """
    bindings = _bindings()
    yield from (_line(binding.original.line) for binding in bindings if binding.error)
    here = dict.fromkeys(binding.key for binding in bindings if binding.key)
    yield from (_unknown(name) for name in here if not _is_known(name.upper()))
    yield from (_unknown(name) for name in os.environ if name not in here and _is_slip(name))


def _bindings() -> list[Binding]:
    """Return the lines of .env; none when there is no such file, or it cannot be read, which `load` reports."""
    try:
        with open(ENV_FILE, encoding="utf-8") as file:
            return list(parse_stream(file))
    except (OSError, UnicodeDecodeError):
        return []


def _line(number: int) -> str:
    return f"line {number} of {Path(ENV_FILE).resolve()} is no setting, NAME=value, and does nothing"


def _is_known(name: str) -> bool:
    return name in _NAMES or name.startswith("API3_AUTOPRUNE_")


def _is_slip(name: str) -> bool:
    """Whether a variable of the environment is probably a misspelled setting."""
    if _is_known(name.upper()) or name in _OTHERS:
        return False
    return name.upper().startswith(_OURS) or _nearest(name, _NEAR_ENOUGH) is not None


def _nearest(name: str, cutoff: float) -> str | None:
    found = get_close_matches(name.upper(), _NAMES, n=1, cutoff=cutoff)
    return found[0] if found else None


def _unknown(name: str) -> str:
    near = _nearest(name, 0.6)
    return f"{name} is the name of no setting and does nothing" + (f"; is {near} meant?" if near else "")
