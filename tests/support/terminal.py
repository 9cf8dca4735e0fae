"""A shell in which a user's commands are typed, one block after the other, as a page prints them."""

import os
import select
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from tests.support.processes import Guardian, clean_environment
from tests.support.waiting import PATIENCE, wait_until

# The first command that fails counts, wherever in the block it stands. A block reads nothing from this script's own input.
TYPED = 'failed=0; trap "failed=\\$?" ERR; . "{block}" >>"{log}" 2>&1 </dev/null; echo "$failed"\n'


class Terminal:
    """Bash in a folder. What one block sets, the next one finds."""

    def __init__(self, home: Path, name: str, folder: Path, **variables: str) -> None:
        self._log, self._block = home / f"{name}.log", home / f"{name}.sh"
        self._log.touch()
        self._shell = subprocess.Popen(
            ["bash", "--norc", "-o", "pipefail"],
            cwd=folder,
            env=clean_environment() | variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        self._guardian = Guardian(self._shell.pid, home)

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._shell.pid, signal.SIGKILL)
        self._shell.communicate()
        self._guardian.dismiss()

    @property
    def output(self) -> str:
        """All that was printed here."""
        return self._log.read_text()

    def begin(self, block: str) -> None:
        """Types a block and does not wait for its end."""
        assert self._shell.stdin is not None
        self._block.write_text(block)
        self._shell.stdin.write(TYPED.format(block=self._block, log=self._log).encode())
        self._shell.stdin.flush()

    def run(self, block: str) -> str:
        """What a block prints."""
        before = len(self.output)
        self.begin(block)
        self._end()
        return self.output[before:]

    def _end(self) -> None:
        """The block has to end, and well."""
        assert self._shell.stdout is not None
        answered, _, _ = select.select([self._shell.stdout], [], [], PATIENCE)
        status = self._shell.stdout.readline().decode().strip() if answered else "no end"
        assert status == "0", f"{status}: {self._block.read_text()}\n{self.output}"

    def wait_for(self, text: str) -> None:
        """Until it is printed."""
        wait_until(lambda: text in self.output, f"{text!r} was not printed, but {self.output!r}")

    def interrupt(self) -> None:
        """Ctrl-C: what runs here has to end, and well."""
        os.killpg(self._shell.pid, signal.SIGINT)
        self._end()
