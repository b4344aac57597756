# SPDX-License-Identifier: Apache-2.0
"""BatchNorm with momentum None: the average over all batches so far."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch.nn.modules.batchnorm import _BatchNorm


@contextlib.contextmanager
def cumulative_averages() -> Iterator[None]:
    """While a model is traced: torch reads the count of batches as a Python number, which a trace does not have."""
    real = _BatchNorm.forward

    def forward(self: _BatchNorm, x: torch.Tensor) -> torch.Tensor:
        averages = self.momentum is None and self.training and self.track_running_stats
        if not averages or self.num_batches_tracked is None or self.running_mean is None or self.running_var is None:
            return real(self, x)
        self._check_input_dim(x)
        self.num_batches_tracked.add_(1)
        mean, var = torch.zeros_like(self.running_mean), torch.ones_like(self.running_var)
        y = torch.nn.functional.batch_norm(x, mean, var, self.weight, self.bias, True, 1.0, self.eps)
        with torch.no_grad():
            part = 1.0 / self.num_batches_tracked
            for average, batch in ((self.running_mean, mean), (self.running_var, var)):
                average.mul_(1 - part).add_(batch * part)
        return y

    _BatchNorm.forward = forward  # type: ignore[method-assign]
    try:
        yield
    finally:
        _BatchNorm.forward = real  # type: ignore[method-assign]
