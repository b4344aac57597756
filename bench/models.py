# SPDX-License-Identifier: Apache-2.0
"""Known architectures with random weights: Leat against eager PyTorch, torch.compile and ONNX Runtime.

Every peer runs in a process of its own; the peers take turns, one piece of work at a time, and medians count. Time is
the CPU time of the process, so that others on the machine disturb little; with several threads it is wall time.
`ratio` is the best peer's time over Leat's. ONNX Runtime takes part in inference where onnx, onnxscript and
onnxruntime can be imported.

With --against DIR the Leat of another checkout, built by its `make build`, takes part as the peer `base`; the last
columns are its time and its time to compile over ours.

Below a row stand the sections of Leat's PEF that lose most: what they take beyond the larger of their operations at the
peak and their bytes at the bandwidth of this machine, as `leat machine` measures it.

usage: models.py [--rows NAME...] [--peers NAME...] [--threads N...] [--rounds N] [--isa avx2] [--lost N]
                 [--against DIR] [--list]
"""

import argparse
import gc
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import architectures

ROOT = Path(__file__).resolve().parent.parent
PEERS = ("leat", "eager", "compile", "onnx")
PROFILED_RUNS = 5
TURN_SECONDS = 0.1  # of a peer, at least: what the others left in the caches does not count


@dataclass(frozen=True)
class Row:
    """What is measured: `build` of architectures.py, of so many samples, and of windows as long as `window` says where
    it is not None; how training updates is said by _optimizer."""

    name: str
    build: str
    batch: int
    kind: str  # training | inference
    expected: float = 1.0
    window: int | None = None

    def make(self):
        """The model and its inputs."""
        sizes = (self.batch,) if self.window is None else (self.batch, self.window)
        return getattr(architectures, self.build)(*sizes)


ROWS = {
    row.name: row
    for row in (
        Row("gpt2-training", "gpt2_loss", 4, "training"),
        Row("gpt2-training-4x256", "gpt2_loss", 4, "training", window=256),
        Row("gpt2-training-1x1024", "gpt2_loss", 1, "training", window=1024),
        Row("gpt2-inference", "gpt2_logits", 1, "inference"),
        Row("gpt2-next-token", "gpt2_next", 1, "inference", 1.3),
        Row("bert-training", "bert_loss", 4, "training"),
        Row("bert-training-1", "bert_loss", 1, "training"),
        Row("bert-training-8", "bert_loss", 8, "training"),
        Row("bert-inference", "bert_states", 1, "inference"),
        Row("bert-inference-8", "bert_states", 8, "inference"),
        Row("llama-training", "llama_loss", 2, "training"),
        Row("vit-training", "vit_loss", 8, "training"),
        Row("vit-inference", "vit", 1, "inference"),
        Row("resnet50-training", "resnet50_loss", 4, "training"),
        Row("resnet50-inference", "resnet50", 1, "inference"),
        Row("resnet50-inference-4", "resnet50", 4, "inference"),
        Row("resnet50-inference-8", "resnet50", 8, "inference"),
        Row("mobilenet-training", "mobilenet_loss", 8, "training"),
        Row("mobilenet-inference", "mobilenet", 1, "inference"),
        Row("unet-training", "unet_loss", 1, "training"),
        Row("unet-inference", "unet", 1, "inference"),
        Row("volumes-training", "volumes_loss", 1, "training"),
        Row("volumes-inference", "volumes", 1, "inference"),
        Row("denoiser-training", "denoiser_loss", 8, "training"),
        Row("waves-training", "waves_loss", 32, "training"),
        Row("waves-inference", "waves", 1, "inference"),
        Row("lstm-training", "lstm_loss", 16, "training"),
        Row("lstm-inference", "lstm", 16, "inference"),
        Row("gru-training", "gru_loss", 16, "training"),
        Row("braggnn-training", "braggnn_loss", 256, "training"),
        Row("braggnn-inference", "braggnn", 256, "inference"),
        Row("lenet-training", "lenet_loss", 32, "training", 1.2),
    )
}


# --- peers: name to a callable that does one piece of work ---------------------------------------------------------


def _optimizer(row, parameters, kind):
    """AdamW where there are words, SGD with momentum elsewhere; `kind` is torch.optim or samba.optim."""
    settings = {"fused": True} if kind.__name__.startswith("torch") else {}
    if not row.name.startswith(("gpt2", "bert", "llama", "vit")):
        return kind.SGD(parameters, lr=0.01, momentum=0.9, **settings)
    return kind.AdamW(parameters, lr=1e-4, **settings)


def _step(model, inputs, optimizer):
    optimizer.zero_grad(set_to_none=True)
    model(*inputs).backward()
    optimizer.step()


