"""A child process with its output in a file, ended by its own handle and nothing else."""

import os
import signal
import subprocess


class Process:
    """Starts `command` at once; `log` (a path) collects what it prints."""

    def __init__(self, name, command, log, env=None):
        self.name, self.log = name, log
        self._asked_to_stop = False
        with open(log, "ab") as out:
            self._child = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
            )

    @property
    def pid(self):
        return self._child.pid

    def output(self):
        return self.log.read_text(errors="replace")

    def check_alive(self):
        """Fails with the end of the log when the process has ended."""
        if self._child.poll() is not None:
            raise RuntimeError(f"{self.name} ended with {self._child.returncode}:\n{self.output()[-4000:]}")

    def kill(self):
        """Ends it the hard way (SIGKILL) and waits until it is gone."""
        if self._child.poll() is None:
            self._child.kill()
        self._child.wait()

    def has_ended(self):
        return self._child.poll() is not None

    def begin_stop(self):
        """Asks it to stop (SIGTERM), once: a second time would mean "at once"."""
        if not self._asked_to_stop and not self.has_ended():
            self._child.send_signal(signal.SIGTERM)
        self._asked_to_stop = True

    def terminate(self, timeout=30):
        """Asks it to stop; its exit code."""
        self.begin_stop()
        return self.wait(timeout)

    def wait(self, timeout=30):
        try:
            return self._child.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.name} did not end within {timeout} s:\n{self.output()[-4000:]}") from None
