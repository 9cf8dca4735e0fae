"""The command lines of scripts/bench, read inside this process: that saves the start of another one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO

import pytest

Parse = Callable[[Sequence[str]], object]


def refusal(parse: Parse, *arguments: str) -> str:
    """What is said about options that are refused."""
    said = StringIO()
    with redirect_stderr(said), pytest.raises(SystemExit) as ended:
        parse(arguments)
    assert ended.value.code == 2
    return said.getvalue()


def help_text(parse: Parse) -> str:
    said = StringIO()
    with redirect_stdout(said), pytest.raises(SystemExit) as ended:
        parse(["--help"])
    assert ended.value.code == 0
    return said.getvalue()
