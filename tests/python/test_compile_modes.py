# SPDX-License-Identifier: Apache-2.0
"""o0, o1 and o3: the same numbers, fewer sections; what o0 keeps for debugging."""

import copy

import pytest
import torch
from language_models import Gpt2, Llama
from models import MODELS
from sambaflow import samba
from sambaflow._runtime.device import Device
from sambaflow.samba import utils

pytest.importorskip("sambaflow._leat")

BATCH, LENGTH, STEPS = 4, 16, 3


def language_inputs():
    generator = torch.Generator().manual_seed(5)
    return {name: torch.randint(64, (BATCH, LENGTH), generator=generator) for name in ("tokens", "targets")}


def image_inputs(name):
    generator = torch.Generator().manual_seed(5)
    images = torch.randn(BATCH, *MODELS[name][1], generator=generator)
    return {"image": images, "label": torch.randint(10, (BATCH,), generator=generator)}


PROGRAMS = {
    **{name: (MODELS[name][0], lambda name=name: image_inputs(name)) for name in MODELS},
    "gpt2": (Gpt2, language_inputs),
    "llama": (Llama, language_inputs),
}


def tensors_of(inputs):
    return [samba.from_torch_tensor(value, name=name, batch_dim=0) for name, value in inputs.items()]


def compile_and_train(name, level, folder, **config):
    """Three steps of SGD: losses, logits of the last step, trained weights, path of the PEF."""
    make, make_inputs = PROGRAMS[name]
    torch.manual_seed(7)
    model, inputs = make(), make_inputs()
    reference = copy.deepcopy(model)
    samba.from_torch_model_(model)
    optimizer = samba.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    settings = {"output_folder": str(folder), "pef_name": f"{name}_{level}", "optim_level": level, **config}
    pef = samba.session.compile(model, tuple(tensors_of(inputs)), optimizer, config_dict=settings)
    outputs = utils.trace_graph(model, tuple(tensors_of(inputs)), optimizer, pef=pef)
    losses = []
    for _ in range(STEPS):
        loss, logits = samba.session.run(input_tensors=tensors_of(inputs), output_tensors=outputs)
        losses.append(samba.to_torch(loss).mean().item())
    samba.session.to_cpu(model)
    weights = {name: samba.to_torch(p).clone() for name, p in model.named_parameters()}
    return losses, samba.to_torch(logits).clone(), weights, pef, reference, inputs


def train_torch(reference, inputs):
    optimizer = torch.optim.SGD(reference.parameters(), lr=0.1, momentum=0.9)
    losses = []
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss, logits = reference(*inputs.values())
        loss.mean().backward()
        optimizer.step()
        losses.append(loss.mean().item())
    return losses, logits.detach(), dict(reference.named_parameters())


def section_count(pef):
    return len(Device(pef).report()["sections"])


@pytest.mark.parametrize("name", PROGRAMS)
def test_modes_equal_torch_and_each_other(name, tmp_path):
    found = {level: compile_and_train(name, level, tmp_path) for level in ("o0", "o1", "o3")}
    reference, inputs = found["o0"][4:]
    losses, logits, weights = train_torch(reference, inputs)
    for level, (own_losses, own_logits, own_weights, *_) in found.items():
        torch.testing.assert_close(torch.tensor(own_losses), torch.tensor(losses), rtol=1e-4, atol=1e-5, msg=level)
        torch.testing.assert_close(own_logits, logits, rtol=1e-3, atol=1e-4)
        for key, weight in own_weights.items():
            torch.testing.assert_close(weight, weights[key].detach(), rtol=1e-3, atol=1e-4)
    counts = {level: section_count(results[3]) for level, results in found.items()}
    assert counts["o0"] >= counts["o1"] >= counts["o3"], counts


def test_o0_keeps_what_every_op_computes(tmp_path):
    """Intermediate results are symbols named after module and op; the k-th further call of an op is numbered."""

    class Twice(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = torch.nn.Linear(6, 5), torch.nn.Linear(5, 4)

        def forward(self, x):
            return torch.relu(self.second(torch.relu(self.first(x)))).sum()

    model = Twice()
    reference = copy.deepcopy(model)
    samba.from_torch_model_(model)
    x = torch.randn(3, 6)
    inputs = (samba.from_torch_tensor(x, name="x", batch_dim=0),)
    pef = samba.session.compile(
        model,
        inputs,
        inference=True,
        config_dict={"output_folder": str(tmp_path), "pef_name": "t", "optim_level": "o0"},
    )
    utils.trace_graph(model, inputs, pef=pef)
    samba.session.run(input_tensors=inputs)
    names = ["twice__first__linear__outputs__0", "twice__relu__outputs__0", "twice__relu_1__outputs__0"]
    first, relu, relu_1 = (samba.to_torch(t) for t in samba.session.get_tensors_by_name(names))
    torch.testing.assert_close(first, reference.first(x))
    torch.testing.assert_close(relu, torch.relu(reference.first(x)))
    torch.testing.assert_close(relu_1, torch.relu(reference.second(torch.relu(reference.first(x)))))
