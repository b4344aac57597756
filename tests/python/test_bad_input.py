# SPDX-License-Identifier: Apache-2.0
"""Wrong programs and calls, in one process: each gives one message that says what, where and what to do."""

import models
import pytest
import torch
from sambaflow import samba
from sambaflow.samba import utils
from torch import nn


def message_of(error_info):
    text = str(error_info.value)
    assert text.strip() and "Traceback" not in text
    return text


def trace_against(name, pef, batch_size=32, inference=False):
    model, _, inputs, _ = models.build(name, batch_size)
    optimizer = None if inference else samba.optim.SGD(model.parameters(), lr=0.0)
    return utils.trace_graph(model, inputs, optimizer, pef=str(pef))


@pytest.fixture(scope="module")
def logreg_pef(tmp_path_factory):
    return models.compile_only("logreg", tmp_path_factory.mktemp("pef"))


@pytest.fixture
def at_work(tmp_path):
    return models.traced("logreg", tmp_path)


# ---- PEF files


def test_missing_pef(tmp_path):
    with pytest.raises(Exception) as info:
        trace_against("logreg", tmp_path / "nowhere.pef")
    assert "nowhere.pef" in message_of(info)


@pytest.mark.parametrize("content", [b"", b"\x7fELF" + bytes(500), b"LEAT", b"PK\x03\x04" + bytes(4096)])
def test_foreign_pef(content, tmp_path):
    (tmp_path / "foreign.pef").write_bytes(content)
    with pytest.raises(Exception) as info:
        trace_against("logreg", tmp_path / "foreign.pef")
    assert "foreign.pef" in message_of(info)


def test_pef_of_another_graph(tmp_path, logreg_pef):
    with pytest.raises(Exception) as info:
        trace_against("resffn", logreg_pef)
    assert "logreg.pef" in message_of(info)


def test_pef_of_another_shape(logreg_pef):
    with pytest.raises(Exception) as info:
        trace_against("logreg", logreg_pef, batch_size=16)
    message_of(info)


@pytest.mark.parametrize("share", [0.01, 0.3, 0.7, 0.999])
def test_truncated_pef(share, tmp_path, logreg_pef):
    with open(logreg_pef, "rb") as stream:
        whole = stream.read()
    (tmp_path / "cut.pef").write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(Exception) as info:
        trace_against("logreg", tmp_path / "cut.pef")
    assert "cut.pef" in message_of(info)


@pytest.mark.parametrize("place", range(0, 16))
def test_mutated_pef(place, tmp_path, logreg_pef):
    """Every byte that means something is under a checksum; zeros between segments mean nothing."""
    with open(logreg_pef, "rb") as stream:
        changed = bytearray(stream.read())
    position = place * (len(changed) - 1) // 15
    while not changed[position]:
        position -= 1
    changed[position] ^= 0x5A
    (tmp_path / "changed.pef").write_bytes(bytes(changed))
    with pytest.raises(Exception) as info:
        trace_against("logreg", tmp_path / "changed.pef")
    assert "changed.pef" in message_of(info)


def test_training_from_an_inference_pef(tmp_path):
    pef = models.compile_only("logreg", tmp_path, inference=True)
    with pytest.raises(Exception) as info:
        trace_against("logreg", pef)
    assert "inference" in message_of(info)


def test_inference_from_a_training_pef(logreg_pef):
    assert len(trace_against("logreg", logreg_pef, inference=True)) == 2


# ---- runs


def test_wrong_name_of_an_input(at_work):
    images, labels = models.random_batch(32, (784,), 0)
    given = [samba.from_torch_tensor(images, name="picture"), samba.from_torch_tensor(labels, name="label")]
    with pytest.raises(Exception) as info:
        samba.session.run(input_tensors=given, output_tensors=at_work.outputs)
    text = message_of(info)
    assert "picture" in text and "image" in text


def test_missing_input(at_work):
    images, _ = models.random_batch(32, (784,), 0)
    with pytest.raises(Exception) as info:
        samba.session.run(input_tensors=[samba.from_torch_tensor(images, name="image")], output_tensors=at_work.outputs)
    assert "label" in message_of(info)


