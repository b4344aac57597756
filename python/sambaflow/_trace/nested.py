# SPDX-License-Identifier: Apache-2.0
"""What `nn.TransformerEncoder` does in inference with padding on the right: it computes on nested tensors, and what
comes out at padded places is 0. Here it computes on all places, and puts the zeros in."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn

from sambaflow._trace.patches import replaced
from sambaflow._trace.recorder import Recorder


@contextlib.contextmanager
def padded_with_zeros(recorder: Recorder) -> Iterator[None]:
    """Inside, encoders of an inference give what they give under torch.no_grad()."""
    plain = nn.TransformerEncoder.forward

    def forward(
        encoder: nn.TransformerEncoder,
        src: torch.Tensor,
        mask: torch.Tensor | None = None,
        src_key_padding_mask: torch.Tensor | None = None,
        is_causal: bool | None = None,
    ) -> torch.Tensor:
        padding = src_key_padding_mask
        if padding is None or not _takes_nested(encoder, src, mask):
            return plain(encoder, src, mask, padding, is_causal)
        output = _without_norm(encoder, lambda: plain(encoder, src, mask, padding, is_causal))
        kept = padding.logical_not()
        hidden = kept.logical_not().unsqueeze(2)
        if getattr(encoder, "mask_check", True):
            hidden = hidden & (kept[:, 1:] <= kept[:, :-1]).all()
        output = torch.where(hidden, torch.zeros((), dtype=output.dtype), output)
        return output if encoder.norm is None else encoder.norm(output)

    with contextlib.ExitStack() as stack:
        if recorder.inference:
            stack.enter_context(replaced(nn.TransformerEncoder, "forward", forward))
        yield


def _takes_nested(encoder: nn.TransformerEncoder, src: torch.Tensor, mask: torch.Tensor | None) -> bool:
    """The conditions of torch; those on the kinds of the layers were met when `use_nested_tensor` was set."""
    wants = torch.backends.mha.get_fastpath_enabled() and getattr(encoder, "use_nested_tensor", False)
    return bool(wants and not encoder.layers[0].training and src.dim() == 3 and mask is None)


def _without_norm(encoder: nn.TransformerEncoder, call: Callable[[], Any]) -> Any:
    norm, encoder.norm = encoder.norm, None
    try:
        return call()
    finally:
        encoder.norm = norm
