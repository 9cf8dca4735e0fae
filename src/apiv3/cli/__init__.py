"""The command `apiv3`: one module for each group of commands.

Nothing is imported here, so that `__main__` can handle Ctrl-C before the rest is imported, which takes half a second.
"""

INTERRUPTED = 130
"""The exit status after Ctrl-C, by the convention of shells."""
