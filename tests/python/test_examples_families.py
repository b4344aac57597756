# SPDX-License-Identifier: Apache-2.0
"""Examples in other styles of program (forecaster, volumes, denoiser): against eager PyTorch, and what they learn."""

import copy
import json
import math
import re

import denoiser
import forecaster
import numpy as np
import pytest
import torch
import volumes
from sambaflow import samba
from sambaflow.samba import utils
from support import run_example

EXAMPLES = {
    "forecaster": lambda: forecaster.Forecaster(32),
    "volumes": lambda: volumes.ClipNet(10),
    "denoiser": lambda: denoiser.Denoiser(8),
}
STEPS = 20


def batch(name, step):
    """One batch of eight by the names of the model's inputs; random, with something to learn."""
    generator = torch.Generator().manual_seed(step)
    if name == "forecaster":
        window = torch.randn(8, 1, generator=generator) + torch.arange(24) * 0.1
        return {"window": window.sin(), "following": (window[:, -1] + 0.1).sin()}
    if name == "volumes":
        label = torch.randint(10, (8,), generator=generator)
        clip = torch.randn(8, 1, 8, 14, 14, generator=generator) + label.view(-1, 1, 1, 1, 1) / 5
        return {"clip": clip, "label": label}
    clean = torch.randn(8, 1, 7, 7, generator=generator).repeat_interleave(4, 2).repeat_interleave(4, 3)
    return {"noisy": clean + torch.randn(8, 1, 28, 28, generator=generator), "clean": clean}


def named(tensors):
    return [samba.from_torch_tensor(tensor, name=name) for name, tensor in tensors.items()]


@pytest.mark.parametrize("name", list(EXAMPLES))
def test_first_losses(name, tmp_path):
    """The same batches: every loss within 1e-5 of eager PyTorch's, and every gradient of the first step."""
    utils.set_seed(3)
    model = EXAMPLES[name]()
    reference = copy.deepcopy(model)
    samba.from_torch_model_(model)
    inputs = named(batch(name, 0))
    optimizer = samba.optim.SGD(model.parameters(), lr=0.0)
    config = {"output_folder": str(tmp_path), "pef_name": name}
    pef = samba.session.compile(model, inputs, optimizer, name=name, config_dict=config)
    traced = utils.trace_graph(model, inputs, optimizer, pef=pef)
    eager = torch.optim.SGD(reference.parameters(), lr=0.005, momentum=0.5)
    for step in range(STEPS):
        tensors = batch(name, step)
        loss, _ = samba.session.run(named(tensors), traced, hyperparam_dict={"lr": 0.005, "momentum": 0.5})
        eager.zero_grad()
        expected, _ = reference(*tensors.values())
        expected.backward()
        if step == 0:
            for ours, theirs in zip(model.parameters(), reference.parameters(), strict=True):
                error = (samba.to_torch(ours.sn_grad) - theirs.grad).abs().max() / theirs.grad.abs().max()
                assert float(error) <= 1e-5, ours.sn_name
        eager.step()
        assert abs(float(samba.to_torch(loss)) / float(expected.detach()) - 1) <= 1e-5, step


