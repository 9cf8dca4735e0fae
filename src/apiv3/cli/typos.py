"""What stands among the settings, looks like one, and is none."""

from __future__ import annotations

import os
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path

from dotenv.parser import Binding, parse_stream

from apiv3.settings import ENV_FILE, Settings

_OURS = "API3_"
"""What the names of our own settings begin with. Others may be settings of another program."""
_NAMES = [name.upper() for name in Settings.model_fields]


def typos() -> Iterator[str]:
    """A sentence for each: lines of .env without a name, and names of no setting there and in the environment."""
    bindings = _bindings()
    yield from (_line(binding.original.line) for binding in bindings if binding.error)
    for name in dict.fromkeys((*os.environ, *(binding.key for binding in bindings if binding.key))):
        if name.upper().startswith(_OURS) and not _is_known(name.upper()):
            yield _unknown(name)


def _bindings() -> list[Binding]:
    """The lines of .env; none when it is not there, or cannot be read, which `load` will say."""
    try:
        with open(ENV_FILE, encoding="utf-8") as file:
            return list(parse_stream(file))
    except (OSError, UnicodeDecodeError):
        return []


def _line(number: int) -> str:
    return f"line {number} of {Path(ENV_FILE).resolve()} is no setting, NAME=value, and does nothing"


def _is_known(name: str) -> bool:
    return name in _NAMES or name.startswith("API3_AUTOPRUNE_")


def _unknown(name: str) -> str:
    near = get_close_matches(name.upper(), _NAMES, n=1)
    return f"{name} is the name of no setting and does nothing" + (f"; is {near[0]} meant?" if near else "")
