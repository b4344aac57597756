# SPDX-License-Identifier: Apache-2.0
"""Tracing for a run, seeds, ranks, comparison."""

from __future__ import annotations

import os
import random
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from sambaflow._base import options
from sambaflow._base.library import UnsupportedError
from sambaflow._tensors.tensor import SambaTensor, plain_tensor, to_torch
from sambaflow.samba._extras import refuse_multigraph
from sambaflow.samba._keywords import check_keywords, other_name
from sambaflow.samba._types import SNType as SNType


def trace_graph(
    model: nn.Module,
    inputs: Any,
    optim: Any = None,
    init_output_grads: bool = True,
    loss_indices: Sequence[Any] | None = None,
    pef: str = "",
    mapping: str | None = None,
    data_parallel_mode: str = "normal",
    transfer_device: bool = True,
    **others: Any,
) -> tuple[SambaTensor, ...]:
    """Loads `pef`, checks that it was compiled from this program, and moves the weights to the device.

    Returns stand-ins for the outputs, in the order of forward; they are also stored as `model.output_tensors`. Of
    `data_parallel_mode` there is "normal". `others` are keywords of other releases: see `samba._keywords`.
    """
    from sambaflow import samba

    optim = other_name("utils.trace_graph", "optim", optim, others)
    check_keywords("utils.trace_graph", others)
    options.check_value(options.by_dest()["data_parallel_mode"], data_parallel_mode)
    return samba.session.load(
        model,
        inputs,
        optim,
        pef=pef,
        init_output_grads=init_output_grads,
        loss_indices=loss_indices,
        mapping=mapping,
        transfer_device=transfer_device,
    )


def set_seed(seed: int) -> None:
    """Seeds Python, numpy, torch and the random streams of programs loaded later."""
    from sambaflow import samba

    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
    samba.session.seed = seed


def trace_multigraph(model: nn.Module, inputs: Any, trace_prefix: str = "") -> tuple[SambaTensor, ...]:
    """Not supported yet: several graphs in one PEF."""
    refuse_multigraph("utils.trace_multigraph")


def init_output_grads(
    output_tensors: Sequence[str],
    unspecified_tensor_grad: Sequence[str] = (),
    customized_tensors_dict: Mapping[str, torch.Tensor] | None = None,
    is_variable_batch_size: bool = False,
) -> None:
    """Sets the gradient seeds (`sn_grad`) of the traced outputs named in `output_tensors`.

    An output gets its tensor of `customized_tensors_dict`; those in `unspecified_tensor_grad` are left alone; all
    others get ones. Trace with `init_output_grads=False`, so that every output has a seed to set.
    """
    from sambaflow import samba

    traced = {tensor.sn_name: tensor for tensor in samba.session.traced_outputs()}
    custom = customized_tensors_dict or {}
    unknown = [name for name in (*output_tensors, *custom) if name not in traced]
    if unknown:
        raise ValueError(f"init_output_grads: no output {', '.join(unknown)}; there are {', '.join(map(str, traced))}")
    for name in output_tensors:
        tensor = traced[name]
        if name in custom:
            tensor.sn_grad = custom[name]
        elif name not in unspecified_tensor_grad:
            tensor.sn_grad = torch.ones(tensor.shape, dtype=tensor.dtype)


def get_file_dir(path: str) -> str:
    """The folder of `path` (usually `__file__`)."""
    return os.path.dirname(os.path.abspath(path))


def _distributed() -> bool:
    return torch.distributed.is_available() and torch.distributed.is_initialized()


def get_rank() -> int:
    return torch.distributed.get_rank() if _distributed() else 0


def get_world_size() -> int:
    return torch.distributed.get_world_size() if _distributed() else 1


def is_main_process() -> bool:
    return get_rank() == 0


def fix_rdu_affinity() -> None:
    """Gives each rank of this machine its own share of the CPUs that the process may use; one rank keeps them all."""
    cpus = sorted(os.sched_getaffinity(0))
    ranks = min(int(os.environ.get("LOCAL_WORLD_SIZE") or get_world_size()), len(cpus))
    if ranks > 1:
        rank = int(os.environ.get("LOCAL_RANK") or get_rank()) % ranks
        os.sched_setaffinity(0, cpus[rank * len(cpus) // ranks : (rank + 1) * len(cpus) // ranks])


def create_mac_resource_report(
    compile_report_file_path: str | None = None,
    mac_resource_file_path: str | None = None,
    output_file_path: str | None = None,
    prism_node_reports_dir: str | None = None,
) -> None:
    """Refused: it summarises which units of a chip a program takes, and a program for CPUs takes none."""
    raise UnsupportedError(
        "create_mac_resource_report is not supported: a program for CPUs takes no units of a chip; sections, memory "
        "and floating-point operations are in `leat info PEF` and in measure_performance(compiled_stats_json=...)"
    )


def assert_close(
    actual: Any,
    expected: Any,
    name: str = "",
    threshold: float | None = None,
    rtol: float | None = None,
    visualize: bool | None = None,
    **_: Any,
) -> None:
    """Raises AssertionError, naming the worst element, unless |actual - expected| <= threshold + rtol * |expected|.

    `threshold` is 0 unless given and `rtol` 1e-5. With neither, differences pass that rounding makes: up to a part of
    the largest expected element that depends on the dtype (2e-4 of it for float32, 2e-2 for bfloat16).

    `visualize` (the option --visualize unless given) prints the worst element of a comparison that passes, too.
    """
    a, b = (plain_tensor(torch.as_tensor(to_torch(t))).detach().double() for t in (actual, expected))
    label = name or "tensors"
    if threshold is None and rtol is None:
        from sambaflow.samba.test import rounding

        threshold, rtol = rounding(b, *(t.dtype for t in (actual, expected) if isinstance(t, torch.Tensor))), 0.0
    threshold, rtol = threshold or 0.0, 1e-5 if rtol is None else rtol
    if a.shape != b.shape:
        raise AssertionError(f"{label}: shapes differ, {list(a.shape)} and {list(b.shape)}")
    if a.numel() == 0:
        return
    excess = ((a - b).abs() - (threshold + rtol * b.abs())).reshape(-1)
    excess[excess.isnan()] = torch.inf
    worst = int(excess.argmax())
    place = [int(i) for i in torch.unravel_index(torch.tensor(worst), a.shape)] if a.dim() else []
    text = f"{label}: worst at {place}: {float(a.reshape(-1)[worst]):.7g} against {float(b.reshape(-1)[worst]):.7g}"
    if bool(excess[worst] > 0):
        raise AssertionError(f"{text} (threshold {threshold:g}, rtol {rtol:g}, {int((excess > 0).sum())} beyond it)")
    if _is_shown() if visualize is None else visualize:
        print(text)


def _is_shown() -> bool:
    from sambaflow import samba
    from sambaflow.samba._at_end import is_asked

    return is_asked(samba.session.args, "visualize")
