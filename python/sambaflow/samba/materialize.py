# SPDX-License-Identifier: Apache-2.0

"""Data for parameters that were made without."""

from __future__ import annotations

from typing import Any

from torch import nn

from sambaflow._tensors.tensor import SambaTensor
from sambaflow._tensors.tensor import materialize as materialize_tensor


class materialize:
    """`materialize(model)` fills every empty parameter by its materializer, in the order of the model.

    Used as a context manager it empties them again at the end:

        with materialize(model):
            model(*inputs)  # on the host
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self._filled = [p for p in model.parameters() if isinstance(p, SambaTensor) and not p.has_data]
        for parameter in self._filled:
            materialize_tensor(parameter)
        empty = [name for name, p in model.named_parameters() if isinstance(p, SambaTensor) and not p.has_data]
        if empty:
            raise ValueError(
                f"materialize: {', '.join(empty)} of {type(model).__name__} have neither data nor a materializer; load "
                "a checkpoint, or make them with SambaParameter(materializer=...) or inside lazy_param()"
            )

    def __enter__(self) -> nn.Module:
        return self.model

    def __exit__(self, *_: Any) -> None:
        for parameter in self._filled:
            parameter.clear_data()
