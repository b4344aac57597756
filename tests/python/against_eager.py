# SPDX-License-Identifier: Apache-2.0
"""A model in eager PyTorch and the same compiled, step by step: outputs, gradients, weights, buffers."""

import torch
from sambaflow import samba
from sambaflow.samba import utils
from torch import nn


def tensors(result):
    return [result] if isinstance(result, torch.Tensor) else [t for t in result if isinstance(t, torch.Tensor)]


def _differ(want, have, what):
    have = samba.to_torch(have).detach()
    same = want.shape == have.shape and torch.allclose(want.double(), have.double(), 1e-4, 1e-5, equal_nan=True)
    return [] if same else [f"{what}: eager {want.flatten()[:6].tolist()}, compiled {have.flatten()[:6].tolist()}"]


def _made(make, train):
    torch.manual_seed(0)
    return make().train(train)


def _eager(model, batches, train, lr):
    """Outputs, gradients and state of each step."""
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, weight_decay=0.01) if train else None
    found = []
    for batch in batches:
        if train:
            optimizer.zero_grad()
            outputs = tensors(model(*[x.clone() for x in batch]))
            outputs[0].backward()
            gradients = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
            optimizer.step()
        else:
            with torch.no_grad():
                outputs, gradients = tensors(model(*[x.clone() for x in batch])), {}
        found.append(([o.detach().clone() for o in outputs], gradients))
    return found


def differences(make, batches, tmp_path, *, train=False, lr=0.1, state=None, arguments=None):
    """What differs between eager and compiled steps on `batches`.

    The model is compiled in one copy and run in another, as in two processes. `state(model)` gives tensors beside
    parameters and buffers to be compared at the end.
    """
    reference, compiled, running = (_made(make, train) for _ in range(3))
    before = {name: value.clone() for name, value in reference.state_dict().items()}
    expected = _eager(reference, batches, train, lr)
    samba.session.args = None

    def sgd(model):
        return samba.optim.SGD(model.parameters(), lr=lr, weight_decay=0.01) if train else None

    def named(batch):
        return [samba.from_torch_tensor(x.clone(), name=f"x{i}") for i, x in enumerate(batch)]

    options = {} if train else {"inference": True}
    config = {"output_folder": str(tmp_path), "pef_name": "p", "log_level": "error", **(arguments or {})}
    samba.from_torch_model_(compiled)
    pef = samba.session.compile(compiled, named(batches[0]), sgd(compiled), config_dict=config, **options)
    wrong = []
    for name, value in compiled.state_dict().items():
        wrong += _differ(before[name], value, f"{name} after compile")
    samba.from_torch_model_(running)
    optimizer = sgd(running)
    traced = utils.trace_graph(running, named(batches[0]), optimizer, pef=pef)
    run = {} if train else {"section_types": ["fwd"]}
    for step, batch in enumerate(batches):
        outputs, gradients = expected[step]
        got = tensors(samba.session.run(named(batch), traced, **run))
        for number, (want, have) in enumerate(zip(outputs, got, strict=True)):
            wrong += _differ(want, have, f"step {step}, output {number}")
        for name, parameter in running.named_parameters() if train else ():
            want = gradients.get(name)
            have = parameter.sn_grad
            if want is not None:
                wrong += _differ(
                    want, torch.zeros_like(want) if have is None else have, f"step {step}, gradient of {name}"
                )
            elif have is not None:
                wrong += _differ(torch.zeros_like(parameter).detach(), have, f"step {step}, gradient of {name}")
    samba.session.to_cpu(running)
    held = dict(running.state_dict())
    for name, want in reference.state_dict().items():
        wrong += _differ(want, held[name], f"{name} at the end")
    for number, (want, have) in enumerate(zip(state(reference), state(running), strict=True) if state else ()):
        wrong += _differ(want, have, f"state {number} at the end")
    running(*[x.clone() for x in batches[0]])  # eager works on it
    return wrong


def X(*shape):
    """Random numbers that the shape alone decides."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


class Base(nn.Module):
    """Weights w [3, 3] and b [3]; `setup` adds what else a model has."""

    def __init__(self):
        super().__init__()
        self.w, self.b = nn.Parameter(torch.randn(3, 3)), nn.Parameter(torch.randn(3))
        self.setup()

    def setup(self):
        pass


class Square(torch.autograd.Function):
    """Saves its operand."""

    @staticmethod
    def forward(ctx, a):
        ctx.save_for_backward(a)
        return a * a

    @staticmethod
    def backward(ctx, g):
        (a,) = ctx.saved_tensors
        return 2 * g * a
