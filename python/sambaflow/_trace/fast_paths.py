# SPDX-License-Identifier: Apache-2.0
"""What torch's fast paths of attention in inference do otherwise than its usual ones.

`nn.TransformerEncoder` with padding on the right computes on nested tensors, and what comes out at padded places is 0:
here it computes on all places, and puts the zeros in. `nn.MultiheadAttention` lays its result out batch by batch, where
its usual path gives a transposed view: what is written through a reshape of one reaches it, through that of the other
not.
"""

from __future__ import annotations

import contextlib
import functools
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

    with replaced(nn.TransformerEncoder, "forward", forward) if recorder.inference else contextlib.nullcontext():
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


@contextlib.contextmanager
def laid_out_by_batch(recorder: Recorder) -> Iterator[None]:
    """Inside, attention in an inference lays its result out as under torch.no_grad()."""
    plain = nn.MultiheadAttention.forward

    @functools.wraps(plain)
    def forward(attention: nn.MultiheadAttention, query: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        result, weights = plain(attention, query, *args, **kwargs)
        return result.contiguous() if _takes_fast_path(attention, query, *args, **kwargs) else result, weights

    with replaced(nn.MultiheadAttention, "forward", forward) if recorder.inference else contextlib.nullcontext():
        yield


def _takes_fast_path(
    own: nn.MultiheadAttention, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *rest: Any, **named: Any
) -> bool:
    """The conditions of torch, but for those without which there is no result."""
    plain = own.bias_k is None and own.bias_v is None and not own.add_zero_attn and own.in_proj_weight is not None
    fits = query is key is value and query.dim() == 3 and own.batch_first and own.num_heads % 2 == 0
    wanted = torch.backends.mha.get_fastpath_enabled() and not torch.is_autocast_enabled("cpu")
    biased = any(isinstance(mask, torch.Tensor) and mask.is_floating_point() for mask in (*rest, *named.values()))
    return bool(fits and plain and wanted and not biased and not own.training)
