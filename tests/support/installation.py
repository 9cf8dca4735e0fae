"""One installation of apiv3: its data, its database, its settings; and its command line."""

import secrets
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.processes import clean_environment

# What an operator would rather not have, but tests that speak plain HTTP from one address and cannot wait need.
TEST_SETTINGS = {"API3_REQUIRE_HTTPS": "false", "AUTH_FAIL_DELAY": "0", "PASSWORD_ROUNDS": "4"}


@dataclass
class Installation:
    folder: Path
    database_url: str
    settings: Mapping[str, str | None] = field(default_factory=dict)  # None: not set at all
    secret: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def environment(self) -> dict[str, str]:
        ours = {"APIV3_DATA": str(self.data), "DATABASE_URL": self.database_url, "API_SECRET": self.secret}
        settings = {**ours, **TEST_SETTINGS, **self.settings}
        return clean_environment() | {name: value for name, value in settings.items() if value is not None}

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "apiv3", *arguments]

    def run(self, *arguments: str, stdin: str = "", timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """Runs `apiv3 ...` to its end, in the installation's folder, where no .env of the checkout is found."""
        return subprocess.run(
            self.command(*arguments),
            cwd=self.folder,
            env=self.environment(),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
