# SPDX-License-Identifier: Apache-2.0
"""Hooks on gradients: part of the compiled backward, or refused by name."""

import copy

import beside_eager as eager
import pytest
import torch
from beside_eager import Function
from sambaflow import samba
from sambaflow._trace.errors import TraceError
from sambaflow._trace.optimizers import statements
from torch import nn

X = torch.tensor([1.0, 2.0, 3.0])


def hooked(on_weight):
    """A model whose parameter got hooks before it was converted."""
    model = Function(lambda self, x: (self.w * x).square().sum(), 3)
    on_weight(model.w)
    return model


def test_a_hook_of_a_parameter_changes_its_gradient(tmp_path):
    model = hooked(lambda w: w.register_hook(lambda g: g.clamp(max=5.0)))
    eager.check(tmp_path, model_with_hooks_in_its_copy(model), X)


def model_with_hooks_in_its_copy(model):
    """deepcopy of a parameter drops its hooks: the copy that eager runs gets them again."""
    hooks = list(model.w._backward_hooks.values())

    def deepcopy(memo):
        new = Function(model.function, 3)
        new.w.data.copy_(model.w.data)
        for hook in hooks:
            new.w.register_hook(hook)
        return new

    model.__deepcopy__ = deepcopy
    return model


def test_hooks_run_in_the_order_of_their_registration(tmp_path):
    def two(w):
        w.register_hook(lambda g: g + 1.0)
        w.register_hook(lambda g: g * 2.0)

    eager.check(tmp_path, model_with_hooks_in_its_copy(hooked(two)), X)


def test_a_removed_hook_counts_for_nothing(tmp_path):
    def function(self, x):
        y = self.w * x
        handle = y.register_hook(lambda g: g * 7)
        y.register_hook(lambda g: g * 0.5)
        z = y.sin().sum()
        handle.remove()
        return z

    eager.check(tmp_path, Function(function, 3), X)


def test_a_hook_counts_for_uses_before_its_registration(tmp_path):
    def function(self, x):
        y = self.w * x
        early = y.exp()
        y.register_hook(lambda g: g.clamp(max=4.0))
        return (early + y * 3).sum()

    eager.check(tmp_path, Function(function, 3), X)


def test_a_hook_of_the_loss_and_one_that_only_looks(tmp_path):
    def function(self, x):
        seen = []
        y = self.w * x
        y.register_hook(lambda g: seen.append(g))
        loss = y.square().sum()
        loss.register_hook(lambda g: g * 3)
        return loss

    eager.check(tmp_path, Function(function, 3), X)


def test_a_hook_may_use_other_values(tmp_path):
    def function(self, x):
        y = self.w * x
        y.register_hook(lambda g: g * later)
        later = x.square() + 0.5
        return (y * y).sum()

    eager.check(tmp_path, Function(function, 3), X)


def test_a_hook_that_uses_what_follows_from_its_tensor_is_refused():
    def function(self, x):
        y = self.w * x
        y.register_hook(lambda g: g * later.detach())
        later = y.exp()
        return later.sum()

    with pytest.raises(TraceError, match=r"test_trace_gradient_hooks\.py:\d+: a gradient hook uses a value"):
        eager.traced(Function(function, 3), X)


def test_requires_grad_of_a_traced_tensor_is_as_in_eager_mode(tmp_path):
    def function(self, x):
        y = self.w * x
        assert y.requires_grad and not y.is_leaf and y.grad_fn is not None
        assert not x.requires_grad and not y.detach().requires_grad and not (y > 0).requires_grad
        with torch.no_grad():
            assert not (self.w * x).requires_grad
        if y.requires_grad:
            y.register_hook(lambda g: g * 0.5)
        return y.sum()

    eager.check(tmp_path, Function(function, 3), X)


