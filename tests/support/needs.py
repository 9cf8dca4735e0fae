"""What a test needs of the machine, and what happens where it is missing."""

import os
import re
import shutil
from pathlib import Path
from typing import Literal, NoReturn

import pytest

Need = Literal["postgres", "pgbouncer", "browser", "node", "apt"]

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def do_without(need: Need, reason: str) -> NoReturn:
    """Skip the test; or fail it, where REQUIRE names what it needs: `REQUIRE=postgres,pgbouncer,browser,node,apt`."""
    if need in required() or (need == "postgres" and "TEST_DATABASE_URL" in os.environ):
        pytest.fail(reason)
    pytest.skip(reason)


def required() -> set[str]:
    return set(re.split(r"[\s,]+", os.environ.get("REQUIRE", ""))) - {""}


def browser() -> Path:
    """An installed Chromium, or the one that TEST_BROWSER names. A test that asks for it does without where there is none."""
    named = os.environ.get("TEST_BROWSER", "")
    found = next(filter(None, map(shutil.which, [named] if named else BROWSERS)), None)
    if found is None:
        do_without("browser", f"no browser: none of {', '.join(BROWSERS)} is installed")
    return Path(found)
