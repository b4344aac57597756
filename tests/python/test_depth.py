# SPDX-License-Identifier: Apache-2.0
"""Deep models of equal blocks: what the file says once, and that each block is told and computed all the same."""

import json
import os
import re
import subprocess

import pytest
import torch
from language_models import Gpt2
from sambaflow import samba
from sambaflow.samba import utils
from sambaflow.samba.lazy_param import lazy_param
from support import leat_command

pytest.importorskip("sambaflow._leat")

BATCH, LENGTH = 2, 16


def inputs_of():
    generator = torch.Generator().manual_seed(5)
    values = {name: torch.randint(64, (BATCH, LENGTH), generator=generator) for name in ("tokens", "targets")}
    return tuple(samba.from_torch_tensor(value, name=name, batch_dim=0) for name, value in values.items())


def compile_layers(layers, folder, trains, **config):
    """The path of a PEF; weights are of device meta."""
    with lazy_param():
        model = Gpt2(layers=layers, width=32)
    samba.from_torch_model_(model)
    optimizer = samba.optim.AdamW(model.parameters(), lr=0.1) if trains else None
    settings = {"output_folder": str(folder), "pef_name": f"layers_{layers}_{trains}", **config}
    return samba.session.compile(model, inputs_of(), optimizer, inference=not trains, config_dict=settings)


def info(pef):
    return json.loads(subprocess.run([leat_command(), "info", "--json", pef], check=True, capture_output=True).stdout)


@pytest.mark.parametrize("trains", [True, False])
@pytest.mark.parametrize("config", [{}, {"optim_level": "o1"}, {"compiler_mode": "nlp"}], ids=["o3", "o1", "nlp"])
def test_the_file_of_four_times_the_layers_is_about_as_large(config, trains, tmp_path):
    few, many = (compile_layers(layers, tmp_path, trains, **config) for layers in (12, 48))
    assert os.path.getsize(many) <= 1.3 * os.path.getsize(few)


def test_each_layer_has_its_symbols_and_sections(tmp_path):
    pef = compile_layers(48, tmp_path, True, optim_level="o1")
    told = info(pef)
    assert told["version"] == [2, 1] and told["table_bytes"] > 3 * told["file_bytes"] == 3 * os.path.getsize(pef)
    text = subprocess.run([leat_command(), "info", pef], check=True, capture_output=True, text=True).stdout
    assert re.search(r": PEF 2\.1, [0-9.]+ KiB for [0-9.]+ KiB of tables, training", text)
    weights = {f"gpt2__h__{layer}__c_attn__weight" for layer in range(48)}
    assert weights <= {symbol["name"] for symbol in told["symbols"]}
    assert {f"gpt2.h.{layer}.c_attn" for layer in range(48)} <= {section["name"] for section in told["sections"]}


def test_layers_compute_what_eager_does(tmp_path):
    """Each of 14 layers with weights of its own: a step of SGD."""
    torch.manual_seed(3)
    model, rate = Gpt2(layers=14, width=16), 0.5
    reference = Gpt2(layers=14, width=16)
    reference.load_state_dict(model.state_dict())
    samba.from_torch_model_(model)
    optimizer = samba.optim.SGD(model.parameters(), lr=rate)
    settings = {"output_folder": str(tmp_path), "pef_name": "deep"}
    pef = samba.session.compile(model, inputs_of(), optimizer, config_dict=settings)
    assert info(pef)["version"] == [2, 1]
    outputs = utils.trace_graph(model, inputs_of(), optimizer, pef=pef)
    loss = samba.to_torch(samba.session.run(input_tensors=list(inputs_of()), output_tensors=outputs)[0])
    samba.session.to_cpu(model)
    expected = reference(*(samba.to_torch(t) for t in inputs_of()))[0]
    expected.backward()
    torch.testing.assert_close(loss.mean(), expected.detach(), rtol=1e-5, atol=1e-6)
    for (name, own), other in zip(model.named_parameters(), reference.parameters(), strict=True):
        expected = (other - rate * other.grad).detach()
        torch.testing.assert_close(samba.to_torch(own), expected, rtol=1e-4, atol=1e-5, msg=name)