@pytest.mark.parametrize("shape", [(33, 784), (32, 783), (64, 784), (7, 3)])
def test_wrong_shape_of_an_input(shape, at_work):
    given = models.named_inputs(torch.zeros(shape), torch.zeros(32, dtype=torch.int64))
    with pytest.raises(Exception) as info:
        samba.session.run(input_tensors=given, output_tensors=at_work.outputs)
    text = message_of(info)
    assert "image" in text and "784" in text


@pytest.mark.parametrize("dtype", [torch.complex64, torch.quint8])
def test_wrong_dtype_of_an_input(dtype, at_work):
    if dtype is torch.quint8:
        images = torch.quantize_per_tensor(torch.zeros(32, 784), 0.1, 0, dtype)
    else:
        images = torch.zeros(32, 784, dtype=dtype)
    with pytest.raises(Exception) as info:
        samba.session.run(
            input_tensors=models.named_inputs(images, torch.zeros(32, dtype=torch.int64)),
            output_tensors=at_work.outputs,
        )
    text = message_of(info)
    assert "image" in text and str(dtype).removeprefix("torch.") in text


def test_unknown_hyperparameter(at_work):
    batch = models.random_batch(32, (784,), 0)
    with pytest.raises(Exception) as info:
        at_work.step(*batch, hyperparam_dict={"learning_rate": 0.1})
    text = message_of(info)
    assert "learning_rate" in text and "lr" in text


def test_known_but_unused_hyperparameters_are_accepted(at_work):
    batch = models.random_batch(32, (784,), 0)
    at_work.step(*batch, hyperparam_dict={"lr": 0.1, "p": 0.0})


def test_unknown_section_type(at_work):
    batch = models.random_batch(32, (784,), 0)
    with pytest.raises(Exception) as info:
        at_work.step(*batch, section_types=["forward"])
    text = message_of(info)
    assert "forward" in text and "fwd" in text


def test_a_refused_run_changes_nothing(at_work):
    images, labels = models.random_batch(32, (784,), 0)
    samba.session.to_cpu(at_work.model)
    before = [samba.to_torch(p).clone() for p in at_work.model.parameters()]
    with pytest.raises(Exception):  # noqa: B017 - which one does not matter here
        at_work.step(images, labels, hyperparam_dict={"lr": 0.5, "learning_rate": 0.1})
    samba.session.to_cpu(at_work.model)
    assert all(torch.equal(a, samba.to_torch(b)) for a, b in zip(before, at_work.model.parameters(), strict=True))


# ---- programs that cannot be compiled


class Sorter(nn.Module):
    """Has an op without a row, in a module of its own."""

    class Inner(nn.Module):
        def forward(self, x):
            return torch.linalg.eigh(x @ x.t()).eigenvalues

    def __init__(self):
        super().__init__()
        self.inner = Sorter.Inner()

    def forward(self, image):
        return self.inner(image).sum()


class Brancher(nn.Module):
    def forward(self, image):
        if image.sum() > 0:
            return image * 2
        return image


def compile_module(module, folder):
    samba.from_torch_model_(module)
    image = samba.randn(4, 6, name="image")
    settings = {"output_folder": str(folder), "pef_name": "bad"}
    samba.session.compile(module, (image,), None, name="bad", config_dict=settings, inference=True)


def test_unsupported_op(tmp_path):
    with pytest.raises(Exception) as info:
        compile_module(Sorter(), tmp_path)
    text = message_of(info)
    assert "eigh" in text and "sorter.inner" in text and "test_bad_input.py:" in text
    assert not list(tmp_path.rglob("*.pef"))


def test_branch_on_a_traced_value(tmp_path):
    with pytest.raises(Exception) as info:
        compile_module(Brancher(), tmp_path)
    text = message_of(info)
    assert "brancher" in text and "test_bad_input.py:" in text and "torch.where" in text
    assert not list(tmp_path.rglob("*.pef"))


def test_shape_error_is_torchs(tmp_path):
    class Mismatch(nn.Module):
        def forward(self, image):
            return image + torch.zeros(5)

    with pytest.raises(RuntimeError, match="size of tensor a"):
        compile_module(Mismatch(), tmp_path)
