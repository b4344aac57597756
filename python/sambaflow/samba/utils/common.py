# SPDX-License-Identifier: Apache-2.0
"""The command driver of older programs, and the compile call of utils."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from sambaflow._base.library import InvalidArgumentError
from sambaflow.samba._artifacts import standard_value


def compile(
    model: nn.Module,
    inputs: Any,
    optimizers: Any = None,
    name: str | None = None,
    app_dir: str | None = None,
    **kwargs: Any,
) -> str:
    """`samba.session.compile` under its older name; returns the path of the PEF."""
    from sambaflow import samba

    return samba.session.compile(model, inputs, optimizers, name=name, app_dir=app_dir, **kwargs)


def common_app_driver(
    args: argparse.Namespace,
    model: nn.Module,
    inputs: Any,
    optim: Any = None,
    name: str | None = None,
    app_dir: str | None = None,
    squeeze_bs_dim: bool = False,
    init_output_grads: bool = True,
    get_output_grads: Callable[..., Any] | bool | None = None,
    metadata: Mapping[str, Any] | None = None,
    **kwargs: Any,
) -> None:
    """Does what `args.command` asks for where it is compile, test, measure-performance or measure-sections.

    Other commands are the program's own: nothing happens, so a program may call this for every command. `test`
    compares outputs and gradients with the host (`samba.test.compare_with_host`) and leaves the device as it was.
    `get_output_grads(outputs)` gives the gradients of the outputs (one tensor an output, None for those without),
    which the measured steps then start backward from; it implies `init_output_grads=False`. False means none. `test`
    compares with the gold file of --gold-file-path where that is given (`samba.test.TestWithGold`).
    """
    command = getattr(args, "command", None)
    if isinstance(get_output_grads, bool):
        if get_output_grads:
            raise InvalidArgumentError("common_app_driver(get_output_grads=True): pass the function that makes them")
        get_output_grads = None
    options = {"init_output_grads": init_output_grads and get_output_grads is None}
    if command == "compile":
        _compile(args, model, inputs, optim, name=name, app_dir=app_dir, squeeze_bs_dim=squeeze_bs_dim,
                 metadata=metadata, **options, **kwargs)  # fmt: skip
    elif command in ("test", "measure-performance", "measure-sections"):
        _run(args, name or type(model).__name__.lower(), model, inputs, optim, get_output_grads, options)


def _compile(args: argparse.Namespace, model: nn.Module, inputs: Any, optim: Any, **options: Any) -> None:
    from sambaflow import samba
    from sambaflow.samba.utils.pef_utils import get_pefmeta

    samba.session.compile(
        model, inputs, optim, config_dict=vars(args), pef_metadata=get_pefmeta(args, model), **options
    )


def _run(
    args: argparse.Namespace,
    name: str,
    model: nn.Module,
    inputs: Any,
    optim: Any,
    get_output_grads: Callable[..., Any] | None,
    options: Mapping[str, Any],
) -> None:
    from sambaflow.samba.test import TestWithGold
    from sambaflow.samba.utils import measure_performance, measure_sections, trace_graph

    optim = None if args.inference else optim
    mapping, data_parallel, reduce_on_rdu = (
        standard_value(args, option) for option in ("mapping", "data_parallel", "reduce_on_rdu")
    )
    outputs = trace_graph(model, inputs, optim, pef=args.pef, mapping=mapping, **options)
    if get_output_grads is not None:
        set_output_grads(outputs, get_output_grads(outputs))
    if args.command == "test":
        TestWithGold(args, name, model, inputs, optim).test()
        return
    shared = {
        "batch_size": args.batch_size, "n_iterations": args.num_iterations, "json": args.json or args.bench_report_json,
        "min_duration": args.min_duration, "data_parallel": data_parallel, "reduce_on_rdu": reduce_on_rdu,
    }  # fmt: skip
    if args.command == "measure-sections":
        measure_sections(model, inputs, num_sections=args.num_sections, **shared)
    else:
        measure_performance(
            model, inputs, n_chips=args.n_chips, inference=args.inference, run_graph_only=args.run_graph_only,
            compiled_stats_json=args.compiled_stats_json, min_throughput=args.min_throughput,
            max_throughput=args.max_throughput, **shared,
        )  # fmt: skip


def set_output_grads(outputs: Any, grads: Any) -> None:
    """Gives each output its gradient (`sn_grad`): one a output, None for those without."""
    listed = [grads] if isinstance(grads, torch.Tensor) else list(grads)
    if len(listed) != len(outputs):
        raise InvalidArgumentError(f"{len(listed)} gradients were given for {len(outputs)} outputs: use None for none")
    for output, grad in zip(outputs, listed, strict=True):
        if grad is not None:
            output.sn_grad = grad
