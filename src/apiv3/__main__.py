"""The command `apiv3`, which is `python -m apiv3` too."""

from __future__ import annotations

import sys

INTERRUPTED = 130
"""The exit status after Ctrl-C, as shells have it."""


def main() -> None:
    """Run the command. It is imported here because that takes half a second, in which Ctrl-C may come too."""
    try:
        from apiv3.cli import main as command

        command()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
