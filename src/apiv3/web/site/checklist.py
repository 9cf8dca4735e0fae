"""What is left to do on the first day, for who runs the server."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from apiv3.model import timestamps
from apiv3.security.permissions import Demand
from apiv3.security.policy import Snapshot
from apiv3.security.principal import Principal

_RECENT = 7 * 24 * 3_600_000
"""Milliseconds after which a backup is too old to count."""
_SUBJECTS = Demand.of("admin", "api", "subjects", "read")


class Step(NamedTuple):
    """A thing to do. `done`: None where the server cannot know. `how`: a sentence. `command`: what to type. `guide`: a page of
    the documentation that tells more.
    """

    title: str
    done: bool | None
    how: str
    command: str = ""
    guide: str = ""


class Checklist:
    """`policy`: returns the subjects as they are now. `last_backup`: returns when there was a backup, in ms, None if
    that is unknown. `is_reachable`: whether the settings let people in from outside.
    """

    def __init__(self, policy: Callable[[], Snapshot], last_backup: Callable[[], int | None], *, is_reachable: bool) -> None:
        self._policy, self._last_backup, self._is_reachable = policy, last_backup, is_reachable

    def steps(self, who: Principal, *, has_reading: bool) -> list[Step]:
        """Return all steps, for who may read subjects, until the server sees that all are done; else none."""
        if not who.allows(_SUBJECTS):
            return []
        apps = [each for each in self._policy().subjects if not each.is_person and each.name != "admin"]
        steps = [
            Step(
                "Connect an app",
                has_reading or bool(apps),
                "Each app gets a subject of its own, with a token that can be taken back.",
                "apiv3 subject add phone",
            ),
            Step(
                "Receive a reading",
                has_reading,
                "Enter the address of this server and the token in the app.",
            ),
            Step(
                "Make the server reachable from outside",
                self._is_reachable,
                "Set PUBLIC_URL to its address, and let the server or a proxy speak TLS.",
                guide="docs/how-to/tls-and-proxies.md",
            ),
        ]
        if all(step.done for step in steps):
            return []
        last = self._last_backup()
        backup = Step(
            "Keep a backup",
            None if last is None else timestamps.now() - last < _RECENT,
            "Copy the database and the secrets to another machine every day, and then touch data/last_backup.",
            guide="docs/how-to/backup-and-restore.md",
        )
        return [*steps, backup]
