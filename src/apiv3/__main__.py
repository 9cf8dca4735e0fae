"""`python -m apiv3` is the command `apiv3`."""

from apiv3.cli import main

main()
