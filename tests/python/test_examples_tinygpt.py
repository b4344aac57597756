# SPDX-License-Identifier: Apache-2.0
"""The language model: losses against eager PyTorch, resuming, sampling, the commands."""

import copy
import os
import re

import pytest
import torch
from common.language import as_inputs
from common.options import default_text
from common.text import load_text, window_batch
from sambaflow import samba
from sambaflow.samba import utils
from support import EXAMPLES, run_example, same_bits
from tinygpt import BETAS, VOCABULARY, TinyGpt

TEXT = default_text(EXAMPLES / "tinygpt.py")
REAL = TEXT is not None and "shakespeare" in TEXT
SMALL = ["--length", 16, "--width", 32, "--num-heads", 2, "--num-layers", 2, "-b", 4]


def test_first_losses_are_those_of_eager(tmp_path):
    """The real model on real text: every one of 100 losses within 2e-5 (20 where only a short text is there)."""
    batch_size, length, steps = 8, 128, 100 if REAL else 20
    data = load_text(TEXT, length).train
    utils.set_seed(5)
    model = TinyGpt()
    reference = copy.deepcopy(model)
    samba.from_torch_model_(model)
    inputs = as_inputs(*window_batch(data, batch_size, length, seed=1, step=0))
    optimizer = samba.optim.AdamW(model.parameters(), lr=1e-3, betas=BETAS, weight_decay=0.01, max_grad_norm=1.0)
    config = {"output_folder": str(tmp_path), "pef_name": "tinygpt"}
    pef = samba.session.compile(model, inputs, optimizer, name="tinygpt", config_dict=config)
    traced = utils.trace_graph(model, inputs, optimizer, pef=pef)
    eager = torch.optim.AdamW(reference.parameters(), lr=1e-3, betas=BETAS, weight_decay=0.01)
    worst = 0.0
    for step in range(steps):
        batch = window_batch(data, batch_size, length, seed=1, step=step)
        loss = samba.to_torch(samba.session.run(input_tensors=as_inputs(*batch), output_tensors=traced)[0])
        eager.zero_grad()
        expected, _ = reference(*batch)
        expected.backward()
        torch.nn.utils.clip_grad_norm_(reference.parameters(), 1.0)
        eager.step()
        worst = max(worst, abs(float(loss) / float(expected.detach()) - 1))
    print(f"tinygpt: worst relative error of {steps} losses {worst:.2e}; the last loss {float(loss):.3f}")
    assert worst <= 2e-5
    assert float(loss) < 0.8 * torch.log(torch.tensor(float(VOCABULARY)))  # it learns


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A small model, compiled for training and for inference."""
    at = tmp_path_factory.mktemp("tinygpt")
    (at / "out").mkdir()
    run_example("tinygpt", "compile", "--pef-name", "t", *SMALL, cwd=at)
    run_example("tinygpt", "compile", "--pef-name", "i", "--inference", *SMALL, cwd=at)
    return at


def run(folder, *options, pef="t"):
    return run_example(
        "tinygpt", "run", "--pef", f"out/{pef}/{pef}.pef", "--data-file", TEXT, *SMALL, *options, cwd=folder
    )


def equal(one, other):
    if isinstance(one, torch.Tensor):
        return same_bits(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(equal, one, other))
    return one == other


def test_resumed_training_is_the_same_training(folder):
    """Six steps, and three twice with a checkpoint between: equal bits of weights and optimizer state."""
    run(folder, "-n", 6, "--ckpt-dir", "whole")
    run(folder, "-n", 3, "--ckpt-dir", "parts")
    run(folder, "-n", 6, "--ckpt-dir", "parts", "--init-ckpt-path", "parts/tinygpt-step-000003.pt")
    whole, parts = (
        torch.load(folder / name / "tinygpt-step-000006.pt", weights_only=True) for name in ("whole", "parts")
    )
    assert whole["optimizer"]["state"]
    assert equal(whole, parts)


def test_sampling_and_held_out_loss(folder):
    """Both PEFs give the same sample; it goes on from the prompt; the held-out loss is that of the training run."""
    done = run(folder, "-n", 20, "--ckpt-dir", "trained")
    start = ["--init-ckpt-path", "trained/tinygpt-step-000020.pt"]
    tested = run(folder, "--test", *start)
    loss = r"held-out loss ([\d.]+)"
    assert re.search(loss, tested.stdout).group(1) == re.search(loss, done.stdout).group(1)
    words = ["--inference", "--prompt", "Once", "--num-tokens", 30, "--temperature", 0, *start]
    samples = [run(folder, *words, pef=pef).stdout for pef in ("i", "t")]
    assert samples[0] == samples[1] and samples[0].startswith("Once") and len(samples[0].encode()) >= 30


def test_commands_test_and_measure_performance(folder):
    done = run_example("tinygpt", "test", "--pef", "out/t/t.pef", *SMALL, cwd=folder)
    assert "test passed" in done.stdout and "FAIL" not in done.stdout
    measured = run_example("tinygpt", "measure-performance", "--pef", "out/t/t.pef", *SMALL, cwd=folder)
    assert "tokens/s" in measured.stdout


@pytest.mark.parametrize("content", [b"", b"short"])
def test_text_that_is_too_short(folder, content):
    (folder / "short.txt").write_bytes(content)
    done = run_example(
        "tinygpt", "run", "--pef", "out/t/t.pef", *SMALL, "--data-file", "short.txt", cwd=folder, expect_error=True
    )
    assert done.returncode == 1 and "too few" in done.stderr and os.linesep not in done.stderr.strip()
