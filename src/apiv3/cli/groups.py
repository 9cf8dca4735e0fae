"""Groups of commands, whose help shows a whole sentence for each command."""

from __future__ import annotations

import click

_LONGEST = 1000
"""More characters than any sentence has."""


class Group(click.Group):
    """A group of commands whose help shows the whole first sentence of each."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        commands = {name: self.get_command(ctx, name) for name in self.list_commands(ctx)}
        with formatter.section("Commands"):
            formatter.write_dl([(name, each.get_short_help_str(_LONGEST)) for name, each in commands.items() if each])
