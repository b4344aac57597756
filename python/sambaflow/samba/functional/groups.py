# SPDX-License-Identifier: Apache-2.0

"""Grouping of tokens for mixtures of experts."""

from __future__ import annotations

from typing import NoReturn

import torch

from sambaflow._base.library import UnsupportedError


def groupby(
    tensor: torch.Tensor,
    num_bins: int = 32,
    capacity: int = 1,
    samples_to_reset: int = 1,
    with_hist_buffer: bool = False,
    no_overflow_bin: bool = False,
) -> NoReturn:
    """Refused: what its two results hold was never published, and a guess would give wrong numbers silently."""
    raise UnsupportedError(
        "samba.groupby is not supported, because the meaning of its results is not published; group tokens with "
        "ordinary ops: one_hot(bins, num_bins) counts them (sum over tokens) and places them (cumsum over tokens), "
        "and sn_gather or sn_scatter moves them"
    )
