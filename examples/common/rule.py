# SPDX-License-Identifier: Apache-2.0
"""How parameters are updated, said once for the PEF and for plain PyTorch."""

from collections.abc import Callable
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Rule:
    """One update: `make` gives PyTorch's optimizer of parameters, `hyper` is what session.run gets for the same step.

    `make` has a second parameter, the form in which PyTorch runs the update: "fused" (the default) or "foreach".
    `unit` and `units` say what a step works on and how many of it there are in one element of the batch.
    """

    make: Callable
    hyper: dict
    max_grad_norm: float | None = None
    unit: str = "images"
    units: int = 1

    def clip(self, parameters):
        """Clips gradients as the compiled program does."""
        if self.max_grad_norm is not None:
            torch.nn.utils.clip_grad_norm_(parameters, self.max_grad_norm)


def sgd_rule(lr):
    """SGD with momentum 0.9, the rule of the image programs."""
    return Rule(
        make=lambda parameters, form="fused": torch.optim.SGD(parameters, lr=lr, momentum=0.9, **{form: True}),
        hyper={"lr": lr, "momentum": 0.9, "weight_decay": 0.0},
    )
