# SPDX-License-Identifier: Apache-2.0
"""Complex numbers are refused where they are made, with the line; what never becomes complex is not."""

import cmath

import beside_eager as eager
import numpy as np
import pytest
import torch
from beside_eager import Function
from sambaflow import samba
from sambaflow._trace.errors import ComplexError, TraceError
from sambaflow._trace.program import trace

X = torch.tensor([1.0, 2.0, 3.0])
MAKERS = {
    "complex": lambda a: torch.complex(a, a).imag,
    "polar": lambda a: torch.polar(a, a).real,
    "a scalar": lambda a: (a * 1j).imag,
    "a scalar first": lambda a: ((1 + 2j) + a).abs(),
    "a scalar of numpy": lambda a: (a * np.complex64(2j)).abs(),
    "a power": lambda a: a**0.5j,
    "a filled tensor": lambda a: torch.full_like(a, 1j, dtype=torch.complex64),
    "where": lambda a: torch.where(a > 0, a, 1j),
    "to": lambda a: a.to(torch.complex64).real,
    "type": lambda a: a.type(torch.complex64).real,
    "cfloat": lambda a: a.cfloat().real,
    "view": lambda a: torch.view_as_complex(torch.stack([a, a], -1)).real,
    "view of type": lambda a: torch.cat([a, a[:1]]).view(torch.complex64).real,
    "rfft": lambda a: torch.fft.rfft(a).abs(),
    "fft": lambda a: torch.fft.fft(a).real,
    "irfft": lambda a: torch.fft.irfft(a),
    "stft": lambda a: torch.stft(a.repeat(8), 8, return_complex=True).abs(),
    "eigenvalues": lambda a: torch.linalg.eigvals(torch.outer(a, a)).real,
    "a constant": lambda a: (a * torch.tensor([1j, 2j, 3j])).real,
    "a written constant": lambda a: torch.zeros(3, dtype=torch.complex64).copy_(a).real,
    "a tensor of Python": lambda a: (a + torch.tensor(cmath.exp(1j))).imag,
}


@pytest.mark.parametrize("kind", MAKERS)
def test_complex_numbers_are_refused_where_they_are_made(kind):
    for inference in (False, True):
        with pytest.raises(TraceError, match=r"test_trace_complex\.py:\d+"):
            eager.traced(Function(lambda self, x: MAKERS[kind](self.w * x), 3), X, inference=inference)


def test_the_message_names_op_and_module():
    with pytest.raises(
        TraceError, match=r"polar in function at test_trace_complex\.py:\d+, once: makes complex numbers"
    ):
        eager.traced(Function(lambda self, x: torch.polar(self.w, x).abs(), 3), X)
    with pytest.raises(ComplexError, match=r"mul makes complex numbers \(in module function\)"):
        eager.traced(Function(lambda self, x: self.w * 1j, 3), X)


@pytest.mark.parametrize("where", ["buffer", "input"])
def test_complex_buffers_and_inputs_are_refused_by_name(where):
    model = Function(lambda self, x: self.w * x.real, 3)
    if where == "buffer":
        model.register_buffer("frequencies", torch.ones(3, dtype=torch.complex64))
    samba.from_torch_model_(model)
    x = X.to(torch.complex64) if where == "input" else X
    with pytest.raises(TraceError, match="frequencies" if where == "buffer" else "'x'"):
        trace(model, [samba.from_torch_tensor(x, name="x")])


def test_constants_may_be_computed_with_complex_numbers(tmp_path):
    def function(self, x):
        turn = torch.exp(1j * torch.arange(3.0))
        return (self.w * x * turn.real + x * turn.imag.contiguous()).sum()

    eager.check(tmp_path, Function(function, 3), X)


def test_parts_of_real_tensors_are_real(tmp_path):
    eager.check(tmp_path, Function(lambda self, x: ((self.w * x).real.conj() * torch.sgn(x)).sum(), 3), X)
