# SPDX-License-Identifier: Apache-2.0
"""Compiling a traced program with -o1, for tests of fusion rules."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from sambaflow._base.library import check, library
from sambaflow._runtime.compiler import parsed
from sambaflow._runtime.device import Device
from sambaflow._trace.program import Program


def compile_o1(
    program: Program, folder: Path, *, rules: str | None = None, rule_list: str = "default", inference: bool = False
) -> dict[str, Any]:
    """Compiles to `folder`/o1.pef with `rules` alone, else with the built-in list; what fusion.json says."""
    ffi, lib = library().ffi, library().lib
    options = ffi.new("leat_compile_options_t *", lib.leat_compile_options_default())
    texts = [ffi.new("char[]", text.encode()) for text in (rule_list, str(folder), rules or "", "rules.yaml")]
    options.rule_list, options.report_dir = texts[:2]
    options.optim_level, options.inference, options.verify_each = 1, int(inference), 1
    if rules is not None:
        options.rules, options.rules_name, options.use_default_rules = texts[2], texts[3], 0
    with parsed(program) as graph:
        check(lib.leat_compile(graph, options, str(folder / "o1.pef").encode()))
    return json.loads((folder / "fusion.json").read_text())


def run_forward(program: Program, folder: Path) -> list[torch.Tensor]:
    """The outputs of `folder`/o1.pef for the tensors that `program` was traced with."""
    device = Device(str(folder / "o1.pef"))
    for name, tensor in {**program.input_tensors, **program.parameters, **program.buffers}.items():
        device.write(device.find(name), tensor.detach().as_subclass(torch.Tensor))
    check(library().lib.leat_program_run(device.handle, device.section_types))
    return [device.read(device.find(port.name)).clone() for port in program.outputs]
