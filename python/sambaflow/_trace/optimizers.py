# SPDX-License-Identifier: Apache-2.0
"""Optimizers as graph statements: one for each parameter group.

Hyperparameters that a run may change stay symbols. A name stands for one symbol, so a hyperparameter whose value
differs between groups of the same prefix is fixed at compile time instead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from sambaflow._base.library import hyperparameters
from sambaflow._trace.errors import TraceError
from sambaflow._trace.graph import Attr


@dataclass
class Statement:
    """One `optimizer` statement, and the host optimizer and group it stands for."""

    optimizer: torch.optim.Optimizer
    group: Mapping[str, Any]
    parameters: list[torch.Tensor]
    attrs: dict[str, Attr]

    @property
    def kind(self) -> str:
        return str(self.attrs["kind"])


def statements(optimizers: Any) -> list[Statement]:
    """The statements of one optimizer, a list of them, or None."""
    if optimizers is None:
        return []
    listed = list(optimizers) if isinstance(optimizers, (list, tuple)) else [optimizers]
    for optimizer in listed:
        _check_hooks(optimizer)
    result = [
        Statement(optimizer, group, parameters, _attributes(optimizer, group))
        for optimizer in listed
        if optimizer is not None
        for group in optimizer.param_groups
        if (parameters := [p for p in group["params"] if p.requires_grad])
    ]
    _check_disjoint(result)
    for statement in result:
        statement.attrs["hyper"] = ",".join(_variable(statement))
    return result


def _attributes(optimizer: torch.optim.Optimizer, group: Mapping[str, Any]) -> dict[str, Attr]:
    for base, read in ((torch.optim.SGD, _sgd), (torch.optim.AdamW, _adamw)):
        if isinstance(optimizer, base):
            attrs = read(group)
            prefix = str(group.get("argin_region_name") or "")
            return {**attrs, "prefix": prefix} if prefix else attrs
    raise TraceError(
        f"optimizer {type(optimizer).__name__} cannot be compiled: use samba.optim.SGD or samba.optim.AdamW"
    )


def _sgd(group: Mapping[str, Any]) -> dict[str, Attr]:
    return {
        "kind": "sgd",
        "lr": float(group["lr"]),
        "momentum": float(group["momentum"]),
        "dampening": float(group["dampening"]),
        "weight_decay": float(group["weight_decay"]),
        "nesterov": bool(group["nesterov"]),
        "maximize": bool(group["maximize"]),
        **_clipping(group),
    }


def _adamw(group: Mapping[str, Any]) -> dict[str, Attr]:
    return {
        "kind": "adamw",
        "lr": float(group["lr"]),
        "weight_decay": float(group["weight_decay"]),
        "maximize": bool(group["maximize"]),
        "beta1": float(group["betas"][0]),
        "beta2": float(group["betas"][1]),
        "eps": float(group["eps"]),
        "amsgrad": bool(group["amsgrad"]),
        "fp32_params": bool(group.get("fp32_params", False)),
        **_clipping(group),
    }


def _clipping(group: Mapping[str, Any]) -> dict[str, Attr]:
    limit = group.get("max_grad_norm")
    return {} if limit is None else {"max_grad_norm": float(limit)}


def _variable(statement: Statement) -> list[str]:
    """The hyperparameters of `statement` that a run may change.

    Optimizers of one prefix share them: where their values differ, each keeps its own until a run sets the name.
    """
    return [name for name in hyperparameters() if name in statement.attrs]


def _check_hooks(optimizer: Any) -> None:
    """What hangs on `step` is never called: updates are part of the compiled program."""
    for when in ("pre", "post"):
        if getattr(optimizer, f"_optimizer_step_{when}_hooks", None):
            raise TraceError(
                f"optimizer {type(optimizer).__name__}: a hook of register_step_{when}_hook cannot be compiled, since "
                "updates are part of the program and step is never called; remove the hook"
            )


def _check_disjoint(found: Sequence[Statement]) -> None:
    seen: set[int] = set()
    for statement in found:
        for parameter in statement.parameters:
            if id(parameter) in seen:
                name = getattr(parameter, "sn_name", None) or "<unnamed>"
                raise TraceError(f"parameter {name} belongs to two optimizers; give each its own parameters")
            seen.add(id(parameter))
