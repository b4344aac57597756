# SPDX-License-Identifier: Apache-2.0
"""Files from outside: whatever a parser raises becomes one message that names the file."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator


@contextlib.contextmanager
def reading(path: str | os.PathLike[str], kind: str) -> Iterator[None]:
    """Reads a file of `kind` ("a YAML file") in its block.

    Raises FileNotFoundError and other OSErrors as they are where they name the file, and ValueError for what is not
    a regular file or what the parser does not accept.
    """
    name = os.fspath(path)
    if os.path.exists(name) and not os.path.isfile(name):
        raise ValueError(f"{name}: not a regular file")
    try:
        yield
    except Exception as error:
        if name in str(error) and isinstance(error, (OSError, ValueError)):
            raise
        raise ValueError(f"{name}: not {kind} that can be read: {shown(error)}; write it again") from error


def shown(error: Exception) -> str:
    """What a parser said, as one line that can be printed: it may quote bytes of the file."""
    return printable((" ".join(str(error).split()) or type(error).__name__)[:300])


def printable(line: str) -> str:
    """A line that names what a file names, without what would steer a terminal."""
    return "".join(c if c.isprintable() else "?" for c in line)
