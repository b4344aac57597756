# SPDX-License-Identifier: Apache-2.0
"""PEFs of earlier releases run with the programs that they were compiled from, and checkpoints resume bit for bit.

What else the files give: tests/c/golden_test.c.
"""

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
from sambaflow._base.library import MismatchError  # noqa: E402
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


@pytest.mark.parametrize("folder", sorted(DATA.glob("pef/*/*")), ids=lambda p: f"{p.parent.name}-{p.name}")
def test_a_file_of_an_earlier_release_takes_its_program(folder):
    model, _, inputs, _ = make_pef.load(folder.name, pef=str(folder / "program.pef"))
    outputs = samba.session.run(input_tensors=make_pef.named(inputs), output_tensors=model.output_tensors)
    values = safetensors.torch.load_file(folder / "values.safetensors")
    recorded = {key: value.shape for key, value in values.items() if key.startswith("0/out/")}
    for tensor, found in zip(model.output_tensors, outputs, strict=True):
        assert samba.to_torch(found).shape == recorded[f"0/out/{tensor.sn_name}"]


def trained(pef):
    """Weights after two updates of two batches, of which one is smaller, and what waited after each run."""
    model, _, inputs, _ = make_pef.load("perceptron_accumulate", pef=pef)
    waiting = []
    for rows in (None, None, 3, None):
        batch = {name: value[:rows] for name, value in inputs.items()}
        samba.session.run(input_tensors=make_pef.named(batch), output_tensors=model.output_tensors)
        waiting.append(samba.session._runner.pending_batches)
    device = samba.session._device
    return {s.name: device.read(s) for s in device.of_kind("PARAMETER")}, waiting


def test_files_before_2_1_add_up_gradients_beside_them():
    expected, waiting = trained(None)
    assert waiting == [(1, 2), (0, 2), (1, 2), (0, 2)]
    for version in ("1.0", "1.1", "2.0"):
        found = trained(str(DATA / "pef" / version / "perceptron_accumulate" / "program.pef"))
        torch.testing.assert_close(found, (expected, waiting))


def changed(name, model=None, inputs=None, optimizer=None):
    old = make_pef.PROGRAMS[name]
    return model or old[0], inputs or old[1], optimizer or old[2], old[3]


def frozen():
    model = make_pef.Language()
    model.norm.requires_grad_(False)
    return model


CHANGES = {
    "forward pass differs": {"model": lambda: make_pef.Language(width=18)},
    "losses differ": {"model": frozen},
    "optimizers differ": {"optimizer": make_pef.sgd},
}


@pytest.mark.parametrize("part", CHANGES)
@pytest.mark.parametrize("release", sorted(p.parent.name for p in DATA.glob("pef/*/language_train")))
def test_a_file_of_an_earlier_release_refuses_another_program(release, part, monkeypatch):
    monkeypatch.setitem(make_pef.PROGRAMS, "language_train", changed("language_train", **CHANGES[part]))
    with pytest.raises(MismatchError, match=f"was compiled from another program: its {part} from"):
        make_pef.load("language_train", pef=str(DATA / "pef" / release / "language_train" / "program.pef"))
