"""How commands print what they found or did: for people, or as JSON for programs."""

from __future__ import annotations

import json
from typing import Any

import click


def show(value: Any, as_json: bool) -> None:
    """A record, or a list of them, for people or (as JSON) for programs."""
    if as_json:
        click.echo(json.dumps(value, ensure_ascii=False, indent=2))
        return
    for record in value if isinstance(value, list) else [value]:
        for name, field in record.items():
            text = ", ".join(field) if isinstance(field, list | tuple) else field
            click.echo(f"{name + ':':<14}{text}".rstrip())
        click.echo()


as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
