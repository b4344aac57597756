# SPDX-License-Identifier: Apache-2.0
"""Training from a PEF against eager PyTorch: losses, gradients, accuracy, checkpoints."""

import re

import models
import pytest
import torch
from common.data import load_split, shuffled_batches
from sambaflow import samba
from support import MNIST, data_options, run_example, same_bits


@pytest.fixture(scope="module")
def data():
    return load_split(str(MNIST) if MNIST.is_dir() else None, train=True)


def batches(data, count, batch_size=32):
    """`count` training batches, epoch after epoch."""
    epoch = 0
    while count > 0:
        for batch in shuffled_batches(data, batch_size, seed=1, epoch=epoch):
            yield batch
            count -= 1
            if not count:
                return
        epoch += 1


@pytest.mark.parametrize("name", list(models.MODELS))
def test_first_hundred_losses(name, tmp_path, data):
    """The same batches, lr 0.01, momentum 0.9: every loss within 1e-5 of eager PyTorch's."""
    at_work = models.traced(name, tmp_path)
    reference = at_work.reference
    eager = torch.optim.SGD(reference.parameters(), lr=0.01, momentum=0.9)
    worst = 0.0
    for images, labels in batches(data, 100):
        loss, _ = at_work.step(images, labels, hyperparam_dict={"lr": 0.01, "momentum": 0.9})
        eager.zero_grad()
        expected, _ = reference(images.reshape(32, *at_work.image_shape), labels)
        expected.backward()
        eager.step()
        worst = max(worst, abs(float(loss) / float(expected.detach()) - 1))
    print(f"{name}: worst relative error of 100 losses {worst:.2e}")
    assert worst <= 1e-5


@pytest.mark.parametrize("name", list(models.MODELS))
def test_gradients_after_one_step(name, tmp_path, data):
    """Every parameter gradient within 1e-5 of the largest element of that tensor."""
    at_work = models.traced(name, tmp_path)
    images, labels = next(batches(data, 1))
    at_work.step(images, labels, hyperparam_dict={"lr": 0.01, "momentum": 0.9})
    loss, _ = at_work.reference(images.reshape(32, *at_work.image_shape), labels)
    loss.backward()
    gold = dict(at_work.reference.named_parameters())
    for parameter_name, parameter in at_work.model.named_parameters():
        expected = gold[parameter_name].grad
        found = samba.to_torch(parameter.sn_grad)
        error = float((expected - found).abs().max() / expected.abs().max())
        assert error <= 1e-5, f"{parameter_name}: {error:.2e}"


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"momentum": 0.9},
        {"momentum": 0.9, "nesterov": True},
        {"momentum": 0.5, "dampening": 0.3, "weight_decay": 0.1},
    ],
)
def test_sgd_as_in_torch(options, tmp_path, data):
    """Weights after several steps with every option of SGD."""
    at_work = models.traced("logreg", tmp_path, lr=0.05, **options)
    eager = torch.optim.SGD(at_work.reference.parameters(), lr=0.05, **options)
    for images, labels in batches(data, 8):
        at_work.step(images, labels)
        eager.zero_grad()
        at_work.reference(images.reshape(32, 784), labels)[0].backward()
        eager.step()
    samba.session.to_cpu(at_work.model)
    for mine, theirs in zip(at_work.model.parameters(), at_work.reference.parameters(), strict=True):
        assert torch.allclose(samba.to_torch(mine), theirs, rtol=1e-5, atol=1e-6)


def accuracy_of(text):
    return float(re.findall(r"test accuracy ([\d.]+) %", text)[-1])


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """lenet.py compiled and trained by its own commands: five epochs of MNIST, or twenty of the few digits."""
    folder = tmp_path_factory.mktemp("lenet")
    (folder / "out").mkdir()
    run_example("lenet", "compile", "--pef-name", "lenet", cwd=folder)
    run_example("lenet", "compile", "--pef-name", "lenet-inference", "--inference", cwd=folder)
    done = run_example(
        "lenet", "run", "--pef", "out/lenet/lenet.pef", "-e", 5 if MNIST.is_dir() else 20, *data_options(), cwd=folder
    )
    return folder, done.stdout


