"""Python programs that run as processes of their own, to be stopped with SIGSTOP and to go on with SIGCONT."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

STOP_MYSELF = "signal.raise_signal(signal.SIGSTOP)"


class Process:
    """A program that was started; ``said`` is what it printed, known when it ended."""

    def __init__(self, program: str, *arguments: str) -> None:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        self._child = subprocess.Popen(
            [sys.executable, "-c", program, *arguments],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.said = ""

    def wait_until_stopped(self) -> None:
        """Wait until it stopped itself."""
        _, status = os.waitpid(self._child.pid, os.WUNTRACED)
        if not os.WIFSTOPPED(status):
            self._child.returncode = os.waitstatus_to_exitcode(status)
            raise AssertionError(f"it ended instead:\n{self._child.communicate()[0]}")

    def stop(self) -> None:
        self._child.send_signal(signal.SIGSTOP)
        self.wait_until_stopped()

    def go_on_to_the_end(self) -> None:
        """Let it go on; give what it printed."""
        self._child.send_signal(signal.SIGCONT)
        self.said, _ = self._child.communicate(timeout=60)
        assert self._child.returncode == 0, self.said

    def end(self) -> None:
        if self._child.poll() is None:
            self._child.kill()
            self._child.communicate()


@contextmanager
def running(program: str, *arguments: str) -> Iterator[Process]:
    process = Process(program, *arguments)
    try:
        yield process
    finally:
        process.end()
