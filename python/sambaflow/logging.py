# SPDX-License-Identifier: Apache-2.0
"""The logger of programs.

Its lines look like those of the compiler and go to the log of a compile that is going on. Those of other commands go
to a file in the folder of --log-dir, from the first warning on with what was said before. All pass through Python's
logger `sambaflow`, so a program may add handlers, or set a level, of its own.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections import Counter, deque
from collections.abc import Callable, Mapping
from typing import Any

from sambaflow._base import messages

_LEVELS = {logging.DEBUG: messages.DEBUG, logging.INFO: messages.INFO, logging.WARNING: messages.WARNING}


class _Lines(logging.Handler):
    """Prints lines as the compiler does; --log-level says from which level on."""

    def __init__(self) -> None:
        super().__init__()
        self._before: deque[str] = deque(maxlen=1000)  # lines, until a warning makes them worth a file
        self._path: str | None = None

    def emit(self, record: logging.LogRecord) -> None:
        level, text = _LEVELS.get(record.levelno, messages.ERROR), record.getMessage()
        compiling = messages.running()
        if compiling is not None:
            compiling.say(level, "samba", text)
            return
        options = _arguments()
        if level >= messages.screen_level(options):
            print(messages.line(level, "samba", text), flush=True)
        if options.get("log_dir") and (level > messages.DEBUG or messages.is_detailed(options)):
            self._keep(level, messages.line(level, "samba", text), options)

    def _keep(self, level: int, line: str, options: Mapping[str, Any]) -> None:
        self._before.append(line)
        if self._path is None and level < messages.WARNING:
            return
        if self._path is None:
            name = os.path.basename(options.get("pef") or sys.argv[0]).removesuffix(".pef").removesuffix(".py")
            os.makedirs(options["log_dir"], exist_ok=True)
            self._path = os.path.join(options["log_dir"], f"{name or 'program'}.{options.get('command')}.log")
            with open(self._path, "w", encoding="utf-8"):
                pass
        with open(self._path, "a", encoding="utf-8") as file:
            file.writelines(f"{kept}\n" for kept in self._before)
        self._before.clear()


_options: Callable[[], argparse.Namespace | None] | None = None


def take_options(options: Callable[[], argparse.Namespace | None]) -> None:
    """A plug-in point: from here on `options` gives the parsed options of the program."""
    global _options
    _options = options


def _arguments() -> dict[str, Any]:
    """The parsed options of the program, without those that it defined anew."""
    args = None if _options is None else _options()
    own = getattr(args, "program_options", ())
    return {name: value for name, value in vars(args).items() if name not in own} if args is not None else {}


def is_verbose() -> bool:
    """Whether lines of level debug are shown, or kept."""
    options = _arguments()
    return messages.is_detailed(options) or messages.screen_level(options) == messages.DEBUG


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
