# SPDX-License-Identifier: Apache-2.0
"""The model of a loaded program on other numbers of rows than it was traced with.

The smaller batch usually is the last of an epoch. Its rows are those that were given and no others: nothing is filled
up, so there is nothing to leave out of losses, gradients, statistics and metrics. The model is traced again on that
number of rows and compiled with the options of the PEF, and the second program is loaded beside the first, on the same
parameters, buffers, state and hyperparameters. Every result is therefore what eager PyTorch gives, whatever the model
does with its rows.

Several batches in a run ask which dim of an output is the batch: the compiler tells it from a trace of two batches.
"""

from __future__ import annotations

import os
import tempfile
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import nn

from sambaflow._base import options
from sambaflow._base.library import InvalidArgumentError
from sambaflow._runtime.compiler import batch_dims, compile_program, fingerprint
from sambaflow._runtime.device import Device
from sambaflow._runtime.runner import Runner
from sambaflow._runtime.section_types import BCKWD, OPT
from sambaflow._tensors.tensor import SambaTensor, binding_of, plain_tensor, wrap
from sambaflow._trace.microbatch import batch_of, first_rows
from sambaflow._trace.port import Port
from sambaflow._trace.program import Program, has_mode
from sambaflow.logging import samba_logger

# Options of the compile that say where sections are cut, of one number of rows: the cutter decides for the others.
_OF_ONE_SIZE = (
    "mapping", "mac_human_decision", "generate_mapping_decisions", "optimization_rules", "use_o1_default_rules",
)  # fmt: skip
_KEPT = 8  # programs; the one that was used longest ago goes first

Retrace = Callable[[nn.Module, Any, Any], Program]  # the program of (model, inputs, those of a micro-batch or None)


