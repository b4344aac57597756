# SPDX-License-Identifier: Apache-2.0
"""Memory and start of known architectures: Leat beside eager PyTorch.

Each peer runs a row in a process of its own. Memory is VmRSS in MiB above that of the process with its imports done,
before the model is made: `weights` once it is made, `traced` after trace_graph, `steady` after five pieces of work,
`peak` the most since the model was made (VmHWM). Leat compiles in one process, whose peak is `compile peak`, and runs
in another, as programs do. Of the device's own memory, `symbols` are weights, buffers, gradients, the optimizer's
state, inputs and outputs, and `arena` is what passes between sections. Seconds are CPU time of the process, one
thread: `import` (of the SDK, torch being there), `compile` and `trace` (trace_graph, its load included), both with
tracing, `load` (of the PEF alone) and `first` (the first piece of work).

usage: memory.py [--rows NAME...] [--drop-grads] [--against DIR]
"""

import argparse
import gc
import json
import os
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

from model_peers import eager_work
from model_rows import ROWS

ROOT = Path(__file__).resolve().parent.parent
NAMES = (
    "gpt2-training",
    "gpt2-training-4x1024",
    "gpt2-inference",
    "bert-training",
    "bert-inference",
    "resnet50-training",
    "resnet50-inference",
)
RUNS = 5
MIB = 1 << 20


def resident(field="VmRSS"):
    """MiB of this process: now, or at most (VmHWM)."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(f"{field}:")) / 1024


def forget_peak():
    with open("/proc/self/clear_refs", "w") as control:
        control.write("5")


class Watch:
    """What a process uses above what it had when this was made."""

    def __init__(self):
        gc.collect()
        forget_peak()
        self.base = resident()
        self.found = {}

    def note(self, name, field="VmRSS"):
        gc.collect()
        self.found[name] = resident(field) - self.base

    def timed(self, name, work):
        start = time.process_time()
        result = work()
        self.found[name] = time.process_time() - start
        return result


def model_of(row, watch):
    import torch

    torch.manual_seed(0)
    made = row.make()
    watch.note("weights")
    return made


def work_of(watch, work):
    watch.timed("first", work)
    for _ in range(RUNS - 1):
        work()
    watch.note("steady")
    watch.note("peak", "VmHWM")


def eager(row, watch, _folder, _settings):
    model, inputs = model_of(row, watch)
    work_of(watch, eager_work(row, model, inputs))


def named_of(row, watch):
    from sambaflow import samba

    model, inputs = model_of(row, watch)
    samba.from_torch_model_(model)
    named = [samba.from_torch_tensor(value, name=f"input_{i}") for i, value in enumerate(inputs)]
    optimizer = row.optimizer(model.parameters(), samba.optim) if row.kind == "training" else None
    return model, named, optimizer


def compile(row, watch, folder, settings):
    from sambaflow import samba

    model, named, optimizer = named_of(row, watch)
    config = {"output_folder": folder, "pef_name": row.name, "log_level": "error", **settings}
    make = partial(samba.session.compile, model, named, optimizer, name=row.name, config_dict=config)
    watch.timed("compile", partial(make, inference=row.kind == "inference"))
    watch.note("compile peak", "VmHWM")


def leat(row, watch, folder, _settings):
    from sambaflow import samba
    from sambaflow._runtime.device import Device
    from sambaflow.samba import utils

    pef = str(next(Path(folder).rglob("*.pef")))
    watch.found["import"] = IMPORT_SECONDS
    watch.timed("load", partial(Device, pef))  # and lets it go
    model, named, optimizer = named_of(row, watch)
    watch.timed("trace", partial(utils.trace_graph, model, named, optimizer, pef=pef))
    watch.note("traced")
    options = {} if row.kind == "training" else {"section_types": ["fwd"]}
    work_of(watch, partial(samba.session.run, named, model.output_tensors, **options))
    memory = samba.session._device.report()["memory"]
    watch.found["arena"] = memory["arena_bytes"] / MIB
    watch.found["symbols"] = (memory["block_bytes"] - memory["arena_bytes"]) / MIB


PEERS = {"eager": eager, "compile": compile, "leat": leat}
IMPORT_SECONDS = 0.0


def worker(name, peer, folder, settings):
    global IMPORT_SECONDS
    import torch
    import transformers

    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    torch.set_num_threads(1)
    _ = transformers.GPT2LMHeadModel, transformers.BertForMaskedLM  # imported when they are asked for
    if peer != "eager":
        start = time.process_time()
        from sambaflow import samba
        from sambaflow.samba import utils  # noqa: F401

        _ = samba.session
        IMPORT_SECONDS = time.process_time() - start
    watch = Watch()
    PEERS[peer](ROWS[name], watch, folder, json.loads(settings))
    print(json.dumps(watch.found), file=answers, flush=True)


def ask(row, peer, folder, settings, root=ROOT):
    paths = [str(root / "python"), os.environ.get("PYTHONPATH")]
    variables = {"LEAT_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    command = [sys.executable, __file__, "--worker", row.name, peer, folder, json.dumps(settings)]
    done = subprocess.run(command, env={**os.environ, **variables}, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def measure(row, settings, root=ROOT):
    with tempfile.TemporaryDirectory() as folder:
        compiled = ask(row, "compile", folder, settings, root)
        return {**compiled, **ask(row, "leat", folder, settings, root)}


COLUMNS = (
    ("weights", "8.0f"), ("symbols", "8.0f"), ("arena", "8.0f"), ("traced", "8.0f"), ("steady", "8.0f"),
    ("peak", "8.0f"), ("compile peak", "13.0f"), ("import", "8.2f"), ("compile", "8.2f"), ("load", "8.2f"),
    ("trace", "8.2f"), ("first", "8.2f"),
)  # fmt: skip


def show(row, peer, found, eager_found=None):
    cells = [f"{row.name:20} {peer:6}"]
    for name, form in COLUMNS:
        width = form.split(".")[0]
        cells.append(format(found[name], form) if name in found else f"{'-':>{width}}")
    if eager_found is not None:
        cells.append(f"{found['steady'] / eager_found['steady']:8.2f} {found['peak'] / eager_found['peak']:8.2f}")
    print(" ".join(cells), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", nargs="+", metavar="NAME", help="rows whose names contain one of these")
    parser.add_argument("--drop-grads", action="store_true", help="compile trainings with --drop-grads")
    parser.add_argument("--against", type=Path, metavar="DIR", help="another checkout, built, as the peer `base`")
    parser.add_argument("--worker", nargs=4, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        worker(*args.worker)
        return
    heads = [f"{name:>{form.split('.')[0]}}" for name, form in COLUMNS]
    print(f"{'MiB and seconds':27}", *heads, " of eager: steady, peak", flush=True)
    for name in [n for n in NAMES if not args.rows or any(part in n for part in args.rows)]:
        row = ROWS[name]
        beside = ask(row, "eager", "", {})
        show(row, "eager", beside)
        if args.against:
            show(row, "base", measure(row, {}, args.against), beside)
        settings = {"drop_grads": True} if args.drop_grads and row.kind == "training" else {}
        show(row, "leat", measure(row, settings), beside)


if __name__ == "__main__":
    main()
