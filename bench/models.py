# SPDX-License-Identifier: Apache-2.0
"""Known architectures with random weights: Leat against eager PyTorch, torch.compile and ONNX Runtime.

Every peer runs in a process of its own; the peers take turns, one piece of work at a time, and medians count. Time is
the CPU time of the process, so that others on the machine disturb little; with several threads it is wall time.
`ratio` is the best peer's time over Leat's. ONNX Runtime takes part in inference where onnx, onnxscript and
onnxruntime can be imported.

usage: models.py [--rows NAME...] [--peers NAME...] [--threads N] [--rounds N] [--isa avx2] [--list]
"""

import argparse
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

ROOT = Path(__file__).resolve().parent.parent
PEERS = ("leat", "eager", "compile", "onnx")


@dataclass(frozen=True)
class Row:
    """What is measured: `build` gives (model, inputs); a training step updates with AdamW, or SGD where images are."""

    name: str
    build: str
    kind: str  # training | inference
    expected: float
    isa: str = ""


ROWS = {
    row.name: row
    for row in (
        Row("gpt2-training", "gpt2_loss", "training", 1.0),
        Row("bert-training", "bert_loss", "training", 1.0),
        Row("gpt2-next-token", "gpt2_next", "inference", 1.3),
        Row("resnet50-inference", "resnet50", "inference", 1.0),
        Row("lenet-training", "lenet_loss", "training", 1.2),
    )
}


# --- models --------------------------------------------------------------------------------------------------------


def _wrapped(model, forward):
    import torch

    class Wrapped(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, *inputs):
            return forward(self.model, *inputs)

    return Wrapped()


def _loss_of(model, ids, labels):
    import torch.nn.functional as F

    logits = model(input_ids=ids, use_cache=False).logits if hasattr(model, "transformer") else model(ids).logits
    return F.cross_entropy(logits.view(-1, logits.shape[-1]), labels.view(-1))


def _next_token(model, ids, keys, values):
    """Logits of the token after `ids`, the keys and values of the tokens before it given by layer."""
    import torch
    import torch.nn.functional as F

    body = model.transformer
    x = body.wte(ids) + body.wpe.weight[keys.shape[3]]
    for layer, block in enumerate(body.h):
        heads = (1, 1, keys.shape[2], keys.shape[4])
        q, k, v = (part.view(heads).transpose(1, 2) for part in block.attn.c_attn(block.ln_1(x)).split(768, dim=2))
        k, v = torch.cat([keys[layer], k], dim=2), torch.cat([values[layer], v], dim=2)
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(1, 1, -1)
        x = x + block.attn.c_proj(mixed)
        x = x + block.mlp(block.ln_2(x))
    return model.lm_head(body.ln_f(x))


def _resnet(depths):
    """ResNet of bottleneck blocks as torchvision builds it (v1.5: the stride is in the 3x3 convolution)."""
    import torch.nn as nn

    def conv(inputs, outputs, size, stride=1, relu=True):
        layers = [
            nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, bias=False),
            nn.BatchNorm2d(outputs),
        ]
        return nn.Sequential(*layers, nn.ReLU()) if relu else nn.Sequential(*layers)

    class Bottleneck(nn.Module):
        def __init__(self, inputs, width, stride):
            super().__init__()
            self.body = nn.Sequential(
                conv(inputs, width, 1), conv(width, width, 3, stride), conv(width, 4 * width, 1, relu=False)
            )
            same = stride == 1 and inputs == 4 * width
            self.side = nn.Identity() if same else conv(inputs, 4 * width, 1, stride, relu=False)
            self.relu = nn.ReLU()

        def forward(self, x):
            return self.relu(self.body(x) + self.side(x))

    layers, inputs = [conv(3, 64, 7, 2), nn.MaxPool2d(3, 2, 1)], 64
    for stage, depth in enumerate(depths):
        for block in range(depth):
            layers.append(Bottleneck(inputs, 64 << stage, 2 if stage > 0 and block == 0 else 1))
            inputs = 256 << stage
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, 1000))


