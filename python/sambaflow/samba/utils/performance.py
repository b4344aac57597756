# SPDX-License-Identifier: Apache-2.0
"""Timing of a traced program: whole steps, and section by section."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import nn

from sambaflow._base.files import write_json
from sambaflow._base.library import InvalidArgumentError, UnsupportedError
from sambaflow._tensors.tensor import SambaTensor, to_torch
from sambaflow.samba import profiles

_WARM_UP = 3


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
    set_output_grads: Callable[[Any], Any] | None = None,
    min_throughput: float | None = None,
    max_throughput: float | None = None,
    **_: Any,
) -> tuple[float, float]:
    """(samples a second, seconds a step) of the traced `model`, over at least `n_iterations` and `min_duration` s.

    `run_graph_only` binds inputs and outputs once and times the graph alone; `use_sambaloader` draws every batch
    through a SambaLoader. `set_output_grads(outputs)` is called once, before the first step. `json` names a file for
    the numbers, `compiled_stats_json` one for the sections and memory of the PEF. `min_throughput` and
    `max_throughput` are asserted. Training steps change the weights on the device.
    """
    from sambaflow import samba

    _refuse_ranks(data_parallel, world_size)
    outputs = _outputs_of(model)
    if set_output_grads is not None:
        set_output_grads(outputs)
    types = ["fwd"] if inference else None
    samba.session.run(inputs, outputs, section_types=types)
    if run_graph_only:
        seconds, count = _timed(lambda: samba.session.run_again(types), n_iterations, min_duration)
    elif use_sambaloader:
        batches = _loaded_batches(inputs)
        step = lambda: samba.session.run(next(batches), outputs, section_types=types)  # noqa: E731
        seconds, count = _timed(step, n_iterations, min_duration)
    else:
        step = lambda: samba.session.run(inputs, outputs, section_types=types)  # noqa: E731
        seconds, count = _timed(step, n_iterations, min_duration)
    latency = seconds / count
    throughput = batch_size / latency
    print(
        f"e2e_throughput: {throughput} samples/s, measured over {count} iterations. Average latency: {latency} s.\n"
        f"e2e_latency: {seconds} s",
        flush=True,
    )
    record = {
        "throughput": throughput, "latency": latency, "e2e_latency": seconds, "iterations": count,
        "batch_size": batch_size, "n_chips": n_chips, "inference": inference, "run_graph_only": run_graph_only,
    }  # fmt: skip
    if json:
        write_json(json, record)
    if compiled_stats_json:
        write_json(compiled_stats_json, samba.session._bound_device().report())
    _assert_between(throughput, min_throughput, max_throughput)
    return throughput, latency


def measure_sections(
    model: nn.Module,
    inputs: Any,
    num_sections: int | None = None,
    n_iterations: int = 100,
    batch_size: int = 1,
    data_parallel: bool = False,
    reduce_on_rdu: bool = False,
    json: str | None = None,
    min_duration: float = 0.0,
    **_: Any,
) -> list[dict[str, Any]]:
    """The time of every section of the traced `model` in whole steps; the first `num_sections` if that is given.

    Prints a table, writes it to `json` where that is given, and returns a record for each section: `index`, `name`,
    `type`, `runs`, `seconds` (a run, on average), `flops`, `bytes`, and `throughput` in samples a second.
    """
    from sambaflow import samba

    _refuse_ranks(data_parallel, 1)
    outputs = _outputs_of(model)
    device = samba.session._bound_device()
    step = lambda: samba.session.run(inputs, outputs)  # noqa: E731
    for _warm_up in range(_WARM_UP):
        step()
    device.set_profile(True)
    try:
        _timed(step, n_iterations, min_duration, warm_up=0)
        records = profiles.section_times(device)[: num_sections or None]
    finally:
        device.set_profile(False)
    for record in records:
        record["throughput"] = batch_size / record["seconds"] if record["seconds"] else 0.0
    print(profiles.section_table(records), flush=True)
    if json:
        write_json(json, {"batch_size": batch_size, "sections": records})
    return records


def _timed(
    step: Callable[[], Any], iterations: int, min_duration: float | None, warm_up: int = _WARM_UP
) -> tuple[float, int]:
    """Seconds, and how many steps were made in them: a multiple of `iterations`."""
    for _warm_up in range(warm_up):
        step()
    round_size = max(1, int(iterations))
    count, start = 0, time.perf_counter()
    while True:
        for _iteration in range(round_size):
            step()
        count += round_size
        seconds = time.perf_counter() - start
        if seconds >= (min_duration or 0.0):
            return seconds, count


def _loaded_batches(inputs: Any) -> Iterator[Any]:
    """The inputs again and again, each time as a new batch of a SambaLoader."""
    from sambaflow.samba.sambaloader import SambaLoader

    listed = list(inputs.values()) if isinstance(inputs, dict) else [t for t in inputs if t is not None]
    if not all(isinstance(tensor, SambaTensor) and tensor.sn_name for tensor in listed):
        raise InvalidArgumentError("use_sambaloader needs named SambaTensors as inputs")
    batch = [torch.clone(to_torch(tensor)) for tensor in listed]
    while True:
        yield from SambaLoader([batch] * 64, [tensor.sn_name for tensor in listed])


def _outputs_of(model: nn.Module) -> Sequence[SambaTensor]:
    outputs = getattr(model, "output_tensors", None)
    if outputs is None:
        raise RuntimeError(f"{type(model).__name__} is not traced: call samba.utils.trace_graph(model, ..., pef=...)")
    return list(outputs)


def _refuse_ranks(data_parallel: bool, world_size: int) -> None:
    if data_parallel or (world_size or 1) > 1:
        raise UnsupportedError("data_parallel: several processes are not supported yet; measure a single one")


def _assert_between(throughput: float, least: float | None, most: float | None) -> None:
    if least is not None:
        assert throughput >= least, f"Expected throughput to be at least {least} samples/s, it is {throughput}"
    if most is not None:
        assert throughput <= most, f"Expected throughput to be at most {most} samples/s, it is {throughput}"
