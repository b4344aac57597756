# SPDX-License-Identifier: Apache-2.0
"""The process of one peer: reads commands as JSON lines, answers with JSON lines.

    {"prepare": ROW}                  -> {"variants": {NAME: seconds}, "chosen": NAME, "flops": N or null}
    {"round": SECONDS, "variant": V}  -> {"samples": [seconds of one piece of work, ...]}

Usage: worker.py PEER THREADS (started by bench.py with the peer's environment)
"""

import json
import os
import statistics
import sys
import time

from peers import PEERS
from rows import ROWS, batch_of, build_model

_PROBE_SECONDS = 0.15
_MAX_SAMPLES = 400


def samples_of(work, seconds):
    """Times of single pieces of work, for about `seconds` and at least three times."""
    in_c = getattr(work, "seconds", False)
    found, end = [], time.perf_counter() + seconds
    while len(found) < 3 or time.perf_counter() < end:
        start = time.perf_counter()
        result = work()
        found.append(result if in_c else time.perf_counter() - start)
    return found


def flops_of(row):
    """Multiplications and additions of a training step or forward pass, as PyTorch counts them."""
    if row.kind == "gemm":
        return row.flops
    from torch.utils.flop_counter import FlopCounterMode

    model, image_shape = build_model(row.model)
    images, labels = batch_of(row, image_shape)
    with FlopCounterMode(display=False) as counter:
        loss, _ = model(images, labels)
        if row.kind == "training":
            loss.backward()
    return counter.get_total_flops()


class Worker:
    def __init__(self, peer):
        self.peer = PEERS[peer]()
        self.variants = {}

    def prepare(self, name):
        row = ROWS[name]
        self.variants = self.peer.gemm(row) if row.kind == "gemm" else self.peer.model(row)
        medians = {}
        for variant, work in self.variants.items():
            samples_of(work, 0)
            medians[variant] = statistics.median(samples_of(work, _PROBE_SECONDS))
        chosen = min(medians, key=medians.get)
        return {
            "variants": medians,
            "chosen": chosen,
            "flops": flops_of(row) if type(self.peer).__name__ == "Eager" else None,
        }

    def round(self, seconds, variant):
        found = samples_of(self.variants[variant], seconds)
        step = -(-len(found) // _MAX_SAMPLES)
        return {"samples": found[::step]}


def main():
    peer, threads = sys.argv[1], int(sys.argv[2])
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a peer prints must not come between the answers
    if peer != "openblas":
        import torch

        torch.set_num_threads(1 if peer in ("leat", "base") else threads)
    worker = Worker(peer)
    for line in sys.stdin:
        command = json.loads(line)
        try:
            if "prepare" in command:
                answer = worker.prepare(command["prepare"])
            else:
                answer = worker.round(command["round"], command["variant"])
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
