# SPDX-License-Identifier: Apache-2.0
"""What a compile says: lines on the screen, two log files, and a bar on a terminal.

A line is about the program (layer `samba`) or its mapping (layer `mac`). Files are `<name>.samba.log` and
`<name>.mac.log`; one that holds warnings goes to the folder of --log-dir where that is given.
"""

from __future__ import annotations

import contextlib
import contextvars
import os
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from sambaflow._base.library import enumeration

LEVELS = tuple(enumeration("LEAT_LOG_"))
DEBUG, INFO, WARNING, ERROR = enumeration("LEAT_LOG_").values()
LAYERS = ("samba", "mac")
_BAR_WIDTH = 24


def line(level: int, layer: str, text: str) -> str:
    """One message as the screen and the logs show it."""
    if level == WARNING:
        return f"[warning {layer if layer == 'samba' else ''}] {text}"
    return f"[{LEVELS[level]:<6}] {text}" if level == ERROR else f"[{LEVELS[level]:<5}] {text}"


def screen_level(config: Mapping[str, Any]) -> int:
    """The least severe level that is shown."""
    if config.get("log_level") in LEVELS:
        return LEVELS.index(config["log_level"])
    return DEBUG if is_detailed(config) else INFO


def is_detailed(config: Mapping[str, Any]) -> bool:
    """Whether logs hold the lines of level debug, too."""
    return bool(config.get("verbose") or config.get("debug"))


class Messages:
    """The messages of one compile whose files begin with `stem`."""

    def __init__(self, stem: str, config: Mapping[str, Any]) -> None:
        self._stem = stem
        self._level = screen_level(config)
        self._detailed = is_detailed(config)
        self._log_dir = config.get("log_dir") or None
        self._lines: dict[str, list[str]] = {layer: [] for layer in LAYERS}
        self._warned: set[str] = set()
        self._bar = sys.stderr.isatty() and self._level <= INFO
        for layer in LAYERS:
            self.say(INFO, layer, f"Placing log files in {stem}.{layer}.log")

    def say(self, level: int, layer: str, text: str) -> None:
        """One message: to the screen if it is severe enough, and to the layer's log."""
        shown = line(level, layer, text)
        if level >= self._level:
            self._clear_bar()
            print(shown, flush=True)
        self.log(level, layer, text)

    def log(self, level: int, layer: str, text: str) -> None:
        """One message for the layer's log alone."""
        if level > DEBUG or self._detailed:
            self._lines[layer].append(line(level, layer, text))
        if level >= WARNING:
            self._warned.add(layer)

    def progress(self, done: int, total: int, what: str) -> None:
        """The bar over the steps of the compiler; it is gone when all are done."""
        if not self._bar:
            return
        if done >= total:
            self._clear_bar()
            return
        filled = _BAR_WIDTH * done // total
        bar = "#" * filled + "." * (_BAR_WIDTH - filled)
        print(f"\r\x1b[K[{bar}] {done}/{total} {what}", end="", file=sys.stderr, flush=True)

    def _clear_bar(self) -> None:
        if self._bar:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)

    def close(self) -> None:
        """Writes both logs."""
        self._clear_bar()
        for layer, lines in self._lines.items():
            path = f"{self._stem}.{layer}.log"
            if layer in self._warned and self._log_dir:
                os.makedirs(self._log_dir, exist_ok=True)
                path = os.path.join(self._log_dir, os.path.basename(path))
                if self._level <= INFO:
                    print(line(INFO, "samba", f"Logs with warnings are generated in {path}"), flush=True)
            with open(path, "w", encoding="utf-8") as file:
                file.writelines(f"{text}\n" for text in lines)


_running: contextvars.ContextVar[Messages | None] = contextvars.ContextVar("leat_messages", default=None)


@contextlib.contextmanager
def messages_of(stem: str, config: Mapping[str, Any]) -> Iterator[Messages]:
    """The messages of a compile; what the program logs meanwhile goes to them."""
    messages = Messages(stem, config)
    token = _running.set(messages)
    try:
        yield messages
    except Exception as error:  # the screen shows it where it ends the program
        messages.log(ERROR, "samba", " ".join(str(error).split()) or type(error).__name__)
        raise
    finally:
        _running.reset(token)
        messages.close()


def running() -> Messages | None:
    """Those of the compile that is going on in this thread."""
    return _running.get()