def test_lenet_accuracy(trained):
    _, output = trained
    print(output)
    assert accuracy_of(output) >= (96.0 if MNIST.is_dir() else 95.0)


def test_lenet_test_and_inference_agree(trained):
    folder, output = trained
    checkpoint = re.search(r"^checkpoint: (.*)$", output, re.MULTILINE).group(1)
    start = ["--init-ckpt-path", checkpoint, *data_options()]
    tested = run_example("lenet", "run", "--pef", "out/lenet/lenet.pef", "--test", *start, cwd=folder)
    assert accuracy_of(tested.stdout) == accuracy_of(output)
    for pef in ("lenet", "lenet-inference"):  # inference from a training PEF is legal
        inferred = run_example("lenet", "run", "--pef", f"out/{pef}/{pef}.pef", "--inference", *start, cwd=folder)
        assert float(re.search(r"accuracy ([\d.]+) %", inferred.stdout).group(1)) == accuracy_of(output)
        results = {path.name for path in (folder / "out" / pef / "results").iterdir()}
        assert results == {"logits.npy", "predictions.csv", "summary.json"}


@pytest.mark.parametrize(
    ("first", "start"),
    [(["-e", 1], "resffn-epoch-0001.pt"), (["-e", 2, "-n", 5], "resffn-epoch-0000-step-00005.pt")],
    ids=["epoch", "steps"],
)
def test_resumed_training_is_the_same_training(tmp_path, first, start):
    """Two epochs, and the same in two parts with a checkpoint between: equal bits of weights and momentum."""
    run_example("resffn", "compile", "--pef-name", "r", "--hidden-size", 64, cwd=tmp_path)
    common = ["run", "--pef", "out/r/r.pef", "--hidden-size", 64]
    run_example("resffn", *common, "-e", 2, "--ckpt-dir", "whole", cwd=tmp_path)
    done = run_example("resffn", *common, *first, "--ckpt-dir", "parts", cwd=tmp_path)
    assert done.stdout.rstrip().endswith(start) and ("step 5/" in done.stdout) == ("-n" in first)
    state = torch.load(tmp_path / "parts" / start, weights_only=True)
    assert (state["epoch"], state["step"]) == ((0, 5) if "-n" in first else (1, 0))
    rest = ["-e", 2, "--ckpt-dir", "parts", "--init-ckpt-path", f"parts/{start}"]
    run_example("resffn", *common, *rest, cwd=tmp_path)
    whole = torch.load(tmp_path / "whole" / "resffn-epoch-0002.pt", weights_only=True)
    parts = torch.load(tmp_path / "parts" / "resffn-epoch-0002.pt", weights_only=True)
    assert whole["epoch"] == parts["epoch"] == 2
    for name, tensor in whole["model"].items():
        assert same_bits(tensor, parts["model"][name]), name
    for index, state in whole["optimizer"]["state"].items():
        for name, value in state.items():
            other = parts["optimizer"]["state"][index][name]
            assert same_bits(value, other) if isinstance(value, torch.Tensor) else value == other, (index, name)


@pytest.mark.parametrize("name", list(models.MODELS))
def test_command_test(name, tmp_path):
    """`test` compares CPU and PEF layer by layer."""
    (tmp_path / "out").mkdir()
    run_example(name, "compile", "--pef-name", name, cwd=tmp_path)
    done = run_example(name, "test", "--pef", f"out/{name}/{name}.pef", cwd=tmp_path)
    assert "test passed" in done.stdout and "FAIL" not in done.stdout
    for kind in ("layer", "output", "gradient", "updated"):
        assert re.search(rf"^ok\s+{kind}\s", done.stdout, re.MULTILINE), done.stdout


def test_measure_performance(tmp_path):
    (tmp_path / "out").mkdir()
    run_example("logreg", "compile", "--pef-name", "l", cwd=tmp_path)
    done = run_example("logreg", "measure-performance", "--pef", "out/l/l.pef", "--json", "times.json", cwd=tmp_path)
    assert "pytorch" in done.stdout and (tmp_path / "times.json").exists()
