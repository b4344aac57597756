# SPDX-License-Identifier: Apache-2.0
"""Scripted, traced and compiled functions inside a program, checkpointing, and who asks whether it is traced."""

import os
import subprocess
import sys

import beside_eager as eager
import pytest
import torch
import torch.utils.checkpoint as cp
from beside_eager import Function
from sambaflow import samba
from sambaflow._trace.errors import TraceError
from sambaflow._trace.program import trace
from torch import nn

X = torch.tensor([1.0, 2.0, 3.0])


@torch.jit.script
def norm_weight(weight, gain):
    return torch.exp(gain) * weight / weight.norm()


@torch.jit.script
def branches(x, flag: bool):
    if flag:
        x = x * 2
    with torch.no_grad():
        scale = x.detach() + 1
    for _ in range(2):
        x = x + scale
    return x, scale


class Normed(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function
        self.w = nn.Parameter(torch.tensor([0.3, -0.7, 1.1]))
        self.g = nn.Parameter(torch.tensor([0.2]))
        self.register_buffer("scale", torch.tensor([1.0, 2.0, 0.5]))

    def forward(self, x):
        return (self.function(self.w, self.g) * self.scale * x).square().sum()


def test_scripted_functions_of_parameters_alone_are_traced(tmp_path):
    eager.check(tmp_path, Normed(norm_weight), X, reference=Normed(norm_weight))


def test_traced_and_compiled_functions_of_parameters_alone_are_traced(tmp_path):
    def plain(weight, gain):
        return torch.exp(gain) * weight / weight.norm()

    traced = torch.jit.trace(plain, (torch.ones(3), torch.ones(1)))
    eager.check(tmp_path, Normed(traced), X, reference=Normed(traced))
    eager.check(tmp_path, Normed(torch.compile(plain, backend="eager")), X)


def test_control_flow_and_no_grad_inside_a_scripted_function(tmp_path):
    def function(self, x):
        y, scale = branches(self.w, True)
        return (y * x).sum() + (scale * x).square().sum()

    eager.check(tmp_path, Function(function, 3), X)


@torch.jit.script
def asks(x):
    if bool(x.sum() > 0):
        x = x * 2
    return x


@torch.jit.script
def turns(x):
    return torch.polar(x, x).abs()


@pytest.mark.parametrize("function, words", [(asks, "needs the value"), (turns, "polar"), (torch.cond, "torch.cond")])
def test_what_a_scripted_function_may_not_do_is_refused_as_elsewhere(function, words):
    arguments = (lambda a: a, lambda a: -a) if function is torch.cond else ()

    def forward(self, x):
        return torch.cond(x.sum() > 0, *arguments, (self.w * x,)) if arguments else function(self.w * x)

    with pytest.raises(TraceError, match=words) as caught:
        eager.traced(Function(forward, 3), X)
    assert "test_trace_surroundings.py:" in str(caught.value)


def test_a_choice_that_hangs_on_no_value_is_made(tmp_path):
    def function(self, x):
        return torch.cond(x.shape[0] == 3, lambda a: a * 2, lambda a: a, (self.w * x,)).sum()

    eager.check(tmp_path, Function(function, 3), X)


class Holder(nn.Module):
    def __init__(self, made):
        super().__init__()
        self.w = nn.Parameter(torch.ones(3))
        self.made = made

    def forward(self, x):
        return self.made((self.w * x)[None]).square().sum()


MADE = {
    "script": torch.jit.script,
    "trace": lambda module: torch.jit.trace(module, torch.randn(1, 3)),
    "compile": lambda module: torch.compile(module, backend="eager"),
}


@pytest.mark.parametrize("how", MADE)
def test_modules_of_torch_jit_and_torch_compile_train(tmp_path, how):
    torch.manual_seed(2)
    network = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    wanted, plain = Holder(MADE[how](network)), Holder(network)
    want = plain(X)
    want.backward()
    (got,) = eager.compiled_outputs(tmp_path, wanted, X)
    torch.testing.assert_close(got, want.detach())
    for mine, theirs in zip(wanted.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(samba.to_torch(mine.sn_grad), theirs.grad)


class Images(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.b = nn.ConvTranspose2d(4, 2, 3, padding=1)
        self.norm = nn.BatchNorm2d(2)

    def forward(self, x):
        return self.norm(self.b(self.a(x).relu()))


@pytest.mark.parametrize("how", ["script", "trace", "freeze"])
def test_a_shipped_model_as_the_whole_program(tmp_path, how):
    torch.manual_seed(3)
    base, x = Images().eval(), torch.randn(2, 3, 8, 8)
    model = torch.jit.trace(base, x) if how == "trace" else torch.jit.script(base)
    model = torch.jit.freeze(model) if how == "freeze" else model
    with torch.no_grad():
        want = base(x)
    (got,) = eager.compiled_outputs(tmp_path, model, x, inference=True)
    torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-5)


def test_a_scripted_model_is_the_same_program_at_every_trace():
    model = torch.jit.script(nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)))
    samba.from_torch_model_(model)
    inputs = (samba.randn(2, 3, name="x"),)
    texts = []
    for _ in range(3):
        lines = trace(model, inputs, inference=True).text.splitlines()
        texts.append([line.split(" @ ")[0] for line in lines])
        model(torch.randn(2, 3))
    assert texts[0] == texts[1] == texts[2]


