# SPDX-License-Identifier: Apache-2.0
"""Whether the rows of bench-models give the numbers that they should.

    python bench/agreement.py [--rows NAME ...] [--steps 100]

`bits`: outputs, gradients and weights after two runs of one PEF are the same for 1, 2 and 3 threads and at every level
of the machine. `losses`, of training rows: those of so many steps (`--steps`; 0: none) beside eager PyTorch's, without
dropout, whose random numbers are others; the largest difference of a step, relative. Training may be chaotic: rounding
then tells apart any two that compute it. So where losses differ, eager runs in f64, too, and with pictures in its other
memory format; where it differs from its own f64 by more than 0.1 %, a tenth of the learning rate is tried, down to a
thousandth. The exit status is 1 where bits differ, or losses by more than 0.5 %.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import levels
import model_peers
import model_rows

THREADS = (1, 2, 3)
LOSSES_WITHIN = 0.005
EAGER_WITHIN = 0.001  # of its own f64: else the learning rate makes rounding matter
RATES = (1.0, 0.1, 0.01, 0.001)  # of the row's learning rate


def without_dropout(model):
    """Every probability of dropout becomes 0, those that a configuration passes on to functions included."""
    import torch

    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        for name, value in vars(module).items():
            if "dropout" in name and isinstance(value, float):
                setattr(module, name, 0.0)
    return model


def seeded(row):
    """The model and the inputs that every process makes."""
    import torch

    torch.manual_seed(0)
    model, inputs = row.make()
    return without_dropout(model), inputs


def traced(row, folder, compiled):
    """(model, run): the program in `folder`, compiled first unless it is there."""
    from functools import partial

    from sambaflow import samba
    from sambaflow.samba import utils

    model, inputs = seeded(row)
    samba.from_torch_model_(model)
    named = [samba.from_torch_tensor(value, name=f"input_{i}") for i, value in enumerate(inputs)]
    optimizer = row.optimizer(model.parameters(), samba.optim) if row.kind == "training" else None
    settings = {"output_folder": folder, "pef_name": row.name, "log_level": "error"}
    make = partial(samba.session.compile, model, named, optimizer, name=row.name, config_dict=settings)
    pef = model_peers.pef_in(folder) if compiled else make(inference=optimizer is None)
    utils.trace_graph(model, named, optimizer, pef=pef)
    options = {} if optimizer else {"section_types": ["fwd"]}
    run = partial(samba.session.run, input_tensors=named, output_tensors=model.output_tensors, **options)
    return model, run


def bits_of(row, folder):
    """A digest of what two runs give: outputs, gradients, weights."""
    from sambaflow import samba

    model, run = traced(row, folder, compiled=True)
    digest = hashlib.sha256()
    for _ in range(2):
        for output in run():
            digest.update(samba.to_torch(output).numpy().tobytes())
    if row.kind == "training":
        gradients = [samba.to_torch(p.sn_grad) for p in model.parameters() if p.requires_grad]
        samba.session.to_cpu(model)
        for tensor in [*gradients, *(samba.to_torch(t.data) for t in model.state_dict().values())]:
            digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()


def losses_of(row, folder, rate, steps):
    """Losses of `steps` steps on one batch."""
    from sambaflow import samba

    _, run = traced(row, folder, compiled=True)
    settings = {"hyperparam_dict": {"lr": row.learning_rate * rate}}
    return [float(samba.to_torch(run(**settings)[0])) for _ in range(steps)]


def eager_steps(row, rate, dtype, memory):
    """A function that makes a step of eager PyTorch and gives its loss."""
    import torch

    model, inputs = seeded(row)
    model = model.train().to(dtype, memory_format=memory)
    inputs = [x.to(dtype) if x.is_floating_point() else x for x in inputs]
    inputs = [x.to(memory_format=memory) if x.dim() == 4 else x for x in inputs]
    optimizer = row.optimizer(model.parameters(), torch.optim)
    for group in optimizer.param_groups:
        group["lr"] *= rate

    def step():
        optimizer.zero_grad()
        result = model(*inputs)
        loss = result[0] if isinstance(result, (tuple, list)) else result
        loss.backward()
        optimizer.step()
        return float(loss)

    return step


WAYS = {"f32": ("float32", "preserve_format"), "f64": ("float64", "preserve_format")}
CHANNELS_LAST = {"channels-last": ("float32", "channels_last")}


def eager_losses(row, rate, steps, every):
    """Losses of eager PyTorch by the way it computes: f32, or `every` way step by step, no more where f64 is too far
    from f32 already."""
    import torch

    ways = WAYS if every else {"f32": WAYS["f32"]}
    if every and model_peers.model_is_of_pictures(seeded(row)[0]):
        ways = {**ways, **CHANNELS_LAST}
    makers = {way: eager_steps(row, rate, *(getattr(torch, word) for word in how)) for way, how in ways.items()}
    found = {way: [] for way in ways}
    for _ in range(steps):
        for way, step in makers.items():
            found[way].append(step())
        if every and furthest(found["f32"], found["f64"]) > EAGER_WITHIN:
            break
    return found


def furthest(found, expected):
    """The largest difference of a step, relative."""
    return max(abs(a - b) / max(abs(b), 1e-12) for a, b in zip(found, expected, strict=True))


def ask(row, folder, threads=2, level=None, **question):
    """What a process of its own answers."""
    variables = {**os.environ, "LEAT_NUM_THREADS": str(threads), "OMP_NUM_THREADS": str(threads)}
    variables |= levels.variables(level) if level else {}
    command = [sys.executable, __file__, "--answer", json.dumps({"row": row.name, "folder": folder, **question})]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{row.name}: {done.stderr.strip().splitlines()[-1]}")
    return json.loads(done.stdout.splitlines()[-1])


def answer(text):
    question = json.loads(text)
    row, folder = model_rows.ROWS[question["row"]], question["folder"]
    if question["what"] == "compile":
        traced(row, folder, compiled=False)
        result = True
    elif question["what"] == "bits":
        result = bits_of(row, folder)
    elif question["what"] == "losses":
        result = losses_of(row, folder, question["rate"], question["steps"])
    else:
        result = eager_losses(row, question["rate"], question["steps"], question["every"])
    print(json.dumps(result))


def levels_here():
    import machine

    return levels.LEVELS[levels.LEVELS.index(machine.best()) : -1]


def compare_bits(row, folder):
    found = {}
    for level in levels_here():
        for threads in THREADS:
            digest = ask(row, folder, threads, level, what="bits")
            found.setdefault(digest, []).append(f"{level} {threads}")
    groups = " | ".join(", ".join(group) for group in found.values())
    print(f"{row.name:24} bits    {'equal' if len(found) == 1 else 'UNEQUAL'}: {groups}", flush=True)
    return len(found) == 1


def compare_losses(row, folder, steps):
    head = f"{row.name:24} losses "
    for rate in RATES:
        ours = ask(row, folder, what="losses", rate=rate, steps=steps)
        theirs = ask(row, folder, what="eager", rate=rate, steps=steps, every=False)["f32"]
        worst = furthest(ours, theirs)
        print(
            f"{head} {steps} steps at {rate:g} of the learning rate from {theirs[0]:.4f} to {theirs[-1]:.4f}, ours "
            f"{ours[-1]:.4f}: {100 * worst:.4f} % apart at most",
            flush=True,
        )
        if worst <= LOSSES_WITHIN:
            return True
        own = ask(row, folder, what="eager", rate=rate, steps=steps, every=True)
        apart = {way: furthest(losses, own["f32"]) for way, losses in own.items() if way != "f32"}
        is_chaotic = furthest(own["f32"], own["f64"]) > EAGER_WITHIN
        print(
            f"{head} after {len(own['f32'])} steps eager's f32 is apart from its "
            + ", ".join(f"{way} by {100 * each:.4f} %" for way, each in apart.items())
            + (": chaotic" if is_chaotic else ""),
            flush=True,
        )
        if not is_chaotic:
            return False
    return False


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", nargs="+", metavar="NAME", help="rows called so, or whose names contain one of these")
    parser.add_argument("--steps", type=int, default=100, help="of training, for the losses (100)")
    parser.add_argument("--answer", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.answer:
        answer(args.answer)
        return 0
    good = True
    for row in model_rows.chosen(args.rows):
        with tempfile.TemporaryDirectory() as folder:
            ask(row, folder, what="compile")
            good &= compare_bits(row, folder)
            if row.kind == "training" and args.steps:
                good &= compare_losses(row, folder, args.steps)
    return 0 if good else 1


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    sys.exit(main())
