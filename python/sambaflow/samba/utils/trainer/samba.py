# SPDX-License-Identifier: Apache-2.0

"""A training loop on the device."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from torch import nn


def train(
    model: nn.Module,
    loader: Iterable[Sequence[Any]],
    names: Sequence[str],
    num_epochs: int = 1,
    hyperparam_dict: Mapping[str, float] | None = None,
    num_steps: int | None = None,
    on_step: Callable[[int, float], Any] | None = None,
) -> list[float]:
    """Trains the traced `model`; the mean loss of every step.

    `loader` yields batches of one tensor for each of `names`. The first output is the loss. `on_step(step, loss)` is
    called after each step. `session.to_cpu(model)` brings the weights to the host at the end.
    """
    from sambaflow import samba

    outputs = getattr(model, "output_tensors", None)
    if outputs is None:
        raise RuntimeError(f"{type(model).__name__} is not traced: call samba.utils.trace_graph(model, ..., pef=...)")
    losses: list[float] = []
    for _epoch in range(num_epochs):
        for batch in loader:
            if num_steps is not None and len(losses) >= num_steps:
                break
            named = [samba.from_torch_tensor(tensor, name=n) for tensor, n in zip(batch, names, strict=True)]
            found = samba.session.run(named, outputs, hyperparam_dict=hyperparam_dict)
            losses.append(float(samba.to_torch(found[0]).float().mean()))
            if on_step is not None:
                on_step(len(losses), losses[-1])
    samba.session.to_cpu(model)
    return losses
