# SPDX-License-Identifier: Apache-2.0
"""Attention by the number of tokens: Leat against eager PyTorch on one thread, forward, and with gradients.

A row is scaled_dot_product_attention over so many tokens. Values and gradients are compared before anything is timed;
then both take turns in one process, and medians of CPU time count. Backward is what a step with gradients takes more
than forward. GFLOP/s are those of the products alone, of causal rows as far as they take part: two for forward, five
for backward. `peak` is their share of a product of square matrices that Leat computes in the same turns. `MiB` is how
far a step grows the process at most, results included.

usage: attention.py [--tokens N...] [--heads H] [--size E] [--batch B] [--causal] [--isa avx2] [--rounds N] [--forward]
                    [--alone]     (alone: without eager)
"""

import argparse
import gc
import statistics
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import levels
import memory
import ops

ROOT = Path(__file__).resolve().parent.parent
SQUARE = 1024
TOKENS = (512, 1024, 2048, 4096, 8192, 16384, 32768)


def _case(name, function, *shapes):
    from tests.ops.cases import Case, N

    return Case(name, "tokens", function, tuple(N(*shape) for shape in shapes))


def attention(args, tokens):
    import torch

    shape = (args.batch, args.heads, tokens, args.size)
    attend = partial(torch.nn.functional.scaled_dot_product_attention, is_causal=args.causal)
    return _case("scaled_dot_product_attention", attend, shape, shape, shape)


def product():
    import torch

    return _case("matmul", torch.matmul, (SQUARE, SQUARE), (SQUARE, SQUARE))


def flops(args, tokens, products):
    pairs = tokens * (tokens + 1) / 2 if args.causal else tokens * tokens
    return 2.0 * products * args.batch * args.heads * pairs * args.size


def growth(work):
    """MiB that the process grows at most while it works."""
    gc.collect()
    memory.forget_peak()
    base = memory.resident()
    work()
    return memory.resident("VmHWM") - base


def pairs_of(args, tokens, folder):
    """Forward, then steps with gradients: {name: callable} of both, which give the same. One after the other, since
    the session runs the program that was traced last."""
    import torch

    case = attention(args, tokens)
    tensors = case.make_inputs(torch.float32)
    for suffix in ("",) if args.forward else ("", " step"):
        seeds = ops.cotangents(case, tensors) if suffix else None
        works = {f"leat{suffix}": ops.leat(case, tensors, seeds, folder)}
        if not args.alone:
            works[f"eager{suffix}"] = ops.eager(case, tensors, seeds)
            difference = ops._largest_difference(works[f"eager{suffix}"](), works[f"leat{suffix}"].results())
            if not difference < 1e-4:
                raise RuntimeError(f"values differ by {difference:.1e}")
        yield works


def seconds(works, rounds):
    samples = {name: [] for name in works}
    for work in works.values():
        work()
    for _ in range(rounds):
        for name, work in works.items():
            start = time.process_time()
            work()
            samples[name].append(time.process_time() - start)
    return {name: statistics.median(times) for name, times in samples.items()}


def line(args, tokens, found, grown, peak):
    parts = [f"{tokens:7}"]
    for suffix, products in (("", 2), (" step", 5)):
        if f"leat{suffix}" not in found:
            continue
        ours = found[f"leat{suffix}"] - (found["leat"] if suffix else 0)
        rate = flops(args, tokens, products) / ours
        text = f"{ours * 1e3:9.1f} ms {rate * 1e-9:6.1f} GFLOP/s {rate / peak:5.0%}"
        if f"eager{suffix}" in found:
            theirs = found[f"eager{suffix}"] - (found["eager"] if suffix else 0)
            text += f" eager {theirs * 1e3:9.1f} ms {theirs / ours:5.2f}x"
        text += " MiB " + " / ".join(f"{grown[name]:.0f}" for name in grown if name.endswith(" step") == bool(suffix))
        parts.append(text)
    return " | ".join(parts)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, nargs="+", default=TOKENS)
    parser.add_argument("--heads", type=int, default=1)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--isa", choices=levels.LEVELS)
    parser.add_argument("--causal", action="store_true")
    parser.add_argument("--forward", action="store_true")
    parser.add_argument("--alone", action="store_true")
    args = parser.parse_args()
    levels.restart_at(args.isa, __file__)
    sys.path.insert(0, str(ROOT))
    import torch

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        case = product()
        square = ops.leat(case, case.make_inputs(torch.float32), None, folder)
        peak = 2.0 * SQUARE**3 / seconds({"square": square}, 9)["square"]
        print(f"peak {peak * 1e-9:.0f} GFLOP/s", flush=True)
        for tokens in args.tokens:
            found, grown = {}, {}
            for works in pairs_of(args, tokens, folder):
                grown |= {name: growth(work) for name, work in works.items()}
                found |= seconds(works, args.rounds)
            print(line(args, tokens, found, grown, peak), flush=True)


if __name__ == "__main__":
    main()
