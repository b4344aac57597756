# SPDX-License-Identifier: Apache-2.0
"""Adam with decoupled weight decay."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from sambaflow.samba.optim._base import DeviceOptimizer


class AdamW(DeviceOptimizer, torch.optim.AdamW):
    """AdamW with SambaFlow's defaults, which are not torch's: beta2 0.997, no weight decay.

    `max_grad_norm` clips the norm of the gradients, `fp32_params` keeps a master copy of bf16 parameters in fp32,
    `argin_region_name` is put before the names of this optimizer's hyperparameters.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 0.001,
        betas: tuple[float, float] = (0.9, 0.997),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        max_grad_norm: float | None = None,
        fp32_params: bool = False,
        argin_region_name: str = "",
        **kwargs: Any,
    ) -> None:
        super().__init__(list(params), lr, betas, eps, weight_decay, amsgrad, **kwargs)
        for group in self.param_groups:
            group.setdefault("max_grad_norm", max_grad_norm)
            group.setdefault("fp32_params", fp32_params)
            group.setdefault("argin_region_name", argin_region_name)


class SparseAdamW(AdamW):
    """AdamW for embedding tables. Rows without a gradient decay and move by their moments as all others do."""


class Adam(AdamW):
    """The name that some programs use for AdamW: with weight decay it is decoupled, unlike torch.optim.Adam's."""
