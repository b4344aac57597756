# SPDX-License-Identifier: Apache-2.0

"""Losses."""

from __future__ import annotations

from torch.nn import functional as F

from sambaflow.samba.functional._names import export

__all__ = export(
    globals(),
    F,
    "binary_cross_entropy binary_cross_entropy_with_logits cross_entropy huber_loss kl_div l1_loss mse_loss nll_loss "
    "smooth_l1_loss",
)
