# SPDX-License-Identifier: Apache-2.0
"""A small program that is compiled and run under options."""

import csv
from pathlib import Path

import pytest
import torch
from sambaflow import samba
from sambaflow._runtime.device import Device
from sambaflow.samba.utils.argparser import parse_app_args
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1, self.fc2, self.criterion = nn.Linear(12, 16), nn.Linear(16, 4), nn.CrossEntropyLoss()

    def forward(self, image, label):
        logits = self.fc2(torch.relu(self.fc1(image)))
        return self.criterion(logits, label), logits


@pytest.fixture(autouse=True)
def own_arguments():
    """Options of a test do not reach the next one."""
    yield
    samba.session.args = None


def program(batch=4):
    torch.manual_seed(0)
    model = Net()
    samba.from_torch_model_(model)
    inputs = (samba.randn(batch, 12, name="image"), samba.randint(4, (batch,), name="label"))
    return model, inputs, samba.optim.SGD(model.parameters(), lr=0.1)


def compiled(folder, *argv, name="net", **options):
    """Runs `compile` with these options; the path of the PEF."""
    args = parse_app_args(["compile", "--output-folder", str(folder), "--pef-name", name, "-b", "4", *argv], **options)
    model, inputs, optimizer = program(args.batch_size)
    return Path(samba.session.compile(model, inputs, None if args.inference else optimizer, name=name))


def leat_facts(pef):
    return Device(str(pef)).metadata["leat"]


def rows_of(pef):
    with open(pef.parent / "sections.csv", newline="") as file:
        return list(csv.DictReader(file))
