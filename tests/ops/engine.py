# SPDX-License-Identifier: Apache-2.0
"""The way of one case through Leat: trace, reference evaluation, compile and run.

The tracer is the SDK's; everything behind it is called through the extension, so that the suite chooses names, seeds
and what has gradients. Symbols are called x0, x1, ... (inputs and parameters by position), outputs y0, y1, ...; every
differentiable output has the seed symbol y0__seed, ... .
"""

import json
import os
from dataclasses import dataclass

import support
import torch
from sambaflow import _leat
from sambaflow._trace.dispatch import Dispatcher
from sambaflow._trace.graph import Graph
from sambaflow._trace.scope import Scope

ffi, lib = _leat.ffi, _leat.lib


class LeatError(RuntimeError):
    """A status other than success, with its message."""


def check(status):
    if status == ffi.NULL:
        return
    message = ffi.string(lib.leat_status_message(status)).decode(errors="replace")
    lib.leat_status_free(status)
    raise LeatError(message)


@dataclass
class Output:
    name: str
    shape: tuple
    dtype: torch.dtype
    seeded: bool


@dataclass
class Traced:
    """A traced case: the graph in the library, and what its symbols and outputs are."""

    text: str
    graph: object
    symbols: list  # (name, shape, dtype, has gradient)
    outputs: list


def trace(module, symbols, seeded):
    """Traces `module`. `symbols`: (name, kind, tensor, has gradient), inputs in the order of forward's arguments.

    `seeded[i]`: whether output i gets a seed symbol.
    """
    graph = Graph()
    tracer = Dispatcher(graph, Scope(module, os.path.dirname(__file__)))
    inputs = []
    for name, kind, tensor, has_gradient in symbols:
        attributes = {"kind": kind, "name": name, "requires_grad": int(has_gradient)}
        value = graph.add("symbol", (), attributes, [(tensor.dtype, tuple(tensor.shape))])[0]
        traced = tracer.plain.adopt(tensor, value)
        if kind == "input":
            inputs.append(traced)
    with tracer.active():
        results = module(*inputs)
        values = [tracer.value(result) for result in results]
    tracer.check()
    outputs = []
    for index, (value, has_seed) in enumerate(zip(values, seeded, strict=True)):
        outputs.append(Output(f"y{index}", tuple(value.shape), value.dtype, has_seed))
        graph.add("output", [value], {"name": f"y{index}", "seed": "symbol" if has_seed else "zero"})
    described = [(name, tuple(tensor.shape), tensor.dtype, grad) for name, _, tensor, grad in symbols]
    text = graph.text()
    return Traced(text, _parse(text, graph.blobs), described, outputs)


def _parse(text, blobs):
    encoded = text.encode()
    out = ffi.new("leat_graph_t **")
    check(lib.leat_graph_parse(encoded, len(encoded), out))
    graph = ffi.gc(out[0], lib.leat_graph_destroy)
    for index, blob in enumerate(blobs):
        check(lib.leat_graph_set_blob(graph, index, blob, len(blob)))
    return graph


def _raw(tensor):
    """The bytes of a tensor as numpy, shared where it is contiguous."""
    return tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy()


def _empty(shape, dtype):
    """A tensor to be filled, with a value in it that no result may keep."""
    tensor = torch.empty(shape, dtype=dtype)
    return tensor.fill_(float("nan")) if dtype.is_floating_point else tensor.zero_()


def _tensor_array(named, keep):
    """A leat_tensor_t array over `named` = [(name, tensor)]; `keep` holds what it points to."""
    array = ffi.new("leat_tensor_t[]", max(1, len(named)))
    for slot, (name, tensor) in zip(array, named, strict=False):
        text, data = ffi.new("char[]", name.encode()), _raw(tensor)
        pointer = ffi.cast("void *", data.ctypes.data) if data.size else ffi.NULL
        keep += [text, data]
        slot.name, slot.data, slot.data_bytes = text, pointer, data.size
    return array


def _wanted(traced, gradients):
    named = [(output.name, _empty(output.shape, output.dtype)) for output in traced.outputs]
    if gradients:
        named += [(f"{name}__grad", _empty(shape, dtype)) for name, shape, dtype, grad in traced.symbols if grad]
    return named


def evaluate(traced, given, gradients=True):
    """The reference evaluation: name to tensor. `given`: name to tensor, symbols and seeds."""
    keep = []
    wanted = _wanted(traced, gradients and any(output.seeded for output in traced.outputs))
    inputs, outputs = _tensor_array(list(given.items()), keep), _tensor_array(wanted, keep)
    check(lib.leat_graph_eval(traced.graph, inputs, len(given), outputs, len(wanted)))
    return dict(wanted)


class Program:
    """A compiled and loaded case. Every stage runs on native and on ref: a difference in one bit fails the run."""

    def __init__(self, traced, path, optim_level=3, threads=1, isa=None):
        options = lib.leat_compile_options_default()
        options.optim_level = optim_level
        options.verify_each = 1
        options.inference = 0 if any(output.seeded for output in traced.outputs) else 1
        pointer = ffi.new("leat_compile_options_t *", options)
        check(lib.leat_compile(traced.graph, pointer, path.encode()))
        support.note_pef(path)
        load, self._alive = support.load_options(ffi, lib, threads, isa, engine="compare")
        out = ffi.new("leat_program_t **")
        check(lib.leat_program_load(path.encode(), load, out))
        self._program = ffi.gc(out[0], lib.leat_program_destroy)
        self._traced = traced

    def report(self):
        """What the engine says of itself."""
        out = ffi.new("char **")
        check(lib.leat_program_report(self._program, out))
        text = ffi.gc(out[0], lib.leat_string_free)
        return json.loads(ffi.string(text))

    def symbol(self, name):
        out = ffi.new("uint32_t *")
        check(lib.leat_program_find_symbol(self._program, name.encode(), out))
        return out[0]

    def run(self, given):
        """Name to tensor of all outputs and gradients."""
        for name, tensor in given.items():
            data = _raw(tensor)
            pointer = ffi.cast("void *", data.ctypes.data)
            check(lib.leat_program_write(self._program, self.symbol(name), pointer, data.size))
        check(lib.leat_program_run(self._program, lib.LEAT_SECTIONS_ALL))
        wanted = _wanted(self._traced, any(output.seeded for output in self._traced.outputs))
        for name, tensor in wanted:
            view = tensor.reshape(-1).view(torch.uint8).numpy()
            pointer = ffi.cast("void *", view.ctypes.data)
            check(lib.leat_program_read(self._program, self.symbol(name), pointer, view.size))
        return dict(wanted)


def scratch_folder():
    """Where PEFs of cases go: memory, if the machine has a file system for it."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
