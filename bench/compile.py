# SPDX-License-Identifier: Apache-2.0
"""How long known architectures take to compile: the rows of models.py, and GPT-2 of 1.5B parameters for training.

Each row is compiled once in a process of its own, with its imports done and the model made. Seconds are CPU time of the
process, all threads: tracing, the C compiler, reports. `peak` is the most memory meanwhile above what the process had
before (MiB), `file` the size of the PEF (KiB), `sections` its calls. The last line says which rows took longer than
they should: 3 seconds, 20 for the largest.

usage: compile.py [--rows NAME...]
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from memory import ROOT, Watch, resident
from model_rows import ROWS, Row

LARGEST = Row("gpt2-xl-training", "gpt2_xl_loss", 1, "training")
BOUNDS = {LARGEST.name: 20.0}
BOUND = 3.0
KIB = 1 << 10
COLUMNS = (("seconds", "8.2f"), ("peak", "8.0f"), ("file", "8.0f"), ("sections", "8"))


def worker(row):
    import torch

    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    torch.set_num_threads(1)
    from sambaflow import samba
    from sambaflow._runtime.device import Device

    torch.manual_seed(0)
    model, inputs = row.make()
    samba.from_torch_model_(model)
    named = [samba.from_torch_tensor(value, name=f"input_{i}") for i, value in enumerate(inputs)]
    optimizer = row.optimizer(model.parameters(), samba.optim) if row.kind == "training" else None
    with tempfile.TemporaryDirectory() as folder:
        config = {"output_folder": folder, "pef_name": row.name, "log_level": "error"}
        watch, start = Watch(), time.process_time()
        pef = samba.session.compile(
            model, named, optimizer, inference=row.kind == "inference", name=row.name, config_dict=config
        )
        end = time.process_time()
        peak, size = resident("VmHWM") - watch.base, Path(pef).stat().st_size
        sections = Device(str(pef)).section_count if row is not LARGEST else None  # its memory is not there
    found = {"seconds": end - start, "peak": peak, "file": size / KIB, "sections": sections}
    print(json.dumps(found), file=answers, flush=True)


def ask(row):
    paths = [str(ROOT / "python"), os.environ.get("PYTHONPATH")]
    variables = {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    command = [sys.executable, __file__, "--worker", row.name]
    done = subprocess.run(command, env={**os.environ, **variables}, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", nargs="+", metavar="NAME", help="rows whose names contain one of these")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    args = parser.parse_args()
    rows = {**ROWS, LARGEST.name: LARGEST}
    if args.worker:
        worker(rows[args.worker])
        return
    print(f"{'CPU seconds, MiB, KiB':24}", *(f"{name:>8}" for name, _ in COLUMNS), flush=True)
    slow = []
    for row in rows.values():
        if args.rows and not any(part in row.name for part in args.rows):
            continue
        found = ask(row)
        if found["seconds"] > BOUNDS.get(row.name, BOUND):
            slow.append(row.name)
        cells = [format(found[name], form) for name, form in COLUMNS if found[name] is not None]
        print(f"{row.name:24}", *cells, flush=True)
    print(f"longer than {BOUND:g} s, or {BOUNDS[LARGEST.name]:g} for {LARGEST.name}:", ", ".join(slow) or "none")


if __name__ == "__main__":
    main()
