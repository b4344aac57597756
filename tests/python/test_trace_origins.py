# SPDX-License-Identifier: Apache-2.0
"""Nothing that hangs on a parameter, a buffer or an input becomes a constant or a number of Python."""

import copy
import threading

import beside_eager as eager
import pytest
import torch
from beside_eager import Function
from sambaflow import samba
from sambaflow._trace.errors import BranchError, TraceError
from sambaflow._trace.program import trace

X = torch.tensor([1.0, 2.0, 3.0])


def prepared(function, take=lambda model: None):
    """A model whose attribute `taken` is what `take` makes of it before forward."""
    model = Function(function, 3)
    model.register_buffer("b", torch.tensor([0.5, 0.25, 2.0]))
    model.__dict__["taken"] = take(model)
    return model


def test_another_tensor_of_the_same_memory_is_the_parameter_without_its_gradient(tmp_path):
    model = prepared(lambda self, x: (self.taken * self.w * x).sum(), lambda m: m.w.data)
    eager.check(tmp_path, model, X)
    samba.session.to_cpu(model)
    text = eager.traced(model, X).text
    assert "constant(" not in text and "detach(" in text


def test_a_copy_made_in_forward_is_traced(tmp_path):
    eager.check(tmp_path, prepared(lambda self, x: (self.w * x).sum() * copy.deepcopy(self.w).exp().sum()), X)


def test_shapes_of_a_view_may_be_used(tmp_path):
    def function(self, x):
        return (self.w * x).sum() * torch.zeros_like(self.taken).exp().sum() + self.taken.new_ones(2).sum()

    eager.check(tmp_path, prepared(function, lambda m: m.w.data[1:]), X)


def test_what_was_detached_before_forward_is_a_value_as_in_eager_mode(tmp_path):
    model = prepared(lambda self, x: (self.taken * self.w * x).sum(), lambda m: m.w.exp().detach())
    eager.check(tmp_path, model, X)


TAKEN = {
    "a view of a parameter": lambda m: m.w.data[:1],
    "a view of a buffer": lambda m: m.b[1:2],
    "another shape": lambda m: m.w.detach().view(3, 1),
}


@pytest.mark.parametrize("kind", TAKEN)
def test_views_taken_before_forward_are_views_of_the_symbol(tmp_path, kind):
    model = prepared(lambda self, x: ((self.taken * 2).exp() * self.w * x).sum(), TAKEN[kind])
    assert "constant(" not in eager.traced(model, X).text
    eager.check(tmp_path, prepared(lambda self, x: ((self.taken * 2).exp() * self.w * x).sum(), TAKEN[kind]), X)


@pytest.mark.parametrize("inference", [False, True])
def test_memory_taken_as_another_type_is_refused(inference):
    with pytest.raises(TraceError, match=r"test_trace_origins\.py:\d+: a tensor .* computed from 'function__w'"):
        eager.traced(prepared(lambda self, x: self.taken * x, lambda m: m.w.detach().view(torch.int32)), X,
                     inference=inference)  # fmt: skip


def test_what_autograd_differentiates_outside_of_the_trace_is_refused():
    with pytest.raises(TraceError, match="computed from 'function__w'"):
        eager.traced(prepared(lambda self, x: (self.taken * x).sum(), lambda m: m.w.exp()), X)


def test_a_view_of_an_input_is_one_of_the_symbol():
    x = X.clone()
    model = Function(lambda self, given: given * x[:1], 3)
    samba.from_torch_model_(model)
    assert "constant(" not in trace(model, [samba.from_torch_tensor(x, name="x")], inference=True).text
    part = x[:1]
    model.function = lambda self, given: given * part
    assert "constant(" not in trace(model, [samba.from_torch_tensor(x, name="x")], inference=True).text


@pytest.mark.parametrize("read", [float, lambda t: t.item(), lambda t: t.tolist(), lambda t: t.numpy(), bool])
def test_numbers_of_a_view_are_refused(read):
    with pytest.raises(BranchError):
        eager.traced(prepared(lambda self, x: (read(self.taken), x)[1], lambda m: m.w.data[:1]), X)


@pytest.mark.parametrize("inference", [False, True])
def test_what_another_thread_computes_is_refused(inference):
    def function(self, x):
        made = []
        thread = threading.Thread(target=lambda: made.append(self.w.exp()))
        thread.start()
        thread.join()
        return made[0] * x

    with pytest.raises(TraceError, match=r"exp in .*another thread"):
        eager.traced(Function(function, 3), X, inference=inference)
