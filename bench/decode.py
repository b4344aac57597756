# SPDX-License-Identifier: Apache-2.0
"""The next token of GPT-2 (124M, random weights) at some context: Leat with weights in fp32, bf16 and int8, and
llama.cpp (llama-cpp-cffi, which has it built for AVX2, and gguf to write its files) on equal weights in f32, bf16 and
q8_0.

Every peer runs in a process of its own, which is stopped while others run; they take turns. Time is the CPU time of the
process; with several threads wall time. What the logits of a peer differ from those of its fp32 is told, relative to
their norm, and the memory of its process. llama.cpp is left out where it is not installed.

usage: decode.py [--peers NAME...] [--context N] [--threads N...] [--rounds N] [--isa LEVEL]
"""

import argparse
import importlib.machinery
import importlib.util
import json
import os
import resource
import statistics
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

from process import Process

ROOT = Path(__file__).resolve().parent.parent
TURN_SECONDS = 0.25
SEED = 11


def _logits(result):
    import torch

    return torch.as_tensor(result).detach().float().flatten()


# --- Leat -----------------------------------------------------------------------------------------------------------


def leat(dtype, context, _threads):
    """(work, logits of a result); keys and values of the tokens before are inputs."""
    import torch
    from architectures import gpt2_next
    from sambaflow import samba
    from sambaflow.samba import utils

    torch.manual_seed(SEED)
    model, inputs = gpt2_next(1, context)
    samba.from_torch_model_(model)
    named = [samba.from_torch_tensor(value, name=f"input_{i}") for i, value in enumerate(inputs)]
    with tempfile.TemporaryDirectory() as folder:
        options = {} if dtype == "f32" else {"weight_dtype": dtype}
        settings = {"output_folder": folder, "pef_name": "gpt2", **options}
        pef = samba.session.compile(model, named, inference=True, config_dict=settings)
        outputs = utils.trace_graph(model, named, pef=pef)
    run = partial(samba.session.run, input_tensors=named, output_tensors=outputs, section_types=["fwd"])
    return run, lambda result: _logits(samba.to_torch(result[0]))


# --- llama.cpp -------------------------------------------------------------------------------------------------------


def _write_gguf(model, path, dtype):
    import gguf
    import numpy as np

    config, body = model.config, model.transformer
    kind = {"f32": gguf.GGMLQuantizationType.F32, "bf16": gguf.GGMLQuantizationType.BF16}.get(
        dtype, gguf.GGMLQuantizationType.Q8_0
    )
    writer = gguf.GGUFWriter(path, "gpt2")
    writer.add_block_count(config.n_layer)
    writer.add_context_length(config.n_positions)
    writer.add_embedding_length(config.n_embd)
    writer.add_feed_forward_length(4 * config.n_embd)
    writer.add_head_count(config.n_head)
    writer.add_layer_norm_eps(config.layer_norm_epsilon)
    writer.add_vocab_size(config.vocab_size)
    writer.add_string("tokenizer.ggml.model", "none")

    def add(name, tensor, quantised=False):
        values = np.ascontiguousarray(tensor.detach().numpy().astype(np.float32))
        if not quantised or kind == gguf.GGMLQuantizationType.F32:
            writer.add_tensor(name, values)
            return
        writer.add_tensor(name, gguf.quants.quantize(values, kind), raw_dtype=kind)

    add("token_embd.weight", body.wte.weight, True)
    add("position_embd.weight", body.wpe.weight)
    for i, block in enumerate(body.h):
        parts = {
            "attn_qkv": block.attn.c_attn, "attn_output": block.attn.c_proj,
            "ffn_up": block.mlp.c_fc, "ffn_down": block.mlp.c_proj,
        }  # fmt: skip
        for name, part in parts.items():
            add(f"blk.{i}.{name}.weight", part.weight.T, True)
            add(f"blk.{i}.{name}.bias", part.bias)
        for name, part in {"attn_norm": block.ln_1, "ffn_norm": block.ln_2}.items():
            add(f"blk.{i}.{name}.weight", part.weight)
            add(f"blk.{i}.{name}.bias", part.bias)
    add("output_norm.weight", body.ln_f.weight)
    add("output_norm.bias", body.ln_f.bias)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _llama_cpp():
    """The C interface; the package around it imports more than is needed."""
    (path,) = Path(importlib.util.find_spec("llama").origin).parent.glob("_llama_cpp_cpu.*.so")
    loader = importlib.machinery.ExtensionFileLoader("llama._llama_cpp_cpu", str(path))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    return module.ffi, module.lib


