# SPDX-License-Identifier: Apache-2.0
"""Whole programs in the ways that SambaFlow programs are written, through the commands that they have.

A program of PROGRAMS is compiled, tested and measured; its `run` is started from the PEF and again on plain PyTorch
(eager.py): what it printed and the checkpoints that it wrote must agree. Those of SELF_CHECKED compare by themselves.
"""

import re
from pathlib import Path

import pytest
import torch
from launch import launch

HERE = Path(__file__).resolve().parent
RTOL = 2e-4  # of printed numbers, and of each tensor's largest element
BFLOAT16 = {"zoo_masked_lm": 0.05, "two_rates": 0.05}  # as RTOL, for programs that train in bfloat16
# Program, and the options of its own that all its commands get.
PROGRAMS = {
    "lenet_digits": ["-b", "24"],
    "volume_regressor": ["-bs", "3"],
    "lstm_prices": ["--yaml-config", HERE / "lstm_prices.yaml"],
    "gpt_pretrain": ["-b", "4"],
    "gru_sensor": ["--h", "10"],
    "vit_pets": ["-b=8"],
    "rbf_physics": [],
    "unet_cells": ["-mbsize", "3", "-lr", "0.02"],
    "generate_text": ["--prompt", "5", "9"],
    "zoo_masked_lm": [],
    "lazy_denoiser": [],
    "early_regressor": ["-b", "12", "--h", "6", "--settings", HERE / "early_regressor.yaml"],
    "two_rates": [],
}
SELF_CHECKED = {"outputs_first": ["-b", "24"], "host_backward": [], "odd_inputs": ["--h", "9", "-bs", "100"]}
NUMBER = re.compile(r"[-+]?\d+\.\d+(?:e[-+]?\d+)?")


def start(name, command, *options, cwd, eager=False):
    done = launch(HERE / f"{name}.py", command, *options, *{**PROGRAMS, **SELF_CHECKED}[name], cwd=cwd, eager=eager)
    assert done.returncode == 0, done.output + done.errors
    return done


@pytest.fixture(scope="module")
def pef_of(tmp_path_factory):
    """The PEF of a program, compiled when first asked for; a PEF name that ends in .pef loses that ending."""
    made = {}

    def compiled(name):
        if name not in made:
            folder = tmp_path_factory.mktemp(name)
            (folder / "results").mkdir()
            start(name, "compile", "--output-folder", "results", "--pef-name", f"{name}.pef", cwd=folder)
            made[name] = folder / "results" / name / f"{name}.pef"
        assert made[name].is_file()
        return made[name]

    return compiled


@pytest.mark.parametrize("name", list(PROGRAMS))
def test_command_test(name, pef_of, tmp_path):
    start(name, "test", "--pef", pef_of(name), cwd=tmp_path)


@pytest.mark.parametrize("name", list(PROGRAMS))
def test_command_measure_performance(name, pef_of, tmp_path):
    options = [] if "-n" in PROGRAMS[name] else ["--num-iterations", "5"]
    done = start(name, "measure-performance", "--pef", pef_of(name), *options, cwd=tmp_path)
    assert re.search(r"throughput:? +[\d.]+", done.output), done.output


@pytest.mark.parametrize("name", list(PROGRAMS))
def test_run_against_plain_pytorch(name, pef_of, tmp_path):
    folders = [tmp_path / "pef", tmp_path / "eager"]
    for folder in folders:
        folder.mkdir()
    found, expected = (
        start(name, "run", "--pef", pef_of(name), cwd=folder, eager=folder.name == "eager") for folder in folders
    )
    rtol = BFLOAT16.get(name, RTOL)
    compare_text(expected.output, found.output, rtol)
    written = [sorted(path.relative_to(folder) for path in folder.glob("**/*.pt")) for folder in folders]
    assert written[0] == written[1]
    for path in written[0]:
        values = [torch.load(folder / path, weights_only=False) for folder in reversed(folders)]
        compare_values(str(path), *values, rtol)
    assert written[0] or NUMBER.search(found.output), "the program shows nothing that could be compared"


def compare_text(expected, found, rtol):
    """The same lines, with numbers that are equal within `rtol`; the SDK's own messages are left out."""
    lines = [[line for line in text.splitlines() if not line.startswith("[")] for text in (expected, found)]
    for want, have in zip(*lines, strict=True):
        assert NUMBER.sub("#", want) == NUMBER.sub("#", have)
        for a, b in zip(NUMBER.findall(want), NUMBER.findall(have), strict=True):
            assert abs(float(a) - float(b)) <= 2e-5 + rtol * abs(float(a)), f"plain PyTorch: {want}\nPEF: {have}"


def compare_values(path, expected, found, rtol):
    """Nested state dicts, or models."""
    if isinstance(expected, torch.nn.Module):
        expected, found = expected.state_dict(), found.state_dict()
    if isinstance(expected, dict):
        assert list(expected) == list(found), path
        for key, value in expected.items():
            compare_values(f"{path} {key}", value, found[key], rtol)
    elif isinstance(expected, (list, tuple)):
        for index, (a, b) in enumerate(zip(expected, found, strict=True)):
            compare_values(f"{path} {index}", a, b, rtol)
    elif not isinstance(expected, torch.Tensor):
        assert expected == found, path
    else:
        error = float((expected.double() - found.double()).abs().max() / expected.double().abs().max().clamp(min=1e-12))
        assert error <= rtol, f"{path}: {error:.2e} of the largest element"


@pytest.mark.parametrize("name", list(SELF_CHECKED))
def test_program_that_checks_itself(name, pef_of, tmp_path):
    done = start(name, "run", "--pef", pef_of(name), cwd=tmp_path)
    assert done.output.rstrip().endswith("passed")
