# SPDX-License-Identifier: Apache-2.0
"""A PEF and a checkpoint of an earlier release resume through the SDK, bit for bit; the rest: tests/c/golden_test.c."""

import sys
from pathlib import Path

import pytest
import safetensors.torch
import torch

pytest.importorskip("sambaflow._leat")

DATA = Path(__file__).parents[1] / "data"
sys.path.insert(0, str(DATA))

import make_pef  # noqa: E402
from sambaflow import samba  # noqa: E402
from sambaflow.samba.utils.checkpoint import load_checkpoint  # noqa: E402


@pytest.mark.parametrize("folder", sorted(p.parent for p in DATA.glob("pef/*/*/checkpoint.pt")), ids=lambda p: p.name)
def test_a_checkpoint_of_an_earlier_release_resumes(folder):
    model, optimizer, inputs, _ = make_pef.load(folder.name, pef=str(folder / "program.pef"))
    values = safetensors.torch.load_file(folder / "values.safetensors")
    last = load_checkpoint(str(folder / "checkpoint.pt"), model, optimizer).step
    assert last == len(values["plan"]) - 1
    batch = {name: values[f"{last}/in/{name}"] for name in inputs}
    samba.session.run(input_tensors=make_pef.named(batch), output_tensors=model.output_tensors)
    device = samba.session._device
    for key, value in values.items():
        name = key.removeprefix(f"{last}/out/").removeprefix("after/")
        if name != key and device.find(name).kind != 1:
            assert torch.equal(device.read(device.find(name)), value), name


def test_there_are_checkpoints_of_the_first_release():
    assert {p.parent.name for p in DATA.glob("pef/1.0/*/checkpoint.pt")} == set(make_pef.CHECKPOINTED)
