# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: E501
"""Recurrent layers and cells."""

import torch

from ..cases import N, row


def _layer(name, *, bias=True, reverse=False, states=1):
    """One layer in one direction, as a function of x, states and weights; backwards as half of a layer in both."""
    function = getattr(torch, name)

    def run(x, *rest):
        first, weights = list(rest[:states]), list(rest[states:])
        given = [torch.stack([s, s]) if reverse else s.unsqueeze(0) for s in first]
        both = [*weights, *weights] if reverse else weights
        output, *last = function(x, given if states == 2 else given[0], both, bias, 1, 0.0, False, reverse, False)
        if not reverse:
            return (output, *last)
        return (output[..., output.shape[2] // 2 :], *(s[1] for s in last))

    return run


def _weights(gates, inputs, hidden, out=None, bias=True):
    out = hidden if out is None else out
    return (
        N(gates * hidden, inputs),
        N(gates * hidden, out),
        *((N(gates * hidden), N(gates * hidden)) if bias else ()),
    )


def _masked(name, gates, states):
    """A packed sequence whose lengths are part of the program: steps of which some rows have no element."""
    function = getattr(torch, name)
    sizes = torch.tensor([3, 3, 2, 1])

    def run(data, *rest):
        first, weights = [s.unsqueeze(0) for s in rest[:states]], list(rest[states:])
        given = first if states == 2 else first[0]
        output, *last = function(data, sizes, given, weights, True, 1, 0.0, False, False)
        return (output, *last)

    return run, (N(9, 4), *(N(3, 5) for _ in range(states)), *_weights(gates, 4, 5))


for _name, _gates, _states in (("lstm", 4, 2), ("gru", 3, 1), ("rnn_tanh", 1, 1), ("rnn_relu", 1, 1)):
    _row = row(_name, "composite")
    for _steps, _batch, _inputs, _hidden in ((1, 1, 1, 1), (5, 3, 4, 6), (9, 2, 7, 3), (3, 17, 8, 16)):
        _operands = (N(_steps, _batch, _inputs), *(N(_batch, _hidden) for _ in range(_states)))
        for _bias in (True, False):
            _row.add(
                _layer(_name, bias=_bias, states=_states), *_operands, *_weights(_gates, _inputs, _hidden, bias=_bias)
            )
        _row.add(_layer(_name, reverse=True, states=_states), *_operands, *_weights(_gates, _inputs, _hidden))
    _row.add_layouts(
        _layer(_name, states=_states), N(4, 6, 8), *(N(6, 5) for _ in range(_states)), *_weights(_gates, 8, 5)
    )
    _run, _inputs_of = _masked(_name, _gates, _states)
    _row.add(_run, *_inputs_of)
    if _name == "lstm":
        _row.add(_layer(_name, states=2), N(5, 3, 4), N(3, 2), N(3, 6), *_weights(4, 4, 6, 2), N(2, 6))
    _function = getattr(torch, f"{_name}_cell")
    _step = (lambda x, h, c, *w, f=_function: f(x, (h, c), *w)) if _states == 2 else _function
    _cell = row(f"{_name}_cell", "composite")
    for _batch, _inputs, _hidden in ((1, 1, 1), (3, 4, 6), (17, 8, 16), (2, 33, 5)):
        for _bias in (True, False):
            _operands = (N(_batch, _inputs), *(N(_batch, _hidden) for _ in range(_states)))
            _cell.add(_step, *_operands, *_weights(_gates, _inputs, _hidden, bias=_bias))
    _cell.add_layouts(_step, N(6, 8), *(N(6, 5) for _ in range(_states)), *_weights(_gates, 8, 5))
