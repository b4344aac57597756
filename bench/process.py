# SPDX-License-Identifier: Apache-2.0
"""The process of a peer, which answers a JSON line with a JSON line and is stopped in between."""

import ctypes
import json
import signal
import subprocess

_DEATH_SIGNAL = 1  # of prctl
_libc = ctypes.CDLL(None)


def _end_with_parent():
    """A process that is stopped would outlive who started it."""
    _libc.prctl(_DEATH_SIGNAL, signal.SIGKILL)


class PeerError(RuntimeError):
    """A peer could not do what it was asked."""


class Process:
    """Runs `command` with `variables`; what it prints beside its answers goes to `log`."""

    def __init__(self, peer, command, variables, log):
        self.peer, self.path = peer, log
        self.log = open(log, "w")  # noqa: SIM115 - closed with the process
        self.process = subprocess.Popen(
            command, env=variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True,
            preexec_fn=_end_with_parent,
        )  # fmt: skip

    def ask(self, **command):
        """The answer. PeerError where the peer has an error to tell, or has ended."""
        self.begin(**command)
        return self.answer()

    def begin(self, **command):
        """Lets it work at a command, whose answer is to be fetched by answer()."""
        self.process.send_signal(signal.SIGCONT)
        try:
            self.process.stdin.write(json.dumps(command) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # answer() tells

    def answer(self):
        line = self.process.stdout.readline()
        self.process.send_signal(signal.SIGSTOP)
        answer = json.loads(line) if line else {"error": f"the process ended; see {self.path}"}
        if "error" in answer:
            raise PeerError(f"{self.peer}: {answer['error']}")
        return answer

    def close(self):
        self.process.send_signal(signal.SIGCONT)
        self.process.stdin.close()
        self.process.wait()
        self.log.close()