def _eager_work(row, model, inputs):
    import torch

    if row.kind == "training":
        return partial(_step, model, inputs, _optimizer(row, model.parameters(), torch.optim))

    def infer():
        with torch.inference_mode():
            model(*inputs)

    return infer


def eager(row, model, inputs):
    work = {"eager": _eager_work(row, model, inputs)}
    if any(value.dim() == 4 and value.is_floating_point() for value in inputs):
        import copy

        import torch

        last = copy.deepcopy(model).to(memory_format=torch.channels_last)
        data = [v.contiguous(memory_format=torch.channels_last) if v.dim() == 4 else v for v in inputs]
        work["channels-last"] = _eager_work(row, last, data)
    return work


def compile(row, model, inputs):
    import torch
    import torch._inductor.config as inductor

    inductor.cpp.threads = torch.get_num_threads()
    inductor.freezing = row.kind == "inference"
    return {"torch.compile": _eager_work(row, torch.compile(model), inputs)}


def onnx(row, model, inputs):
    import onnxruntime
    import torch

    if row.kind == "training":
        raise RuntimeError("no training")
    path = os.path.join(tempfile.mkdtemp(), "model.onnx")
    torch.onnx.export(model, inputs, path, dynamo=True, verbose=False)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    feed = {given.name: value.numpy() for given, value in zip(session.get_inputs(), inputs, strict=True)}
    return {"onnxruntime": partial(session.run, None, feed)}


def leat(row, model, inputs):
    from sambaflow import samba
    from sambaflow.samba import utils

    folder = tempfile.mkdtemp()
    samba.from_torch_model_(model)
    named = [samba.from_torch_tensor(value, name=f"input_{i}") for i, value in enumerate(inputs)]
    training = row.kind == "training"
    optimizer = _optimizer(row, model.parameters(), samba.optim) if training else None
    settings = {"output_folder": folder, "pef_name": row.name, "log_level": "error"}
    gc.collect()  # else one may fall into the compile, and not into that of the other checkout
    start = time.process_time()
    pef = samba.session.compile(model, named, optimizer, name=row.name, config_dict=settings, inference=not training)
    compiled = time.process_time() - start
    utils.trace_graph(model, named, optimizer, pef=pef)
    options = {} if training else {"section_types": ["fwd"]}
    run = partial(samba.session.run, input_tensors=named, output_tensors=model.output_tensors, **options)
    run.compile_seconds = compiled
    run.profile = partial(_profile, run)
    return {"session.run": run}


def _profile(run):
    """The sections of a run, timed one by one: records of sambaflow.samba.profiles."""
    from sambaflow import samba

    samba.session.start_runtime_profile()
    for _ in range(PROFILED_RUNS):
        run()
    return samba.session.end_runtime_profile(os.path.join(tempfile.mkdtemp(), "profile.json"))


base = leat  # of another checkout: PYTHONPATH of its process says which


# --- measuring -----------------------------------------------------------------------------------------------------


def _clock():
    return time.perf_counter if int(os.environ["MODELS_THREADS"]) > 1 else time.process_time


def worker(name, peer):
    """Answers each line on stdin with the seconds of one piece of work; first with the variant that it chose."""
    import torch

    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    torch.set_num_threads(1 if peer in ("leat", "base") else int(os.environ["MODELS_THREADS"]))
    torch.manual_seed(0)
    row, clock = ROWS[name], _clock()
    model, inputs = row.make()

    def seconds(work):
        start = clock()
        work()
        return clock() - start

    try:
        works = globals()[peer](row, model, inputs)
        times = {variant: min(seconds(work) for _ in range(3)) for variant, work in works.items()}
    except Exception as error:
        print(json.dumps({"error": f"{type(error).__name__}: {error}"[:400]}), file=answers, flush=True)
        return
    variant = min(times, key=times.get)
    repeats = max(1, int(TURN_SECONDS / times[variant]))
    compiled = getattr(works[variant], "compile_seconds", None)
    print(json.dumps({"variant": variant, "compile": compiled}), file=answers, flush=True)
    for _ in sys.stdin:
        start = clock()
        for _ in range(repeats):
            works[variant]()
        print(json.dumps((clock() - start) / repeats), file=answers, flush=True)
    profile = getattr(works[variant], "profile", None)
    print(json.dumps(profile() if profile and peer == "leat" else None), file=answers, flush=True)