class OtherRows:
    """A traced model on other numbers of rows, traced and compiled when they are first needed.

    `programs`: what each device, the loaded one too, was compiled from. The model is not kept alive.
    """

    def __init__(self, device: Device, model: nn.Module, inputs: Any, program: Program, retrace: Retrace) -> None:
        self._device, self._inputs, self._program, self._retrace = device, inputs, program, retrace
        self._model = weakref.ref(model)
        self._modes = {path: module.training for path, module in model.named_modules() if has_mode(module)}
        self._made: OrderedDict[tuple[tuple[str, int], ...], Runner] = OrderedDict()
        self._dims: dict[frozenset[str], dict[str, int | None]] = {}
        self.programs: dict[Device, Program] = {device: program}

    def runner(self, whole: Runner, rows: Mapping[str, int]) -> Runner:
        """The runner beside `whole` where the inputs named in `rows` have so many.

        InvalidArgumentError says why there can be none.
        """
        key = tuple(sorted(rows.items()))
        if key not in self._made:
            self._made[key] = self._make(whole, rows)
            if len(self._made) > _KEPT:
                del self.programs[self._made.popitem(last=False)[1].device]
        self._made.move_to_end(key)
        return self._made[key]

    def _make(self, beside: Runner, rows: Mapping[str, int]) -> Runner:
        count, whole = next((rows[p.name], p.rows) for p in self._program.inputs if p.name in rows)
        samba_logger.info(f"{self._device.path}: compiling a second program for a batch of {count} of {whole} rows")
        try:
            program = self._traced(rows)
            self._check_alike(program)
            device = self._compiled(program)
        except Exception as error:
            raise InvalidArgumentError(
                f"a batch of {count} rows was given, the program takes {whole}, and the model cannot be compiled for "
                f"{count}: {error}; give whole batches (DataLoader(drop_last=True))"
            ) from error
        self.programs[device] = program
        runner = Runner(device, program.inputs, program.outputs, beside.traced, beside.types_of(None))
        runner.hyperparameters = beside.hyperparameters
        return runner

    def batch_dims(self, inputs: Iterable[str]) -> dict[str, int | None]:
        """The dim of each output that follows the rows of `inputs`; None where there is none.

        InvalidArgumentError where the model cannot be traced on twice the rows.
        """
        key = frozenset(inputs)
        if key not in self._dims:
            ports = [port for port in self._program.inputs if port.name in key]
            try:
                twice = self._traced({port.name: 2 * port.rows for port in ports})
                self._dims[key] = batch_dims(self._program, twice)
            except Exception as error:
                raise InvalidArgumentError(
                    f"the model cannot be traced on {2 * ports[0].rows} rows, which would tell it: {error}"
                ) from error
        return self._dims[key]

    # ---- tracing

    def _traced(self, rows: Mapping[str, int]) -> Program:
        model = self._model()
        if model is None:
            raise InvalidArgumentError("the model that was traced is no more")
        now = [(module, module.training) for module in model.modules() if has_mode(module)]
        try:
            for path, module in model.named_modules():
                if has_mode(module):
                    module.training = self._modes.get(path, module.training)
            self._check_unchanged(model)
            inputs = self._inputs_of(rows)
            return self._retrace(model, inputs, self._part(inputs))
        finally:
            for module, training in now:
                module.training = training

    def _check_unchanged(self, model: nn.Module) -> None:
        """What is traced now must be what was traced at load, or the other rows would see another model."""
        part = self._part(self._inputs)
        version, _ = self._device.fingerprint
        now = self._retrace(model, self._inputs, part)
        if fingerprint(now, version) != fingerprint(self._program, version):
            raise InvalidArgumentError("the model has changed since trace_graph: trace it again")

    def _inputs_of(self, rows: Mapping[str, int]) -> Any:
        """The traced inputs with other rows; only their shapes matter."""
        ports = {id(self._program.input_tensors[p.name]): p for p in self._program.inputs if p.name in rows}
        return _mapped(self._inputs, lambda tensor: _with_rows(tensor, ports.get(id(tensor)), rows))

    def _part(self, inputs: Any) -> Any:
        """The inputs of one micro-batch; None where the rows are no whole number of them, or just one."""
        size = self._device.metadata.get("leat", {}).get("arguments", {}).get("microbatch_size")
        rows = batch_of(inputs) if size else 0
        return first_rows(inputs, size) if size and rows > size and rows % size == 0 else None

    def _check_alike(self, program: Program) -> None:
        for ports, others in ((program.inputs, self._program.inputs), (program.outputs, self._program.outputs)):
            if [(p.name, p.dtype, p.seed) for p in ports] != [(p.name, p.dtype, p.seed) for p in others]:
                listed = ", ".join(p.name for p in ports)
                raise InvalidArgumentError(f"it has other inputs or outputs for that number of rows ({listed})")

    # ---- compiling

    def _compiled(self, program: Program) -> Device:
        compiled = self._device.metadata.get("leat", {})
        arguments = {k: v for k, v in compiled.get("arguments", {}).items() if k not in _OF_ONE_SIZE}
        batches, metadata = self._device.batches, {}
        if batches.beside:  # the run adds gradients up, of this program, too
            metadata = {"leat": {"grad_accumulation_steps": int(batches.of_update)}}
            arguments.pop("grad_accumulation_steps", None)
        if "\n" in self._device.arch:  # a record of a machine, whose file may be gone
            arguments["arch"] = self._device.arch
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "smaller.pef")
            given = options.given_options(arguments, "compile")
            inference = not self._device.section_types & (BCKWD | OPT)
            compile_program(program, path, given=given, inference=inference, metadata=metadata)
            return Device(path, beside=self._device)


def _mapped(item: Any, change: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    """`item`, inputs in any nesting, with every tensor changed."""
    if isinstance(item, torch.Tensor):
        return change(item)
    if isinstance(item, Mapping):
        return {key: _mapped(value, change) for key, value in item.items()}
    if isinstance(item, (list, tuple)):
        items = [_mapped(value, change) for value in item]
        return type(item)(*items) if hasattr(item, "_fields") else type(item)(items)
    return item


def _with_rows(tensor: torch.Tensor, port: Port | None, rows: Mapping[str, int]) -> torch.Tensor:
    """`tensor`, the input of `port`, with its first rows, or with all of them again and again."""
    if port is None:
        return tensor
    plain, count = plain_tensor(tensor).detach(), rows[port.name]
    if count > port.rows:
        plain = torch.cat([plain] * -(-count // port.rows), port.axis)
    plain = plain.narrow(port.axis, 0, count)
    if not isinstance(tensor, SambaTensor):
        return plain.requires_grad_(tensor.requires_grad)
    other = wrap(plain, requires_grad=tensor.requires_grad)
    other._binding = binding_of(tensor).copy_names(plain)
    return other
