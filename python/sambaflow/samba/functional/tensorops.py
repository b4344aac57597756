# SPDX-License-Identifier: Apache-2.0

"""Shapes, pieces and places: what moves elements without computing with them."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional as F

from sambaflow._trace import own
from sambaflow._trace.tensor import TracedTensor
from sambaflow._trace.tracer import current
from sambaflow.samba.functional._names import export, export_methods, joined

_TORCH = export(
    globals(),
    torch,
    "broadcast_to cat chunk clone concat diagonal flatten flip full_like gather index_add index_select masked_fill "
    "movedim narrow ones_like permute repeat_interleave reshape roll scatter scatter_add select split squeeze stack "
    "swapaxes t tile transpose tril triu unbind unflatten unsqueeze zeros_like",
)
_FUNCTIONAL = export(globals(), F, "embedding one_hot pad pixel_shuffle pixel_unshuffle")
_METHODS = export_methods(globals(), "contiguous expand expand_as repeat type_as view view_as")


def triu_fill(input: Any, value: float) -> Any:
    """`input` with everything strictly above the main diagonal of the last two dims set to `value`."""
    tracer = current()
    if tracer is not None and isinstance(tracer.lookup(input), TracedTensor):
        return own.triu_fill(tracer, input, float(value))
    above = torch.ones(input.shape[-2:], dtype=torch.bool).triu(1)
    return input.masked_fill(above, value)


__all__ = joined(_TORCH, _FUNCTIONAL, _METHODS, ["triu_fill"])
