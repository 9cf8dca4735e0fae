"""The entry point of the command `apiv3`, also for `python -m apiv3`."""

from __future__ import annotations

import sys

from apiv3.cli import INTERRUPTED


def main() -> None:
    """Run the command. It is imported inside the try block, because this takes half a second in which Ctrl-C may be pressed."""
    try:
        from apiv3.cli.commands import main as command

        command()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
