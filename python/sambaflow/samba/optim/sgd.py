# SPDX-License-Identifier: Apache-2.0
"""Stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from sambaflow.samba.optim._base import DeviceOptimizer


class SGD(DeviceOptimizer, torch.optim.SGD):
    """torch's SGD. The momentum buffer is kept even for momentum 0, since a run may pass another value."""

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        max_grad_norm: float | None = None,
        argin_region_name: str = "",
        **kwargs: Any,
    ) -> None:
        super().__init__(list(params), lr, momentum, dampening, weight_decay, nesterov, **kwargs)
        for group in self.param_groups:
            group.setdefault("max_grad_norm", max_grad_norm)
            group.setdefault("argin_region_name", argin_region_name)
