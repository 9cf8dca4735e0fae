"""The command `apiv3`: one module for each group of commands.

Nothing is imported here: `__main__` has to be ready for Ctrl-C before the rest is loaded, which takes half a second.
"""

INTERRUPTED = 130
"""The exit status after Ctrl-C, as shells have it."""