class Inner(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(3, 4)
        self.b = nn.Linear(4, 2)

    def forward(self, x, scale):
        y = self.a(x).tanh()
        return self.b(y) * scale, y


class Outer(nn.Module):
    def __init__(self, register):
        super().__init__()
        self.w = nn.Parameter(torch.linspace(0.5, 1.5, 3))
        self.inner = Inner()
        register(self.inner)

    def forward(self, x):
        x = self.w * x
        z, y = self.inner(x, x.sum(1, keepdim=True))
        return z.square().sum() + y.sum() + x.sum()


def both(module):
    module.register_full_backward_pre_hook(lambda m, go: (go[0].clamp(-1, 1), go[1] * 2))
    module.register_full_backward_hook(lambda m, gi, go: (gi[0] * 0.5, gi[1] + 1))


REGISTER = {
    "input gradients": lambda m: m.register_full_backward_hook(lambda m, gi, go: (gi[0] * 0.5, gi[1] * 2)),
    "output gradients": lambda m: m.register_full_backward_pre_hook(lambda m, go: (go[0] * 3, go[1])),
    "both": both,
    "looks only": lambda m: m.register_full_backward_hook(lambda m, gi, go: None),
    "of an inner module": lambda m: m.b.register_full_backward_hook(lambda m, gi, go: (gi[0].clamp(min=0),)),
    "of two modules": lambda m: [both(m), m.a.register_full_backward_pre_hook(lambda m, go: (go[0] * 3,))],
    "no change": lambda m: m.register_full_backward_hook(lambda m, gi, go: gi),
}


@pytest.mark.parametrize("kind", REGISTER)
def test_hooks_of_modules(tmp_path, kind):
    torch.manual_seed(1)
    eager.check(tmp_path, Outer(REGISTER[kind]), torch.randn(5, 3))


def test_hooks_for_all_modules(tmp_path):
    handle = nn.modules.module.register_module_full_backward_hook(
        lambda m, gi, go: tuple(g if g is None else g * 0.5 for g in gi) if isinstance(m, nn.Linear) else None
    )
    try:
        eager.check(tmp_path, Outer(lambda m: None), torch.randn(5, 3))
    finally:
        handle.remove()


def test_input_gradients_made_of_output_gradients_are_refused():
    model = Outer(lambda m: m.b.register_full_backward_hook(lambda m, gi, go: (gi[0] + go[0].sum(),)))
    with pytest.raises(TraceError, match="grad_output"):
        eager.traced(model, torch.randn(5, 3))


def refused_programs():
    def after_accumulation(self, x):
        self.w.register_post_accumulate_grad_hook(lambda p: None)
        return (self.w * x).sum()

    def parameter_in_forward(self, x):
        self.w.register_hook(lambda g: g * 0.5)
        return (self.w * x).sum()

    def of_a_node(self, x):
        y = self.w * x
        y.grad_fn.register_hook(lambda *_: None)
        return y.sum()

    def saved(self, x):
        with torch.autograd.graph.saved_tensors_hooks(lambda t: t.bfloat16(), lambda t: t.float()):
            return (self.w * x).exp().sum()

    def reads(self, x):
        y = self.w * x
        y.register_hook(lambda g: g if float(g.norm()) < 1 else g * 0.5)
        return y.sum()

    def another_shape(self, x):
        y = self.w * x
        y.register_hook(lambda g: g.sum())
        return y.sum()

    def fails(self, x):
        y = self.w * x
        y.register_hook(lambda g: g.no_such_method())
        return y.sum()

    def kept(self, x):
        y = self.w * x
        y.retain_grad()
        return y.sum()

    def frozen(self, x):
        self.w.requires_grad_(False)
        return (self.w * x).sum()

    def frozen_by_attribute(self, x):
        self.w.requires_grad = False
        return (self.w * x).sum()

    return [
        (frozen, "requires_grad of parameter function__w"),
        (frozen_by_attribute, "requires_grad of parameter function__w"),
        (after_accumulation, "register_post_accumulate_grad_hook"),
        (parameter_in_forward, "register_hook of parameter"),
        (of_a_node, "grad_fn.register_hook"),
        (saved, "saved_tensors_hooks"),
        (reads, "needs the value"),
        (another_shape, "returns shape"),
        (fails, "no_such_method"),
        (kept, "retain_grad"),
    ]


@pytest.mark.parametrize("function, words", refused_programs())
def test_other_ways_into_backward_are_refused_by_name(function, words):
    with pytest.raises(TraceError, match=words) as caught:
        eager.traced(Function(function, 3), X)
    assert "test_trace_gradient_hooks.py:" in str(caught.value)


def test_a_hook_after_accumulation_is_refused_and_of_no_account_in_inference(tmp_path):
    model = Function(lambda self, x: self.w * x, 3)
    model.w.register_post_accumulate_grad_hook(lambda p: None)
    with pytest.raises(TraceError, match="register_post_accumulate_grad_hook"):
        eager.traced(copy_with(model), X)
    model.w.register_hook(lambda g: g.no_such_method())
    eager.check(tmp_path, model, X, inference=True)


def copy_with(model):
    new = copy.deepcopy(model)
    new.w.register_post_accumulate_grad_hook(lambda p: None)
    return new


def test_the_switches_of_torch_are_put_back():
    eager.traced(Function(lambda self, x: (self.w * x).sum(), 3), X)
    assert nn.modules.module.BackwardHook is torch.utils.hooks.BackwardHook
    with torch.autograd.graph.saved_tensors_hooks(lambda t: t, lambda t: t):
        (torch.ones(2, requires_grad=True) * 2).sum().backward()


def test_requires_grad_may_be_set_where_it_changes_nothing(tmp_path):
    def function(self, x):
        self.w.requires_grad_(True)
        self.w.requires_grad = True
        x.requires_grad_()
        y = (self.w * x).detach().requires_grad_()
        return (self.w * x * y).sum()

    eager.check(tmp_path, Function(function, 3), X)


@pytest.mark.parametrize("when", ["pre", "post"])
def test_hooks_of_an_optimizer_s_step_are_refused(when):
    model = Function(lambda self, x: (self.w * x).sum(), 3)
    samba.from_torch_model_(model)
    optimizer = samba.optim.SGD(model.parameters(), lr=0.1)
    handle = getattr(optimizer, f"register_step_{when}_hook")(lambda *_: None)
    with pytest.raises(TraceError, match=f"register_step_{when}_hook"):
        statements(optimizer)
    handle.remove()
    assert len(statements(optimizer)) == 1


def test_a_hook_of_a_view_and_of_pieces(tmp_path):
    def function(self, x):
        y = self.w * x
        part = y[1:]
        part.register_hook(lambda g: g * 0.5)
        a, b, c = y.unbind(0)
        a.register_hook(lambda g: torch.zeros_like(g))
        return part.square().sum() + y.sum() + a * b + c

    eager.check(tmp_path, Function(function, 3), X)


def test_a_hook_belongs_to_the_value_and_not_to_what_is_written_later(tmp_path):
    def function(self, x):
        y = self.w * x
        y.register_hook(lambda g: g * 0.5)
        y.mul_(2)
        y.register_hook(lambda g: g + 1)
        return y.square().sum()

    eager.check(tmp_path, Function(function, 3), X)


def test_a_hook_of_a_shared_parameter_sees_all_of_its_gradient(tmp_path):
    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.a, self.b = nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False)
            self.b.weight = self.a.weight
            self.a.weight.register_hook(lambda g: g.clamp(max=0.1))

        def forward(self, x):
            return self.b(self.a(x).tanh()).square().sum()

    eager.check(tmp_path, Shared(), torch.randn(4, 3), reference=Shared())


def test_a_hook_of_a_parameter_whose_program_is_loaded_is_refused(tmp_path):
    model = Function(lambda self, x: (self.w * x).sum(), 3)
    samba.from_torch_model_(model)
    model.w.register_hook(lambda g: g * 2)
    (loss,) = eager.compiled_outputs(tmp_path, model, X)
    torch.testing.assert_close(samba.to_torch(model.w.sn_grad), 2 * X)
    with pytest.raises(ValueError, match="register it before compile"):
        model.w.register_hook(lambda g: g)
    with pytest.raises(ValueError, match="register_post_accumulate_grad_hook of function__w"):
        model.w.register_post_accumulate_grad_hook(lambda p: None)