class Checkpointed(nn.Module):
    def __init__(self, call):
        super().__init__()
        self.call = call
        self.a = nn.Linear(3, 4)
        self.b = nn.Sequential(nn.Linear(4, 4), nn.Tanh())

    def forward(self, x):
        return self.call(self.b, self.a(x)).square().mean()


CALLS = {
    "reentrant": lambda f, x: cp.checkpoint(f, x, use_reentrant=True),
    "of an input alone": lambda f, x: cp.checkpoint(f, x.detach(), use_reentrant=True) + x,
    "not reentrant": lambda f, x: cp.checkpoint(f, x, use_reentrant=False),
    "sequential": lambda f, x: cp.checkpoint_sequential(f, 2, x, use_reentrant=False),
    "keywords and several results": lambda f, x: cp.checkpoint(
        lambda a, b: (f(a), a * b), x, 2.0, use_reentrant=True, preserve_rng_state=False
    )[1],
    "under saved tensors on the host": lambda f, x: _on_cpu(f, x),
}


def _on_cpu(f, x):
    with torch.autograd.graph.save_on_cpu():
        return f(x)


@pytest.mark.parametrize("how", CALLS)
@pytest.mark.filterwarnings("ignore:None of the inputs")
def test_checkpointing_changes_no_number(tmp_path, how):
    torch.manual_seed(4)
    eager.check(tmp_path, Checkpointed(CALLS[how]), torch.randn(5, 3))


class OldStyle(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, y):
        ctx.save_for_backward(x, y)
        ctx.needs = ctx.needs_input_grad
        return x * y

    @staticmethod
    def backward(ctx, grad):
        assert ctx.needs == ctx.needs_input_grad == (True, False)
        x, y = ctx.saved_variables
        return grad * y * 5, None


def test_the_context_of_an_autograd_function(tmp_path):
    eager.check(tmp_path, Function(lambda self, x: OldStyle.apply(self.w, x).sum(), 3), X)


early_is_compiling, early_is_tracing = torch.compiler.is_compiling, torch.jit.is_tracing


def test_programs_that_ask_whether_they_are_traced_hear_yes():
    heard = []

    def function(self, x):
        heard.extend([torch.jit.is_tracing(), torch.compiler.is_compiling(), early_is_compiling(), early_is_tracing()])
        return (self.w * x).sum()

    eager.traced(Function(function, 3), X)
    assert heard == [True] * 4
    assert not any([torch.jit.is_tracing(), torch.compiler.is_compiling(), early_is_compiling(), early_is_tracing()])


