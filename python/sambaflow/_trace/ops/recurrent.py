# SPDX-License-Identifier: Apache-2.0
"""Recurrent layers and cells. A layer in one direction is one row; what lies between is recorded as torch writes it.

Packed sequences are padded ones with a mask: their lengths are part of the program.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from sambaflow._trace.call import Call, handles
from sambaflow._trace.graph import Attr, Value
from sambaflow._trace.tensor import TracedTensor, as_meta

# ---- layers


class _Weights(NamedTuple):
    """Of one layer in one direction."""

    ih: Value
    hh: Value
    bias_ih: Value | None
    bias_hh: Value | None
    projection: Value | None


@handles("lstm", "gru", "rnn_tanh", "rnn_relu")
def _recurrent(
    c: Call, hx: Any, params: Sequence[Any], has_biases: bool, num_layers: int, dropout: float, train: bool,
    bidirectional: bool, x: Any = None, data: Any = None, batch_sizes: Any = None, batch_first: bool = False,
) -> Any:  # fmt: skip
    if isinstance(batch_sizes, TracedTensor) or not c.tracer.recurrent_rows:
        return NotImplemented
    states = list(hx) if c.name == "lstm" else [hx]
    if not _fits(c, x, data, states, params, has_biases, num_layers, bidirectional, batch_first):
        return NotImplemented  # torch says why
    dtype = functools.reduce(torch.promote_types, [t.dtype for t in (data if x is None else x, *states, *params)])
    projects = c.name == "lstm" and states[0].shape[2] != states[1].shape[2]
    size = 2 + 2 * has_biases + projects
    weights = [
        _weights([c.operand(t, dtype) for t in params[i * size : (i + 1) * size]], has_biases, projects)
        for i in range(num_layers * (1 + bidirectional))
    ]
    rate = dropout if train else 0.0

    def run(x: torch.Tensor, states: list[torch.Tensor], mask: torch.Tensor | None) -> list[torch.Tensor]:
        return _stack_of_layers(c, x.to(dtype), [s.to(dtype) for s in states], weights, mask, rate, bidirectional)

    def packed(data: torch.Tensor) -> list[torch.Tensor]:
        steps, mask = _padding(batch_sizes)
        output, *last = run(data[steps], states, mask)
        return [output[_places(batch_sizes)], *last]

    def padded(x: torch.Tensor) -> list[torch.Tensor]:
        output, *last = run(x.transpose(0, 1) if batch_first else x, states, None)
        return [output.transpose(0, 1) if batch_first else output, *last]

    return tuple(c.tracer.composed(packed, data) if x is None else c.tracer.composed(padded, x))


def _fits(
    c: Call, x: Any, data: Any, states: Sequence[Any], params: Sequence[Any], has_biases: bool, num_layers: int,
    bidirectional: bool, batch_first: bool,
) -> bool:  # fmt: skip
    """Whether torch takes operands of these shapes, of which one step tells."""
    steps = 1 if x is None else x.shape[1 if batch_first else 0] if x.dim() == 3 else 0
    if steps == 0 or any(0 in t.shape for t in params):
        return False
    with torch._C.DisableTorchFunctionSubclass():
        features = (data if x is None else x).shape[-1]
        step = torch.empty((1, states[0].shape[1] if states[0].dim() == 3 else 0, features), device="meta")
        if x is not None:
            step = step.new_empty((1, x.shape[0 if batch_first else 1], features))
        metas = [as_meta(t).to(step.dtype) for t in states]
        arguments = [metas if c.name == "lstm" else metas[0], [as_meta(t).to(step.dtype) for t in params]]
        try:
            getattr(torch.ops.aten, c.name).input(
                step, *arguments, has_biases, num_layers, 0.0, False, bidirectional, False
            )
        except (RuntimeError, ValueError, IndexError):
            return False
    return True


def _weights(values: list[Value], has_biases: bool, projects: bool) -> _Weights:
    biases = values[2:4] if has_biases else (None, None)
    return _Weights(values[0], values[1], *biases, values[-1] if projects else None)


def _stack_of_layers(
    c: Call, x: torch.Tensor, states: list[torch.Tensor], weights: list[_Weights], mask: torch.Tensor | None,
    rate: float, bidirectional: bool,
) -> list[torch.Tensor]:  # fmt: skip
    """Output of the last layer, and for each state what all layers and directions end with."""
    ends: list[list[torch.Tensor]] = []
    directions = 1 + bidirectional
    for layer in range(len(weights) // directions):
        if layer > 0 and rate != 0.0:
            x = torch.dropout(x, rate, True)
        outputs = []
        for direction in range(directions):
            at = layer * directions + direction
            output, *last = _direction(c, x, [s[at] for s in states], weights[at], mask, direction == 1)
            outputs.append(output)
            ends.append(last)
        x = outputs[0] if directions == 1 else torch.cat(outputs, 2)
    return [x, *(torch.stack(all_of_one) for all_of_one in zip(*ends, strict=True))]


def _direction(
    c: Call, x: torch.Tensor, states: list[torch.Tensor], weights: _Weights, mask: torch.Tensor | None, reverse: bool
) -> list[torch.Tensor]:
    operands: list[Value | None] = [c.value(t) for t in (x, *states)]
    operands += weights if len(states) == 2 else weights[:4]
    operands.append(None if mask is None else c.value(mask))
    attrs: dict[str, Attr] = {"reverse": int(reverse)} if reverse else {}
    types = [(x.dtype, (x.shape[0], *states[0].shape)), *((s.dtype, tuple(s.shape)) for s in states)]
    return [c.tracer.wrap(value) for value in c.emit_many(c.name, operands, attrs, types)]


# ---- packed sequences


def _padding(batch_sizes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """For each step and row of the batch the place of its element in the packed data, and whether there is one."""
    sizes = [int(size) for size in batch_sizes]
    mask = torch.arange(sizes[0]) < batch_sizes.unsqueeze(1)
    starts = torch.cumsum(batch_sizes, 0) - batch_sizes
    return torch.where(mask, starts.unsqueeze(1) + torch.arange(sizes[0]), 0), mask


def _places(batch_sizes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """For each element of the packed data its step and its row of the batch."""
    steps, rows = _padding(batch_sizes)[1].nonzero(as_tuple=True)
    return steps, rows


@handles("_pack_padded_sequence")
def _pack(c: Call, x: Any, lengths: Any, batch_first: bool) -> Any:
    if isinstance(lengths, TracedTensor) or lengths.dim() != 1 or lengths.numel() == 0:
        return NotImplemented
    steps, batch = (x.shape[1], x.shape[0]) if batch_first else x.shape[:2]
    given = [int(length) for length in lengths]
    if len(given) != batch or sorted(given, reverse=True) != given or given[-1] < 1 or given[0] > steps:
        return NotImplemented  # torch says why
    batch_sizes = (torch.arange(given[0]).unsqueeze(1) < lengths).sum(1)

    def taken(x: torch.Tensor) -> torch.Tensor:
        return (x.transpose(0, 1) if batch_first else x)[_places(batch_sizes)]

    return c.tracer.composed(taken, x), batch_sizes


@handles("_pad_packed_sequence")
def _pad(c: Call, data: Any, batch_sizes: Any, batch_first: bool, padding_value: float, total_length: int) -> Any:
    if isinstance(batch_sizes, TracedTensor):
        return NotImplemented
    places, mask = _padding(batch_sizes)
    missing = max(total_length - places.shape[0], 0)

    def spread(data: torch.Tensor) -> torch.Tensor:
        given = mask.reshape(*mask.shape, *(1,) * (data.dim() - 1))
        padded = torch.where(given, data[places], padding_value)
        if missing > 0:
            rest = data.new_full((missing, *padded.shape[1:]), padding_value)
            padded = torch.cat([padded, rest])
        return padded.transpose(0, 1) if batch_first else padded

    return c.tracer.composed(spread, data), mask.sum(0)


# ---- cells


@handles("lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell")
def _cell(c: Call, x: Any, hx: Any, w_ih: Any, w_hh: Any, b_ih: Any = None, b_hh: Any = None) -> Any:
    if not c.tracer.recurrent_rows:
        return NotImplemented
    states = list(hx) if c.name == "lstm_cell" else [hx]
    tensors = [x, *states, w_ih, w_hh, *(t for t in (b_ih, b_hh) if t is not None)]
    dtype = functools.reduce(torch.promote_types, [t.dtype for t in tensors])
    if all(t.dtype == dtype for t in tensors):
        c.out  # noqa: B018 - torch raises its own message
    operands = [c.optional(t, dtype) for t in (x, *states, w_ih, w_hh, b_ih, b_hh)]
    values = c.emit_many(c.name, operands, {}, [(dtype, tuple(s.shape)) for s in states])
    return tuple(c.tracer.wrap(value) for value in values) if len(states) == 2 else c.tracer.wrap(values[0])
