"""Times as they stand on the command line."""

from __future__ import annotations

import click

from apiv3.model import timestamps


def moment(option: str, text: str) -> int:
    """The time in ms that an option gives. Raises UsageError."""
    try:
        return timestamps.parse(text).ms
    except ValueError as error:
        raise click.UsageError(
            f"{option} is {text!r}, which is no time; it must be like 2026-01-31 or 2026-01-31T13:05:00Z."
        ) from error
