# SPDX-License-Identifier: Apache-2.0
"""What probes work with: a folder of their own, and small programs that are compiled and traced in it."""

import contextlib
import copy
import io
import os
import tempfile

import torch
import torch.nn.functional as F
from sambaflow import samba
from sambaflow.samba import utils
from torch import nn


class Net(nn.Module):
    """Loss and logits of a layer with dropout."""

    def __init__(self, dropout=0.0):
        super().__init__()
        self.hidden = nn.Linear(6, 5)
        self.drop = nn.Dropout(dropout)
        self.out = nn.Linear(5, 3)

    def forward(self, image, label):
        logits = self.out(self.drop(torch.tanh(self.hidden(image))))
        return F.cross_entropy(logits, label), logits


class Function(nn.Module):
    """A function as a model; what it is given is multiplied by a weight of one, so that there is a gradient."""

    def __init__(self, function):
        super().__init__()
        self.function = function
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, *tensors):
        return self.function(*[t * self.weight if t.is_floating_point() else t for t in tensors])


class Traced:
    """A program at work."""

    def __init__(self, model, reference, inputs, optimizer, pef, outputs):
        self.model, self.reference, self.inputs = model, reference, inputs
        self.optimizer, self.pef, self.outputs = optimizer, pef, outputs

    def run(self, **options):
        """One step; outputs as plain tensors."""
        return [samba.to_torch(t) for t in samba.session.run(self.inputs, self.outputs, **options)]

    def plain(self):
        return [samba.to_torch(t).clone() for t in self.inputs]


class World:
    """Made anew for every probe."""

    def __init__(self):
        self._folder = tempfile.TemporaryDirectory()
        self.folder = self._folder.name
        self.session = samba.session
        samba.session.args = None
        utils.set_seed(7)

    def close(self):
        samba.session.args = None
        self._folder.cleanup()

    def path(self, name):
        return os.path.join(self.folder, name)

    def config(self, name="app", **more):
        return {"output_folder": self.folder, "pef_name": name, **more}

    def inputs(self, batch=4):
        return (
            samba.randn(batch, 6, name="image", batch_dim=0),
            samba.randint(3, (batch,), name="label", batch_dim=0),
        )

    def traced(self, model=None, inputs=None, optimizer=lambda p: samba.optim.SGD(p, lr=0.1, momentum=0.9), **options):
        """Compiled and traced; `optimizer` makes one from the parameters, None is inference."""
        model = Net() if model is None else model
        reference = copy.deepcopy(model)
        samba.from_torch_model_(model)
        inputs = self.inputs() if inputs is None else inputs
        chosen = optimizer(list(model.parameters())) if optimizer else None
        extra = {} if chosen is not None else {"inference": True}
        with self.quiet():
            pef = samba.session.compile(model, inputs, chosen, config_dict=self.config(), **extra, **options)
        outputs = utils.trace_graph(model, inputs, chosen, pef=pef, **options)
        return Traced(model, reference, inputs, chosen, pef, outputs)

    def same(self, function, tensors, training=False, rtol=1e-5, atol=1e-6):
        """`function` gives the same compiled as on the host, gradient of a weight included; the host's result."""
        host = Function(function)
        expected = host(*copy.deepcopy(tensors))
        first = expected[0] if isinstance(expected, (tuple, list)) else expected
        inputs = [samba.from_torch_tensor(t, name=f"x{i}") for i, t in enumerate(tensors)]
        program = self.traced(
            Function(function), inputs, optimizer=(lambda p: samba.optim.SGD(p, lr=0.0)) if training else None
        )
        found = program.run()
        listed = list(expected) if isinstance(expected, (tuple, list)) else [expected]
        assert len(found) == len(listed)
        for a, b in zip(found, listed, strict=True):
            torch.testing.assert_close(a, b.detach(), rtol=rtol, atol=atol, check_dtype=False)
        if training:
            first.sum().backward()
            gradient = samba.to_torch(program.model.weight.sn_grad)
            torch.testing.assert_close(gradient, host.weight.grad, rtol=1e-4, atol=1e-5)
        return first.detach()

    @contextlib.contextmanager
    def quiet(self):
        """What is printed inside is not shown; it is in the result."""
        text = io.StringIO()
        with contextlib.redirect_stdout(text):
            yield text


def raises(kind, call):
    """The message with which `call()` raises `kind`."""
    try:
        call()
    except kind as error:
        return str(error)
    raise AssertionError(f"no {kind.__name__} was raised")


def close(a, b, rtol=1e-5, atol=1e-6):
    torch.testing.assert_close(samba.to_torch(a).detach(), samba.to_torch(b).detach(), rtol=rtol, atol=atol)
