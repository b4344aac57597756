# SPDX-License-Identifier: Apache-2.0
"""The command driver of older programs."""

from __future__ import annotations

import argparse
from typing import Any

from torch import nn


def common_app_driver(
    args: argparse.Namespace,
    model: nn.Module,
    inputs: Any,
    optim: Any = None,
    name: str | None = None,
    app_dir: str | None = None,
    squeeze_bs_dim: bool = False,
    init_output_grads: bool = True,
    get_output_grads: Any = None,
    **kwargs: Any,
) -> None:
    """Does `compile` and `measure-performance`; returns quietly for commands that a program handles itself."""
    from sambaflow import samba
    from sambaflow.samba.utils import measure_performance, trace_graph
    from sambaflow.samba.utils.pef_utils import get_pefmeta

    if args.command == "compile":
        samba.session.compile(
            model, inputs, optim, name=name, app_dir=app_dir, squeeze_bs_dim=squeeze_bs_dim, config_dict=vars(args),
            pef_metadata=get_pefmeta(args, model), init_output_grads=init_output_grads, **kwargs,
        )  # fmt: skip
    elif args.command == "measure-performance":
        trace_graph(model, inputs, optim, init_output_grads=init_output_grads, pef=args.pef)
        measure_performance(
            model, inputs, batch_size=args.batch_size, inference=args.inference, n_iterations=args.num_iterations,
            json=args.json, min_duration=args.min_duration,
        )  # fmt: skip
