# SPDX-License-Identifier: Apache-2.0

"""Numbers to look at when accuracy is not what it should be."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from sambaflow._base.files import write_json
from sambaflow._tensors.tensor import SambaTensor, plain_tensor


def dump_accuracy_debug_info(
    output_dir: str | os.PathLike[str],
    model: nn.Module,
    tensors: Mapping[str, torch.Tensor] | None = None,
    step: int = 0,
) -> str:
    """Writes `accuracy_debug_<step>.json` into `output_dir`; returns its path.

    For each parameter of the traced `model` it holds the device's value and gradient, and for each of `tensors` its
    value: shape, dtype, min, max, mean, standard deviation, and how many elements are NaN, infinite or zero.
    """
    os.makedirs(output_dir, exist_ok=True)
    record: dict[str, Any] = {"step": step, "parameters": {}, "tensors": {}}
    for name, parameter in model.named_parameters():
        if isinstance(parameter, SambaTensor):
            entry = {"value": statistics(parameter.sn_data)}
            gradient = parameter.sn_grad
            if gradient is not None:
                entry["gradient"] = statistics(gradient)
            record["parameters"][name] = entry
    record["tensors"] = {name: statistics(tensor) for name, tensor in (tensors or {}).items()}
    path = os.path.join(os.fspath(output_dir), f"accuracy_debug_{step}.json")
    write_json(path, record)
    return path


def statistics(tensor: torch.Tensor) -> dict[str, Any]:
    """What a tensor looks like; min, max, mean and deviation are of its finite elements, None where there is none."""
    plain = plain_tensor(tensor).detach()
    values = plain.double()
    finite = values[values.isfinite()]
    some = finite.numel() > 0
    return {
        "shape": list(plain.shape),
        "dtype": str(plain.dtype).removeprefix("torch."),
        "min": float(finite.min()) if some else None,
        "max": float(finite.max()) if some else None,
        "mean": float(finite.mean()) if some else None,
        "std": float(finite.std(correction=0)) if some else None,
        "nan": int(values.isnan().sum()),
        "inf": int(values.isinf().sum()),
        "zero": int((values == 0).sum()),
    }
