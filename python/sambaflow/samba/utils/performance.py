# SPDX-License-Identifier: Apache-2.0
"""Timing of a traced program."""

from __future__ import annotations

import json as json_module
import os
import time
from typing import Any

from torch import nn


def measure_performance(
    model: nn.Module,
    inputs: Any,
    batch_size: int = 1,
    n_chips: int = 1,
    inference: bool = False,
    run_graph_only: bool = False,
    n_iterations: int = 100,
    json: str | None = None,
    compiled_stats_json: str | None = None,
    data_parallel: bool = False,
    reduce_on_rdu: bool = False,
    use_sambaloader: bool = False,
    min_duration: float = 0.0,
    world_size: int = 1,
    **_: Any,
) -> tuple[float, float]:
    """(samples a second, seconds a step) of the traced `model`, over `n_iterations` and at least `min_duration` s.

    `json` names a file that gets the numbers. Training steps change the weights on the device.
    """
    from sambaflow import samba

    types = ["fwd"] if inference else None
    step = lambda: samba.session.run(inputs, model.output_tensors, section_types=types)  # noqa: E731
    for _warm_up in range(3):
        step()
    count, start = 0, time.perf_counter()
    while True:
        for _iteration in range(max(1, n_iterations)):
            step()
        count += max(1, n_iterations)
        seconds = time.perf_counter() - start
        if seconds >= (min_duration or 0.0):
            break
    latency = seconds / count
    throughput = batch_size / latency
    print(f"latency: {latency * 1e3:.4f} ms, throughput: {throughput:.1f} samples/s, {count} iterations", flush=True)
    if json:
        _write(json, {"throughput": throughput, "latency": latency, "iterations": count, "batch_size": batch_size})
    return throughput, latency


def _write(path: str, record: dict[str, Any]) -> None:
    """Written aside and renamed."""
    with open(f"{path}.tmp", "w", encoding="utf-8") as file:
        json_module.dump(record, file, indent=2, sort_keys=True)
    os.replace(f"{path}.tmp", path)
