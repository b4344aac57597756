# SPDX-License-Identifier: Apache-2.0
"""Starts programs as `python program.py ...` would, in processes forked from one that has torch loaded already."""

import contextlib
import multiprocessing
import os
import runpy
import sys
from dataclasses import dataclass
from pathlib import Path

_forkserver = multiprocessing.get_context("forkserver")
_forkserver.set_forkserver_preload(["torch", "sambaflow.samba"])


@dataclass
class Finished:
    """How a program ended, and what it wrote to its standard output and to its standard error."""

    returncode: int
    output: str
    errors: str


def launch(program, *arguments, cwd, eager=False, seconds=300):
    """Runs `program` in folder `cwd` to its end; with `eager` on plain PyTorch in place of the session."""
    logs = [os.path.join(cwd, name) for name in ("stdout.txt", "stderr.txt")]
    words = [str(word) for word in (program, *arguments)]
    process = _forkserver.Process(target=_main, args=(words, str(cwd), logs, eager))
    process.start()
    process.join(seconds)
    if process.exitcode is None:
        process.kill()
        process.join()
    return Finished(process.exitcode, *(Path(log).read_text("utf-8", "replace") for log in logs))


def _main(words, cwd, logs, eager):
    """The life of one process: as an interpreter started on `words`."""
    os.chdir(cwd)
    for stream, log in enumerate(logs, start=1):
        os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream)
    sys.argv = words
    sys.path.insert(0, os.path.dirname(words[0]))
    if eager:
        from eager import install

        install()
    with contextlib.redirect_stdout(os.fdopen(1, "w", closefd=False)) as stream:
        try:
            runpy.run_path(words[0], run_name="__main__")
        finally:
            stream.flush()
