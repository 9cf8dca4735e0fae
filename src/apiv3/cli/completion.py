"""`apiv3 completion`: the shell completes commands, options and their values."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print a script that teaches SHELL to complete `apiv3`.

    \b
    eval "$(apiv3 completion bash)"               in ~/.bashrc
    eval "$(apiv3 completion zsh)"                in ~/.zshrc
    apiv3 completion fish | source                in ~/.config/fish/config.fish
    """
    kind = get_completion_class(shell)
    if kind is None:
        raise click.ClickException(f"There is no completion for {shell}.")
    click.echo(kind(context.find_root().command, {}, "apiv3", "_APIV3_COMPLETE").source())
