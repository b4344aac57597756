# SPDX-License-Identifier: Apache-2.0
"""Gradients that a program is given of its outputs: symbols of the PEF which keep what they were given last."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from sambaflow._runtime.device import Device, Symbol
from sambaflow._tensors.tensor import SambaTensor, plain_tensor


class OutputGradients:
    """Those of the outputs that were traced; ones until they are given."""

    def __init__(self, device: Device, traced: Sequence[SambaTensor]) -> None:
        self._device, self._traced = device, traced
        self.any = any(getattr(t._binding, "seed", "") == "symbol" for t in traced)
        self._given: dict[int, torch.Tensor] = {}
        for tensor in traced:
            symbol = self._symbol(tensor) if getattr(tensor._binding, "seed", "") == "symbol" else None
            if symbol is not None:
                device.write(symbol, torch.ones(symbol.shape, dtype=symbol.dtype))

    def _symbol(self, traced: SambaTensor) -> Symbol | None:
        return self._device.of(traced._binding.name, "seed")

    def give(self, gradients: Sequence[torch.Tensor] | None) -> None:
        """Writes `gradients`, one an output; None: those that the program set as `sn_grad` of its outputs, where they
        are others than before. InvalidArgumentError: for an output whose gradient is fixed."""
        given = [t._binding.grad for t in self._traced] if gradients is None else list(gradients)
        for traced, grad in zip(self._traced, given, strict=False):
            if grad is None:
                continue
            if traced._binding.seed != "symbol":
                traced._binding.check_gradient(plain_tensor(grad))
                continue
            symbol = self._symbol(traced)
            if symbol is not None and (gradients is not None or self._given.get(id(traced)) is not grad):
                self._device.write(symbol, gradient_of_rows(plain_tensor(grad), symbol.shape))
                self._given[id(traced)] = grad if gradients is None else torch.empty(0)


def gradient_of_rows(grad: torch.Tensor, shape: Sequence[int]) -> torch.Tensor:
    """A gradient given for the traced rows, as a smaller batch takes it."""
    if grad.dim() == len(shape) and grad.numel() != torch.Size(shape).numel():
        grad = grad[tuple(slice(size) for size in shape)]
    return grad.reshape(shape)