def numbers(pattern, text):
    return [float(number) for number in re.search(pattern, text).groups()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the PEFs of all three are."""
    folder = tmp_path_factory.mktemp("families")
    (folder / "out").mkdir()
    for name in EXAMPLES:
        run_example(name, "compile", "--pef-name", name, cwd=folder)
    return folder


def pef(name):
    return ["--pef", f"out/{name}/{name}.pef"]


def test_forecaster_learns(folder):
    done = run_example("forecaster", "run", *pef("forecaster"), "-e", 3, cwd=folder)
    error, naive = numbers(r"error ([\d.]+), of the naive forecast ([\d.]+)", done.stdout)
    assert error <= 0.4 * naive
    start = ["--test", "--init-ckpt-path", "out/forecaster/forecaster.pt"]
    tested = run_example("forecaster", "run", *pef("forecaster"), *start, cwd=folder)
    assert tested.stdout.splitlines()[-1] == done.stdout.splitlines()[-1]


def test_forecaster_reads_a_table(folder, tmp_path):
    values = torch.sin(torch.arange(600) / 4.0).tolist()
    (tmp_path / "table.csv").write_text("time,value\n" + "".join(f"{i},{v:.5f}\n" for i, v in enumerate(values)))
    options = ["--data-file", tmp_path / "table.csv", "-e", 4, "--ckpt-path", tmp_path / "table.pt"]
    done = run_example("forecaster", "run", *pef("forecaster"), *options, cwd=folder)
    error, naive = numbers(r"error ([\d.]+), of the naive forecast ([\d.]+)", done.stdout)
    assert error <= 0.4 * naive
    (tmp_path / "table.csv").write_text("time,value\n1,x\n2,y\n")
    failed = run_example("forecaster", "run", *pef("forecaster"), *options, cwd=folder, expect_error=True)
    assert "must hold a number in every line" in failed.stderr


def test_volumes_learn(folder):
    done = run_example("volumes", "run", *pef("volumes"), "-e", 4, cwd=folder)
    assert numbers(r"test accuracy ([\d.]+) %", done.stdout)[0] >= 80.0


def test_denoiser_learns(folder):
    run_example("denoiser", "run", *pef("denoiser"), "-n", 200, cwd=folder)
    run_example("denoiser", "compile", "--pef-name", "cleaner", "--inference", cwd=folder)
    start = ["--inference", "--init-ckpt-path", "out/denoiser/denoiser.pt"]
    done = run_example("denoiser", "run", *pef("cleaner"), *start, cwd=folder)
    noisy, restored = numbers(r"noisy ([\d.]+), restored ([\d.]+)", done.stdout)
    assert restored <= 0.25 * noisy


@pytest.mark.parametrize("name", list(EXAMPLES))
def test_command_test(name, folder):
    done = run_example(name, "test", *pef(name), cwd=folder)
    assert "FAIL" not in done.stdout and ("test passed" in done.stdout or "ok " in done.stdout)


@pytest.mark.parametrize(("name", "preset"), [("forecaster", "mp1"), ("volumes", "mp4"), ("denoiser", "mp4")])
def test_command_test_in_mixed_precision(name, preset, tmp_path):
    """What bf16 rounds passes, without a tolerance of the user's; what f32 would allow does not."""
    run_example(name, "compile", "--pef-name", name, "--graphamp-preset", preset, cwd=tmp_path)
    done = run_example(name, "test", *pef(name), cwd=tmp_path)
    assert "FAIL" not in done.stdout and "ok " in done.stdout
    strict = {"denoiser": ["--rtol", "1e-4"]}.get(name, ["--relative-numeric-threshold", "1e-4"])
    failed = run_example(name, "test", *pef(name), *strict, cwd=tmp_path, expect_error=True)
    assert "FAIL" in failed.stdout + failed.stderr


@pytest.mark.parametrize("name", list(EXAMPLES))
def test_measure_sections(name, folder):
    options = ["--num-iterations", 2, "--json", f"{name}-sections.json"]
    done = run_example(name, "measure-sections", *pef(name), *options, cwd=folder)
    sections = json.loads((folder / f"{name}-sections.json").read_text())["sections"]
    assert {section["type"] for section in sections} >= {"fwd", "bckwd", "opt"}
    assert len(done.stdout.splitlines()) == len(sections) + 1


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        ("-b", "0", "-b/--batch-size: 0: 1 to 2147483647 is legal"),
        ("--length", "x", "--length: 'x': a whole number is expected"),
        ("--hidden", "-1", "--hidden: -1: 1 to 2147483647 is legal"),
        ("-e", "-1", "-e/--num-epochs: -1: 0 to 2147483647 is legal"),
        ("--lr", "nan", "--lr: 'nan': a number is expected"),
        ("--seed", "99999999999999999999", "--seed: 99999999999999999999: 0 to 2147483647 is legal"),
    ],
)
def test_numbers_out_of_range_are_refused_by_name(option, value, told, folder):
    failed = run_example("forecaster", "run", *pef("forecaster"), option, value, cwd=folder, expect_error=True)
    assert f"argument {told}" in failed.stderr


@pytest.mark.parametrize("name", list(EXAMPLES))
def test_measure_performance(name, folder):
    options = ["--num-iterations", 5, "--min-duration", 0.1, "--json", f"{name}.json"]
    run_example(name, "measure-performance", *pef(name), *options, cwd=folder)
    assert (folder / f"{name}.json").stat().st_size > 0


def write_idx(path, pixels):
    """Images as an IDX file, without labels beside it."""
    header = bytes([0, 0, 8, 3]) + b"".join(size.to_bytes(4, "big") for size in pixels.shape)
    path.write_bytes(header + pixels.numpy().tobytes())


def test_unlabelled_images_are_classified_and_restored(folder, tmp_path):
    generator = torch.Generator().manual_seed(1)
    pixels = torch.randint(256, (45, 28, 28), dtype=torch.uint8, generator=generator)
    write_idx(tmp_path / "t10k-images-idx3-ubyte", pixels)
    data = ["--data-dir", tmp_path, "--inference"]
    done = run_example("volumes", "run", *pef("volumes"), *data, "--results-path", tmp_path / "classes", cwd=folder)
    assert "45 images, no labels" in done.stdout
    lines = (tmp_path / "classes" / "predictions.csv").read_text().splitlines()
    assert len(lines) == 46 and all(0 <= int(line.split(",")[1]) < 10 for line in lines[1:])
    restored = tmp_path / "restored.npy"
    done = run_example("denoiser", "run", *pef("denoiser"), *data, "--noisy", "--results-path", restored, cwd=folder)
    assert "restored 45 images" in done.stdout
    assert torch.from_numpy(np.load(restored)).isfinite().all() and np.load(restored).shape == (45, 1, 28, 28)


def test_forecasts_reach_beyond_the_series(folder, tmp_path):
    table = tmp_path / "table.csv"
    table.write_text("value\n" + "".join(f"{math.sin(i / 4.0):.5f}\n" for i in range(50)))
    options = ["--inference", "--data-file", table, "--results-path", tmp_path / "next.csv"]
    run_example("forecaster", "run", *pef("forecaster"), *options, cwd=folder)
    rows = [line.split(",") for line in (tmp_path / "next.csv").read_text().splitlines()[1:]]
    assert [int(row) for row, _ in rows] == list(range(24, 51))  # row 50 follows the last
    assert all(math.isfinite(float(value)) for _, value in rows)
