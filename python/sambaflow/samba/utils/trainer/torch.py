# SPDX-License-Identifier: Apache-2.0

"""The same training loop on the host, in plain PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from torch import nn, optim

from sambaflow._tensors.tensor import to_torch


def train(
    model: nn.Module,
    loader: Iterable[Sequence[Any]],
    optimizer: optim.Optimizer,
    num_epochs: int = 1,
    num_steps: int | None = None,
    on_step: Callable[[int, float], Any] | None = None,
) -> list[float]:
    """Trains `model` with `optimizer`; the mean loss of every step. Batches are the arguments of forward."""
    losses: list[float] = []
    for _epoch in range(num_epochs):
        for batch in loader:
            if num_steps is not None and len(losses) >= num_steps:
                break
            optimizer.zero_grad(set_to_none=True)
            result = model(*[to_torch(tensor) for tensor in batch])
            loss = (result[0] if isinstance(result, (tuple, list)) else result).mean()
            loss.backward()
            optimizer.step()
            losses.append(float(to_torch(loss).detach()))
            if on_step is not None:
                on_step(len(losses), losses[-1])
    return losses
