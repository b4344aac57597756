# SPDX-License-Identifier: Apache-2.0
"""Training steps of o0, o1 and o3: medians of interleaved runs, and the time from trace to loaded program of one op.

PYTHONPATH=python:tests/python:examples python bench/modes.py
"""

import pathlib
import statistics
import sys
import tempfile
import time

import torch

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests" / "python"), str(ROOT / "examples")]

from language_models import Gpt2, Llama  # noqa: E402
from models import MODELS, named_inputs  # noqa: E402
from sambaflow import samba  # noqa: E402
from sambaflow._runtime.device import Device  # noqa: E402

BATCH, LENGTH, RUNS = 32, 32, 5


def language_inputs():
    return [samba.randint(64, (BATCH, LENGTH), name=name, batch_dim=0) for name in ("tokens", "targets")]


PROGRAMS = {
    **{n: (MODELS[n][0], lambda n=n: named_inputs(torch.randn(BATCH, *MODELS[n][1]), torch.randint(10, (BATCH,))))
       for n in MODELS},
    "gpt2": (lambda: Gpt2(width=128, length=LENGTH), language_inputs),
    "llama": (lambda: Llama(width=128), language_inputs),
}  # fmt: skip


def step_seconds(device: Device) -> float:
    """One step, the mean of as many as fill a tenth of a second."""
    types, count, start = device.section_types, 0, time.perf_counter()
    while time.perf_counter() - start < 0.1:
        device._lib.leat_program_run(device.handle, types)
        count += 1
    return (time.perf_counter() - start) / count


def compare(name: str, folder: str) -> None:
    make, make_inputs = PROGRAMS[name]
    devices = {}
    for level in ("o0", "o1", "o3"):
        model = make()
        samba.from_torch_model_(model)
        optimizer = samba.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
        config = {"output_folder": folder, "pef_name": f"{name}_{level}", "optim_level": level}
        if level == "o1":
            config["o1_rule_list"] = "nlp"
        devices[level] = Device(samba.session.compile(model, tuple(make_inputs()), optimizer, config_dict=config))
    times = {level: [] for level in devices}
    for _ in range(RUNS):
        for level, device in devices.items():
            times[level].append(step_seconds(device))
    sections = {level: len(device.report()["sections"]) for level, device in devices.items()}
    shown = ", ".join(f"{level} {1e6 * statistics.median(t):.0f} us in {sections[level]}" for level, t in times.items())
    print(f"{name}: {shown} sections")


def one_op(folder: str) -> None:
    """Trace, compile and load of one matrix product in o0."""
    model = torch.nn.Linear(64, 64)
    samba.from_torch_model_(model)
    inputs, times = (samba.randn(8, 64, name="x", batch_dim=0),), []
    for _ in range(11):
        start = time.perf_counter()
        config = {"output_folder": folder, "pef_name": "one", "optim_level": "o0"}
        Device(samba.session.compile(model, inputs, inference=True, config_dict=config))
        times.append(time.perf_counter() - start)
    print(f"one op: {1e3 * statistics.median(times):.1f} ms from trace to loaded program")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        one_op(scratch)
        for program in PROGRAMS:
            compare(program, scratch)
