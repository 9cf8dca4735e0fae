"""Helpers for several commands: parse times in options, and print results."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import click

from apiv3.model import timestamps

F = TypeVar("F", bound=Callable[..., Any])


def show(value: Any, as_json: bool) -> None:
    """Print a record, or a list of them: for people, or as JSON for programs."""
    if as_json:
        click.echo(json.dumps(value, ensure_ascii=False, indent=2))
        return
    for record in value if isinstance(value, list) else [value]:
        for name, field in record.items():
            click.echo(f"{name + ':':<13} {_text(field)}".rstrip())
        click.echo()


def _text(field: Any) -> str:
    """Return a field for people. What a device has sent may be any JSON."""
    if isinstance(field, list | tuple) and all(isinstance(each, str) for each in field):
        return ", ".join(field)
    return json.dumps(field, ensure_ascii=False) if isinstance(field, dict | list | tuple) else str(field)


def show_removed(record: dict[str, Any], name: str, as_json: bool) -> None:
    """Say that a record was removed; as JSON, print the record."""
    if as_json:
        show(record, as_json=True)
    else:
        click.echo(f"Removed {name}.")


def warn(sentences: Iterable[str]) -> None:
    """Print warnings on standard error. `sentences`: without a full stop."""
    for sentence in sentences:
        click.echo(f"Warning: {sentence}.", err=True)


as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def group_options(says: str) -> Callable[[F], F]:
    """Return the options for groups and organisational units, as a decorator. `says`: the end of their help."""

    def decorate(command: F) -> F:
        for name, what in (("ous", "An organisational unit"), ("groups", "A group")):
            about = f"{what} of the subject, of which other services hear; may be repeated.{says}"
            command = click.option(f"--{name[:-1]}", name, multiple=True, metavar="NAME", help=about)(command)
        return command

    return decorate


STAYS = " Replaces all present ones; an empty NAME removes them."
"""The end of the help where a subject is changed."""


def given_groups(groups: tuple[str, ...], ous: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """Return the fields of a subject that these options change."""
    said = {"groups": groups, "ous": ous}
    return {field: tuple(filter(None, names)) for field, names in said.items() if names}


def counted(number: int, noun: str) -> str:
    """Return a number with its noun: `1 document`, `2,500 documents`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def moment(option: str, text: str) -> int:
    """Return the time of an option in ms since 1970. Raises UsageError."""
    try:
        return timestamps.parse(text).ms
    except ValueError as error:
        raise click.UsageError(
            f"{option} is {text!r}, which is no time; it must be like 2026-01-31 or 2026-01-31T13:05:00Z."
        ) from error


def unknown_collection(name: str, known: Iterable[str], advice: str = "") -> click.UsageError:
    """Return the error for a collection that this installation does not have. `advice`: a sentence on what to do."""
    return click.UsageError(f"There is no collection {name!r}; there are: {', '.join(known)}. {advice}".rstrip())
