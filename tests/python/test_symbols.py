# SPDX-License-Identifier: Apache-2.0
"""What the library says of the symbols of a file: whose they are, and what they are to it."""

from pathlib import Path

import pytest
import torch
from sambaflow import samba
from sambaflow._base.library import enumeration, hyperparameters, is_loss
from sambaflow._runtime.device import Device
from torch import nn

FILES = sorted((Path(__file__).parents[1] / "data/pef").rglob("*.pef"))
OF_PARAMETERS = {"exp_avg", "exp_avg_sq", "max_exp_avg_sq", "momentum", "master"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: "-".join(path.parts[-3:-1]))
def test_gradients_seeds_and_states_of_every_version_name_their_owner(path):
    device = Device(str(path))
    kinds = {kind: {symbol.name for symbol in device.of_kind(kind.upper())} for kind in enumeration("LEAT_SYMBOL_")}
    for symbol in device.of_kind("GRADIENT"):
        assert symbol.role == "grad" and symbol.owner in kinds["parameter"] | kinds["input"]
        assert device.of(symbol.owner, "grad") is symbol
    for symbol in device.of_kind("SEED"):
        assert symbol.role == "seed" and symbol.owner in kinds["output"]
    for symbol in device.of_kind("STATE"):
        if symbol.owner is None:
            assert symbol.role in ("random__state", "step")
        elif symbol.role == "grad_sum":  # amid an update: no checkpoint has it
            assert symbol.owner in kinds["parameter"] and "grad_sum" not in device.states_of(symbol.owner)
        else:
            assert symbol.role in OF_PARAMETERS and symbol.owner in kinds["parameter"]
            assert device.states_of(symbol.owner)[symbol.role] is symbol


def test_names_that_look_like_roles_are_names(tmp_path):
    """Parameters that are called as what belongs to others, of two optimizers."""

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(torch.ones(3))
            self.w__exp = nn.Parameter(torch.ones(3))
            self.optimizer_0 = nn.Linear(3, 1)

        def forward(self, x):
            return self.optimizer_0(x * self.w * self.w__exp).square().mean()

    model = Model()
    samba.from_torch_model_(model)
    parameters = list(model.parameters())
    optimizers = [samba.optim.AdamW(parameters[:1], lr=0.1), samba.optim.AdamW(parameters[1:], lr=0.1)]
    config = {"output_folder": str(tmp_path), "pef_name": "names"}
    inputs = (samba.from_torch_tensor(torch.ones(2, 3), name="x"),)
    device = Device(samba.session.compile(model, inputs, optimizers, config_dict=config))
    for name in ("model__w", "model__w__exp", "model__optimizer_0__weight"):
        assert device.states_of(name).keys() == {"exp_avg", "exp_avg_sq"}
        assert device.of(name, "grad").name == f"{name}__grad"
    assert [device.of(None, "step", number).name for number in (0, 1)] == ["optimizer_0__step", "optimizer_1__step"]


def test_tables_of_the_compiler():
    assert hyperparameters() == ("lr", "momentum", "weight_decay", "beta1", "beta2", "eps", "max_grad_norm", "p")
    assert is_loss("cross_entropy") and is_loss("kl_div") and not is_loss("linear") and not is_loss("no such row")
    assert list(enumeration("LEAT_LOG_")) == ["debug", "info", "warning", "error"]
    assert enumeration("LEAT_SECTIONS_")["gather"] == 32