def measure(row, peers, threads, args):
    """{peer: {"variant", "seconds", "best", "sections"} or {"error"}}"""
    variables = {**os.environ, "MODELS_THREADS": str(threads), "LEAT_NUM_THREADS": str(threads)}
    variables["OMP_NUM_THREADS"] = str(threads)
    if args.isa:
        variables |= {"LEAT_ISA": args.isa, "ATEN_CPU_CAPABILITY": args.isa}
        variables |= dict.fromkeys(("ONEDNN_MAX_CPU_ISA", "MKL_ENABLE_INSTRUCTIONS"), args.isa.upper())
    processes, found = {}, {}
    inherited = os.environ.get("PYTHONPATH")
    for peer in peers:
        path = [str((args.against if peer == "base" else ROOT) / "python"), inherited]
        variables["PYTHONPATH"] = os.pathsep.join(filter(None, path))
        process = subprocess.Popen(
            [sys.executable, __file__, "--worker", row.name, peer],
            env=variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        line = process.stdout.readline()
        found[peer] = json.loads(line) if line else {"error": "the process ended"}
        if "error" not in found[peer]:
            processes[peer] = (process, [])
    for _ in range(args.rounds):
        for process, samples in processes.values():
            process.stdin.write("\n")
            process.stdin.flush()
            samples.append(json.loads(process.stdout.readline()))
    for peer, (process, samples) in processes.items():
        process.stdin.close()
        sections = json.loads(process.stdout.readline() or "null")
        process.wait()
        found[peer] |= {"seconds": statistics.median(samples), "best": min(samples), "sections": sections}
    return found


def lost_lines(sections, threads, isa, count):
    """The sections that lose most, a line each: what they take, and at least, and the kinds of that."""
    import machine

    lines = []
    for section in sections:
        compute = section["flops"] / machine.peak(threads, section["dtype"], isa)
        memory = section["moved_bytes"] / machine.bandwidth(threads)
        least = max(compute, memory)
        bound = "memory" if memory > compute else "compute"
        lines.append((section["seconds"] - least, section, least, bound))
    lines.sort(key=lambda line: -line[0])
    return [
        f"    lost {lost * 1e3:8.3f} of {section['seconds'] * 1e3:8.3f} ms, least {least * 1e3:8.3f} ({bound}): "
        f"section {section['index']}, {section['type']}, {section['name']}"
        for lost, section, least, bound in lines[:count]
    ]


def line_of(row, found, peers):
    cells = [f"{row.name:20}"]
    for peer in peers:
        cells.append(f"{found[peer]['seconds'] * 1e3:10.2f}" if "seconds" in found[peer] else f"{'-':>10}")
    others = [entry["seconds"] for peer, entry in found.items() if peer not in ("leat", "base") and "seconds" in entry]
    if "seconds" in found.get("leat", {}) and others:
        ratio = min(others) / found["leat"]["seconds"]
        cells.append(f"{ratio:6.2f} {row.expected:5.1f} {'ok' if ratio >= row.expected else 'BELOW'}")
    if all("seconds" in found.get(peer, {}) for peer in ("leat", "base")):
        cells += [f"{found['base'][fact] / found['leat'][fact]:7.3f}" for fact in ("seconds", "best", "compile")]
    return " ".join(cells)


def show(row, found, threads, args):
    print(line_of(row, found, args.peers), flush=True)
    for peer, entry in found.items():
        print(f"    {peer}: {entry.get('variant') or entry['error']}", flush=True)
    sections = found.get("leat", {}).get("sections")
    if sections and args.lost:
        print("\n".join(lost_lines(sections, threads, args.isa, args.lost)), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", nargs="+", metavar="NAME", help="rows whose names contain one of these")
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=PEERS)
    parser.add_argument("--threads", nargs="+", type=int, default=[1], help="each of these counts in turn")
    parser.add_argument("--rounds", type=int, default=9, help="turns of every peer")
    parser.add_argument("--isa", choices=("avx2",), help="cap Leat and PyTorch at this level")
    parser.add_argument("--lost", type=int, default=3, help="sections to show that lose most (3)")
    parser.add_argument("--against", type=Path, metavar="DIR", help="another checkout, built, as the peer `base`")
    parser.add_argument("--list", action="store_true", help="show the names of the rows")
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        worker(*args.worker)
        return
    if args.list:
        print("\n".join(ROWS))
        return
    if args.against:
        args.peers = [*args.peers, "base"]
    heads = "  ratio expected" if len(set(args.peers) - {"leat", "base"}) else ""
    heads += "  base/leat: median, best, compile" if args.against else ""
    rows = [row for row in ROWS.values() if not args.rows or any(part in row.name for part in args.rows)]
    if not rows:
        parser.error(f"no row contains {' or '.join(args.rows)}; see --list")
    for threads in args.threads:
        print(f"{f'ms, {threads} thread(s)':20} " + " ".join(f"{peer:>10}" for peer in args.peers) + heads, flush=True)
        for row in rows:
            show(row, measure(row, args.peers, threads, args), threads, args)


if __name__ == "__main__":
    main()
