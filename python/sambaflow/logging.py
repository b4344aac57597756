# SPDX-License-Identifier: Apache-2.0
"""The logger of programs."""

from __future__ import annotations

import logging
from collections import Counter
from typing import Any


class SambaLogger:
    """Python's logger, with a limit on how often one message is shown."""

    def __init__(self) -> None:
        self._logger = logging.getLogger("sambaflow")
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
