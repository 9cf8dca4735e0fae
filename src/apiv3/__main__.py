"""The command `apiv3`, which is `python -m apiv3` too."""

from __future__ import annotations

import sys

from apiv3.cli import INTERRUPTED


def main() -> None:
    """Run the command. It is imported here because that takes half a second, in which Ctrl-C may come too."""
    try:
        from apiv3.cli.commands import main as command

        command()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