def llama(dtype, context, threads):
    """The cache holds tokens, in llama.cpp's own f16; the last one is taken out and computed again."""
    import torch
    from architectures import gpt2_next

    ffi, lib = _llama_cpp()
    torch.manual_seed(SEED)
    model = gpt2_next(1, context)[0].model
    words = torch.randint(model.config.vocab_size, (context + 1,)).tolist()
    lib.llama_backend_init()
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "gpt2.gguf")
        _write_gguf(model, path, dtype)
        settings = lib.llama_model_default_params()
        settings.use_mmap = False
        loaded = lib.llama_model_load_from_file(path.encode(), settings)
    settings = lib.llama_context_default_params()
    settings.n_ctx = settings.n_batch = settings.n_ubatch = context + 64
    settings.n_threads = settings.n_threads_batch = threads
    made = lib.llama_init_from_model(loaded, settings)

    def decode(tokens):
        held = ffi.new("llama_token[]", tokens)
        if lib.llama_decode(made, lib.llama_batch_get_one(held, len(tokens))) != 0:
            raise RuntimeError("llama_decode failed")

    def run():
        lib.llama_kv_self_seq_rm(made, 0, context, -1)
        decode(words[-1:])
        return lib.llama_get_logits(made)

    decode(words[:-1])
    return run, lambda result: _logits(ffi.unpack(result, model.config.vocab_size))


PEERS = {
    **{f"leat-{name}": partial(leat, name) for name in ("f32", "bf16", "int8")},
    **{f"llama-{name}": partial(llama, name) for name in ("f32", "bf16", "q8_0")},
}
IMPORTS = {"leat": ("sambaflow",), "llama": ("llama", "gguf")}


# --- the process of a peer -------------------------------------------------------------------------------------------


def serve(peer, context, threads):
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    import torch

    torch.set_num_threads(threads)
    clock = time.perf_counter if threads > 1 else time.process_time
    run, logits = PEERS[peer](context, threads)
    for _ in range(5):
        result = run()
    for line in sys.stdin:
        if json.loads(line).get("turn"):
            samples, end = [], clock() + TURN_SECONDS
            while len(samples) < 3 or clock() < end:
                start = clock()
                result = run()
                samples.append(clock() - start)
            answer = {"samples": samples}
        else:
            answer = {"logits": logits(result).tolist(), "memory": _memory()}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _memory():
    """MiB that are of the process alone, and the most that it ever had."""
    with open("/proc/self/status") as status:
        held = {line.split(":")[0]: int(line.split()[1]) for line in status if line.startswith("RssAnon")}
    return [held["RssAnon"] / 1024, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]


# --- the table -------------------------------------------------------------------------------------------------------


def _is_there(peer):
    return all(importlib.util.find_spec(name.split(".")[0]) for name in IMPORTS[peer.split("-")[0]])


def measure(peers, context, threads, rounds, isa):
    variables = {**os.environ, "LEAT_NUM_THREADS": str(threads), "OMP_NUM_THREADS": str(threads)}
    if isa:
        variables["LEAT_ISA"] = isa
    (ROOT / ".cache").mkdir(exist_ok=True)
    command = [sys.executable, __file__, "--context", str(context), "--threads", str(threads), "--serve"]
    processes = {
        peer: Process(peer, [*command, peer], variables, ROOT / ".cache" / f"decode-{peer}.log") for peer in peers
    }
    told = {peer: process.ask(turn=False) for peer, process in processes.items()}
    samples = {peer: [] for peer in peers}
    for _ in range(rounds):
        for peer, process in processes.items():
            samples[peer] += process.ask(turn=True)["samples"]
    told = {peer: {**told[peer], "memory": process.ask(turn=False)["memory"]} for peer, process in processes.items()}
    for process in processes.values():
        process.close()
    return samples, told


def table(samples, told):
    import torch

    print(f"{'':12} {'median':>9} {'least':>9} {'of f32':>7} {'error':>9} {'MiB':>6} {'most':>6}")
    medians = {peer: statistics.median(found) for peer, found in samples.items()}
    for peer, found in samples.items():
        wide = peer.split("-")[0] + "-f32"
        speed = f"{medians[wide] / medians[peer]:.2f}" if wide in medians else ""
        error = ""
        if wide in told and wide != peer:
            one, other = torch.tensor(told[peer]["logits"]), torch.tensor(told[wide]["logits"])
            error = f"{(one - other).norm() / other.norm():.2e}"
        held, most = told[peer]["memory"]
        print(
            f"{peer:12} {medians[peer] * 1e3:8.2f}m {min(found) * 1e3:8.2f}m {speed:>7} {error:>9} "
            f"{held:6.0f} {most:6.0f}"
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", nargs="+", default=list(PEERS), choices=PEERS)
    parser.add_argument("--context", type=int, default=512)
    parser.add_argument("--threads", type=int, nargs="+", default=[1])
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--isa", choices=("portable", "avx2", "avx512"))
    parser.add_argument("--serve", choices=PEERS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve(given.serve, given.context, given.threads[0])
        return
    peers = [peer for peer in given.peers if _is_there(peer)]
    for threads in given.threads:
        print(f"context {given.context}, threads {threads}{', ' + given.isa if given.isa else ''}")
        table(*measure(peers, given.context, threads, given.rounds, given.isa))


if __name__ == "__main__":
    main()
