# SPDX-License-Identifier: Apache-2.0
"""The tracer: from a PyTorch model to graph text. See `tracer.py` for how, `program.py` for what comes out."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sambaflow._trace.tracer import Tracer


def current() -> Tracer | None:
    """The tracer at work in this thread, or None."""
    from sambaflow._trace import tracer

    return tracer.current()
