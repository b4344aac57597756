# SPDX-License-Identifier: Apache-2.0
"""How a program ends on a mistake of its user: one message, no traceback, exit status 1."""

from __future__ import annotations

import functools
import os
import sys
from types import TracebackType


def show_mistakes_plainly() -> None:
    """From here on, errors that come of the command line end the program with their message alone.

    Errors of the program itself keep their traceback; with --debug all do.
    """
    if not isinstance(sys.excepthook, functools.partial) or sys.excepthook.func is not _show:
        sys.excepthook = functools.partial(_show, sys.excepthook)


def _show(others: object, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    from sambaflow import samba

    if not getattr(error, "from_command_line", False) or getattr(samba.session.args, "debug", False):
        others(kind, error, trace)  # type: ignore[operator]
        return
    command = getattr(samba.session.args, "command", None)
    program = " ".join(filter(None, (os.path.basename(sys.argv[0]), command)))
    print(f"{program}: error: {_text(error)}", file=sys.stderr)


def _text(error: BaseException) -> str:
    """Its message; of an error of the operating system, file and reason."""
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return str(error)
