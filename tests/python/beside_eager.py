# SPDX-License-Identifier: Apache-2.0
"""A model compiled and run beside eager PyTorch: outputs, and in training the gradients of all parameters."""

import copy

import torch
from sambaflow import samba
from sambaflow._trace.program import trace
from torch import nn
from torch.utils._pytree import tree_leaves


class Function(nn.Module):
    """A model of one parameter `w` whose forward is `function(self, *inputs)`."""

    def __init__(self, function, *shape):
        super().__init__()
        self.function = function
        self.w = nn.Parameter(torch.linspace(0.5, 1.5, max(1, torch.Size(shape).numel())).reshape(shape))

    def forward(self, *inputs):
        return self.function(self, *inputs)


def _named(inputs):
    return [samba.from_torch_tensor(tensor.clone(), name=f"x{i}") for i, tensor in enumerate(inputs)]


def traced(model, *inputs, inference=False):
    """The program alone, for what is refused."""
    samba.from_torch_model_(model)
    return trace(model, _named(inputs), inference=inference)


def compiled_outputs(folder, model, *inputs, inference=False):
    """The outputs of one run; `model` is converted."""
    samba.from_torch_model_(model)
    named = _named(inputs)
    optimizer = samba.optim.SGD(model.parameters(), lr=0.0) if not inference else None
    config = {"pef_name": "model", "output_folder": str(folder), "inference": inference, "log_level": "error"}
    pef = samba.session.compile(model, named, optimizer, inference=inference, config_dict=config)
    samba.utils.trace_graph(model, named, optimizer, pef=pef)
    options = {"section_types": ["fwd"]} if inference else {"hyperparam_dict": {"lr": 0.0}}
    got = samba.session.run(input_tensors=named, output_tensors=model.output_tensors, **options)
    return [samba.to_torch(tensor) for tensor in (got if isinstance(got, (list, tuple)) else [got])]


def check(folder, model, *inputs, inference=False, reference=None, rtol=1e-4, atol=1e-5):
    """Asserts that Leat gives what eager PyTorch gives; the first output is the loss of a training.

    `reference` is the same model again, where it cannot be copied.
    """
    reference = (reference or copy.deepcopy(model)).train(not inference)
    with torch.set_grad_enabled(not inference):
        expected = tree_leaves(reference(*[tensor.clone() for tensor in inputs]))
    expected = [item for item in expected if isinstance(item, torch.Tensor)]
    if not inference:
        expected[0].backward()
    got = compiled_outputs(folder, model.train(not inference), *inputs, inference=inference)
    assert len(got) == len(expected)
    for mine, eager in zip(got, expected, strict=True):
        torch.testing.assert_close(mine, eager.detach(), rtol=rtol, atol=atol, equal_nan=True)
    if inference:
        return
    for (name, eager), mine in zip(reference.named_parameters(), model.parameters(), strict=True):
        gradient = torch.zeros_like(mine) if mine.sn_grad is None else samba.to_torch(mine.sn_grad)
        wanted = torch.zeros_like(eager) if eager.grad is None else eager.grad.to_dense()
        message = f"gradient of {name}: {gradient} and not {wanted}"
        assert torch.allclose(gradient, wanted, rtol=rtol, atol=atol, equal_nan=True), message
