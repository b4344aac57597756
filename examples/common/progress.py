# SPDX-License-Identifier: Apache-2.0
"""A progress bar on standard error; silent when that is not a terminal."""

import sys
import time

_WIDTH = 30
_SECONDS_BETWEEN_DRAWS = 0.1


def progress(items, total, label, losses=()):
    """Yields `items` and draws how far it is, the rate and the last of `losses`."""
    if not sys.stderr.isatty():
        yield from items
        return
    start = last = time.monotonic()
    for count, item in enumerate(items, start=1):
        yield item
        now = time.monotonic()
        if now - last >= _SECONDS_BETWEEN_DRAWS or count == total:
            last = now
            filled = _WIDTH * count // max(total, 1)
            bar = "#" * filled + "." * (_WIDTH - filled)
            rate = count / max(now - start, 1e-9)
            status = f", loss {float(losses[-1]):.4f}" if losses else ""
            sys.stderr.write(f"\r{label} [{bar}] {count}/{total} {rate:.0f}/s{status}\x1b[K")
            sys.stderr.flush()
    sys.stderr.write("\r\x1b[K")
    sys.stderr.flush()