def gpt2_loss():
    """GPT-2 of 124M parameters, 4 windows of 64."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    model = GPT2LMHeadModel(GPT2Config(resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, use_cache=False))
    ids = torch.randint(50257, (4, 65))
    return _wrapped(model, _loss_of), (ids[:, :-1].contiguous(), ids[:, 1:].contiguous())


def bert_loss():
    """BERT-base, masked words, 4 windows of 128."""
    import torch
    from transformers import BertConfig, BertForMaskedLM

    model = BertForMaskedLM(BertConfig(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0))
    ids = torch.randint(30522, (4, 128))
    labels = torch.where(torch.rand(4, 128) < 0.15, ids, torch.tensor(-100))
    return _wrapped(model, _loss_of), (ids, labels)


def gpt2_next():
    """GPT-2 of 124M parameters: the next token after one token with 256 in the cache, tied head."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config()
    model = _wrapped(GPT2LMHeadModel(config).eval(), _next_token)
    cache = (config.n_layer, 1, config.n_head, 256, config.n_embd // config.n_head)
    return model, (torch.randint(config.vocab_size, (1, 1)), torch.randn(cache), torch.randn(cache))


def resnet50():
    """ResNet-50, one image of 224x224."""
    import torch

    model = _resnet((3, 4, 6, 3)).eval()
    return model, (torch.randn(1, 3, 224, 224),)


def lenet_loss():
    """LeNet-5 as in examples/lenet.py, 32 images."""
    import torch

    sys.path.insert(0, str(ROOT / "examples"))
    from lenet import IMAGE_SHAPE, LeNet

    return _wrapped(LeNet(10), lambda model, *inputs: model(*inputs)[0]), (
        torch.randn(32, *IMAGE_SHAPE),
        torch.randint(10, (32,)),
    )


# --- peers: name to a callable that does one piece of work ---------------------------------------------------------


def _optimizer(row, parameters, kind):
    """AdamW, or SGD with momentum for pictures; `kind` is torch.optim or samba.optim."""
    settings = {"fused": True} if kind.__name__.startswith("torch") else {}
    if row.name.startswith("lenet"):
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
    pef = samba.session.compile(model, named, optimizer, name=row.name, config_dict=settings, inference=not training)
    utils.trace_graph(model, named, optimizer, pef=pef)
    options = {} if training else {"section_types": ["fwd"]}
    return {
        "session.run": partial(samba.session.run, input_tensors=named, output_tensors=model.output_tensors, **options)
    }


# --- measuring -----------------------------------------------------------------------------------------------------


def _clock():
    return time.perf_counter if int(os.environ["MODELS_THREADS"]) > 1 else time.process_time


def worker(name, peer):
    """Answers each line on stdin with the seconds of one piece of work; first with the variant that it chose."""
    import torch

    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    torch.set_num_threads(1 if peer == "leat" else int(os.environ["MODELS_THREADS"]))
    torch.manual_seed(0)
    row, clock = ROWS[name], _clock()
    model, inputs = globals()[row.build]()

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
    repeats = max(1, int(0.02 / times[variant]))
    print(json.dumps({"variant": variant}), file=answers, flush=True)
    for _ in sys.stdin:
        start = clock()
        for _ in range(repeats):
            works[variant]()
        print(json.dumps((clock() - start) / repeats), file=answers, flush=True)


def measure(row, peers, args):
    """{peer: {"variant", "seconds", "best"} or {"error"}}"""
    variables = {**os.environ, "MODELS_THREADS": str(args.threads), "LEAT_NUM_THREADS": str(args.threads)}
    variables["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT / "python"), os.environ.get("PYTHONPATH")]))
    variables["OMP_NUM_THREADS"] = str(args.threads)
    if args.isa:
        variables |= {"LEAT_ISA": args.isa, "ATEN_CPU_CAPABILITY": args.isa}
    processes, found = {}, {}
    for peer in peers:
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
        process.wait()
        found[peer] |= {"seconds": statistics.median(samples), "best": min(samples)}
    return found


def line_of(row, found, peers):
    cells = [f"{row.name:20}"]
    for peer in peers:
        cells.append(f"{found[peer]['seconds'] * 1e3:10.2f}" if "seconds" in found[peer] else f"{'-':>10}")
    others = [entry["seconds"] for peer, entry in found.items() if peer != "leat" and "seconds" in entry]
    if "seconds" in found.get("leat", {}) and others:
        ratio = min(others) / found["leat"]["seconds"]
        cells.append(f"{ratio:6.2f} {row.expected:5.1f} {'ok' if ratio >= row.expected else 'BELOW'}")
    return " ".join(cells)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", nargs="+", metavar="NAME", help="rows whose names contain one of these")
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=PEERS)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=9, help="turns of every peer")
    parser.add_argument("--isa", choices=("avx2",), help="cap Leat and PyTorch at this level")
    parser.add_argument("--list", action="store_true", help="show the names of the rows")
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        worker(*args.worker)
        return
    if args.list:
        print("\n".join(ROWS))
        return
    print(f"{'ms':20} " + " ".join(f"{peer:>10}" for peer in args.peers) + "  ratio expected", flush=True)
    for row in ROWS.values():
        if args.rows and not any(part in row.name for part in args.rows):
            continue
        found = measure(row, args.peers, args)
        print(line_of(row, found, args.peers), flush=True)
        for peer, entry in found.items():
            print(f"    {peer}: {entry.get('variant') or entry['error']}", flush=True)


if __name__ == "__main__":
    main()