def test_transformers_hears_it_too():
    transformers = pytest.importorskip("transformers.utils")
    heard = []

    def function(self, x):
        heard.append(transformers.is_tracing(x))
        return (self.w * x).sum()

    eager.traced(Function(function, 3), X)
    assert heard == [True]


def test_torch_itself_goes_on_as_in_eager_mode():
    """Hooks that run in any case run where forward fails, as they do not under torch.compile."""
    left = []
    inner = nn.Linear(3, 3)
    inner.forward = lambda x: x.no_such_method()
    inner.register_forward_hook(lambda *_: left.append(True), always_call=True)

    def function(self, x):
        try:
            return inner(self.w * x)
        except AttributeError:
            return (self.w * x).sum()

    program = eager.traced(Function(function, 3), X)
    assert left == [True] and "mul" in program.text


def test_compiled_functions_run_as_they_were_written(tmp_path):
    calls = []

    def inner(x):
        calls.append(type(x).__name__)
        return x.sin()

    compiled = torch.compile(inner, backend="eager")
    assert "torch._dynamo" in sys.modules
    eager.traced(Function(lambda self, x: compiled(self.w * x).sum(), 3), X)
    assert calls == ["TracedTensor"]


def _by_decorator(self, x):
    @torch.compile(backend="eager")
    def function(y):
        return y.exp() * self.w

    return function(x).sum()


def _of_a_module(self, x):
    self.inner.compile(backend="eager")
    return self.inner(x[None] * self.w).square().sum()


COMPILING = {
    "function": lambda self, x: torch.compile(torch.sin, backend="eager")(x * self.w).sum(),
    "decorator": _by_decorator,
    "module": lambda self, x: torch.compile(self.inner, backend="eager")(x[None] * self.w).square().sum(),
    "module in place": _of_a_module,
}


@pytest.mark.parametrize("how", COMPILING)
def test_what_forward_itself_compiles_is_traced_as_written(tmp_path, how):
    model = Function(COMPILING[how], 3)
    model.inner = nn.Linear(3, 2)
    eager.check(tmp_path, model, X)


def test_what_forward_itself_compiles_imports_no_compiler(tmp_path):
    program = f"""if True:
        import sys
        sys.path.insert(0, {os.path.dirname(__file__)!r})
        import beside_eager as eager, torch
        model = eager.Function(lambda self, x: torch.compile(torch.sin)(x * self.w).sum(), 3)
        (loss,) = eager.compiled_outputs({str(tmp_path)!r}, model, torch.ones(3))
        assert "torch._dynamo" not in sys.modules
        torch.testing.assert_close(loss, torch.tensor([0.5, 1.0, 1.5]).sin().sum())
    """
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("how", ["script", "trace"])
def test_scripted_modules_that_trained_before_are_the_same_program(how):
    """After two calls torch.jit would run what its optimizer wrote, in which parameters are detached."""
    torch.manual_seed(6)
    model, x = Holder(MADE[how](nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)))), torch.randn(3)
    texts = []
    for _ in range(4):
        texts.append([line.split(" @ ")[0] for line in eager.traced(model, x).text.splitlines()])
        model(x).backward()
    assert all(text == texts[0] for text in texts)
    assert not any("detach" in line for line in texts[0])


def test_scripted_functions_that_trained_before_are_the_same_program():
    @torch.jit.script
    def scaled(weight, x):
        return torch.exp(weight * 0.1) * x

    model = Function(lambda self, x: scaled(self.w, x).square().sum(), 3)
    texts = []
    for _ in range(4):
        texts.append([line.split(" @ ")[0] for line in eager.traced(model, X).text.splitlines()])
        model(X).backward()
    assert all(text == texts[0] for text in texts)
    assert not any("detach" in line for line in texts[0])
