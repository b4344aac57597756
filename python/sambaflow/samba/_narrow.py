# SPDX-License-Identifier: Apache-2.0
"""What narrow weights (--weight-dtype) change, measured product by product before a program is compiled with them.

The compiler makes a program that computes in fp32 and, beside each product, what the narrow weight would make of the
same operands (--weight-errors); it runs once here, on the weights of the model. Products that lose more than the bound
stay fp32 (--weight-keep).
"""

from __future__ import annotations

import csv
import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from sambaflow._base.library import InvalidArgumentError, check, library
from sambaflow._base.messages import INFO, WARNING, Messages
from sambaflow._base.options import Option, by_dest
from sambaflow._base.reading import reading
from sambaflow._runtime.compiler import compile_program
from sambaflow._runtime.device import Device
from sambaflow._tensors.tensor import plain_tensor
from sambaflow._trace.program import Program
from sambaflow.samba import _state as state

_OUTPUT = re.compile(r"(.+)__weight_error_(\d+)")
# Options that cut a program in units, or say where sections are cut: what is measured has more products.
_OF_SECTIONS = (
    "o0", "o1", "o3", "optim_level", "compiler_mode", "enable_hypersection", "mapping", "mac_human_decision",
    "generate_mapping_decisions", "optimization_rules", "max_memory", "debug_o1",
)  # fmt: skip


@dataclass(frozen=True)
class Error:
    """Of a product with this parameter: its greatest error over its greatest result, and the same of the rms."""

    parameter: str
    greatest: float
    rms: float


def keep_fp32(program: Program, given: dict[Option, Any], messages: Messages, folder: str) -> dict[Option, Any]:
    """The options of the compile, with the parameters whose products would lose more than the bound.

    The errors are told in a table, and written to weight_errors.csv in `folder`.
    """
    named = {option.dest: value for option, value in given.items()}
    if "weight_dtype" not in named or "weight_errors" in named:
        return given
    bound = float(named.get("weight_error_bound", by_dest()["weight_error_bound"].default))
    values, whence = _inputs(program, named.get("calibration"))
    empty = sorted(n for n, t in {**program.parameters, **program.buffers, **values}.items() if t.device.type == "meta")
    if empty:
        messages.say(
            WARNING, "samba", f"{empty[0]} has no values: what {named['weight_dtype']} weights change is unknown"
        )
        return given
    errors = measure(program, given, values)
    _tell(errors, named["weight_dtype"], whence, messages)
    _write(errors, os.path.join(folder, "weight_errors.csv"))
    lost = sorted({error.parameter for error in errors if not error.rms <= bound})
    if not lost:
        return given
    messages.say(
        INFO, "samba", f"{', '.join(lost)}: stay fp32, their rms error is above {bound:g} (--weight-error-bound)"
    )
    kept = [*filter(None, str(named.get("weight_keep", "")).split(",")), *lost]
    return {**given, by_dest()["weight_keep"]: ",".join(kept)}


def measure(program: Program, given: Mapping[Option, Any], inputs: Mapping[str, torch.Tensor]) -> list[Error]:
    """The error of each product with a weight that would be narrow, in the order of the program."""
    options = {option: value for option, value in given.items() if option.dest not in _OF_SECTIONS}
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "errors.pef")
        compile_program(program, path, given={**options, by_dest()["weight_errors"]: True}, inference=True)
        device = Device(path)
    state.write_tensors(device, {**program.parameters, **program.buffers})
    state.seed_random(device, 0)
    for name, value in inputs.items():
        device.write(device.find(name), value)
    lib = library().lib
    check(lib.leat_program_run(device.handle, lib.LEAT_SECTIONS_FWD))
    found = []
    for symbol in device.of_kind("OUTPUT"):
        match = _OUTPUT.fullmatch(symbol.name)
        if match is not None:
            found.append((int(match[2]), _error(match[1], device.read(symbol).tolist())))
    return [error for _, error in sorted(found, key=lambda numbered: numbered[0])]


def _error(parameter: str, sums: Sequence[float]) -> Error:
    error, result, squares, all_squares = sums
    return Error(
        parameter,
        error / result if result > 0 else error,
        (squares / all_squares) ** 0.5 if all_squares > 0 else squares**0.5,
    )


def _inputs(program: Program, calibration: str | None) -> tuple[dict[str, torch.Tensor], str]:
    """Values of the inputs, and where they are from."""
    traced = {name: plain_tensor(tensor) for name, tensor in program.input_tensors.items()}
    if calibration is None:
        return traced, "the inputs of the trace (--calibration names better ones)"
    with reading(calibration, "calibration file"):
        loaded = torch.load(calibration, weights_only=True)
    if not isinstance(loaded, Mapping) or not all(isinstance(value, torch.Tensor) for value in loaded.values()):
        raise InvalidArgumentError(f"--calibration {calibration}: it holds no tensors by name")
    missing = sorted(traced.keys() - loaded.keys())
    if missing:
        raise InvalidArgumentError(
            f"--calibration {calibration}: it has no {missing[0]}; inputs are {', '.join(traced)}"
        )
    return {name: loaded[name] for name in traced}, calibration


def _tell(errors: Sequence[Error], dtype: str, whence: str, messages: Messages) -> None:
    width = max((len(error.parameter) for error in errors), default=0)
    messages.say(INFO, "samba", f"errors of {dtype} weights on {whence}, relative to fp32: greatest, rms")
    for error in errors:
        messages.say(INFO, "samba", f"  {error.parameter:{width}}  {error.greatest:.2e}  {error.rms:.2e}")


def _write(errors: Sequence[Error], path: str) -> None:
    with open(path, "w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(("parameter", "greatest", "rms"))
        table.writerows((error.parameter, error.greatest, error.rms) for error in errors)
