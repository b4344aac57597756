# SPDX-License-Identifier: Apache-2.0
"""The logger of programs.

Its lines look like those of the compiler and go to the log of a compile that is going on. They pass through Python's
logger `sambaflow`, so a program may add handlers, or set a level, of its own.
"""

from __future__ import annotations

import logging
import sys
from collections import Counter
from typing import Any

from sambaflow._runtime import messages

_LEVELS = {logging.DEBUG: messages.DEBUG, logging.INFO: messages.INFO, logging.WARNING: messages.WARNING}


class _Lines(logging.Handler):
    """Prints lines as the compiler does; --log-level says from which level on."""

    def emit(self, record: logging.LogRecord) -> None:
        level, text = _LEVELS.get(record.levelno, messages.ERROR), record.getMessage()
        compiling = messages.running()
        if compiling is not None:
            compiling.say(level, "samba", text)
        elif level >= messages.screen_level(_arguments()):
            print(messages.line(level, "samba", text), flush=True)


def _arguments() -> dict[str, Any]:
    """The parsed options of the program."""
    package = sys.modules.get("sambaflow.samba")
    args = getattr(getattr(package, "session", None), "args", None)
    return vars(args) if args is not None else {}


def _logger() -> logging.Logger:
    logger = logging.getLogger("sambaflow")
    if not any(isinstance(handler, _Lines) for handler in logger.handlers):
        logger.addHandler(_Lines())
        logger.setLevel(logging.DEBUG)
        logger.propagate = False
    return logger


class SambaLogger:
    """Python's logger, with a limit on how often one message is shown."""

    def __init__(self) -> None:
        self._logger = _logger()
        self._shown: Counter[str] = Counter()

    def _log(self, level: int, message: object, args: Any, log_limit: int | None) -> None:
        text = str(message)
        self._shown[text] += 1
        if log_limit is None or self._shown[text] <= log_limit:
            self._logger.log(level, text, *args)

    def debug(self, message: object, *args: Any, log_limit: int | None = None) -> None:
        self._log(logging.DEBUG, message, args, log_limit)

    def info(self, message: object, *args: Any, log_limit: int | None = None) -> None:
        self._log(logging.INFO, message, args, log_limit)

    def warning(self, message: object, *args: Any, log_limit: int | None = None) -> None:
        self._log(logging.WARNING, message, args, log_limit)

    def error(self, message: object, *args: Any, log_limit: int | None = None) -> None:
        self._log(logging.ERROR, message, args, log_limit)


samba_logger = SambaLogger()
