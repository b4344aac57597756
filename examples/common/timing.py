# SPDX-License-Identifier: Apache-2.0
"""The commands `measure-performance`, a step from the PEF and the same step in eager PyTorch, taking turns, and
`measure-sections`."""

import statistics
import time

import torch
from sambaflow import samba
from sambaflow.samba import utils

from .files import write_json
from .rule import sgd_rule

_ROUND_SECONDS = 0.02


def _pef_step(inputs, traced, inference, rule):
    if inference:
        return lambda: samba.session.run(input_tensors=inputs, output_tensors=traced, section_types=["fwd"])
    return lambda: samba.session.run(input_tensors=inputs, output_tensors=traced, hyperparam_dict=rule.hyper)


def _torch_step(reference, plain_inputs, inference, rule):
    if inference:
        reference.eval()

        def forward():
            with torch.inference_mode():
                reference(*plain_inputs)

        return forward
    optimizer = rule.make(reference.parameters())

    def train():
        optimizer.zero_grad(set_to_none=True)
        loss, _ = reference(*plain_inputs)
        loss.backward()
        rule.clip(reference.parameters())
        optimizer.step()

    return train


def interleaved_medians(steps, seconds):
    """Median seconds of each step in `steps` (name to callable), measured in short rounds that take turns."""
    samples = {name: [] for name in steps}
    for step in steps.values():
        for _ in range(3):
            step()
    end = time.monotonic() + seconds
    while time.monotonic() < end or not all(samples.values()):
        for name, step in steps.items():
            round_end = time.perf_counter() + _ROUND_SECONDS
            while True:
                start = time.perf_counter()
                step()
                now = time.perf_counter()
                samples[name].append(now - start)
                if now >= round_end:
                    break
    return {name: statistics.median(values) for name, values in samples.items()}


def measure(args, model, reference, inputs, optimizer, rule=None):
    """Does what `args.command` measures."""
    if args.command == "measure-performance":
        _measure_steps(args, model, reference, inputs, optimizer, rule)
        return
    utils.trace_graph(model, inputs, optimizer, pef=args.pef, mapping=args.mapping)
    utils.measure_sections(model, inputs, num_sections=args.num_sections, n_iterations=args.num_iterations,
                           batch_size=args.batch_size, min_duration=args.min_duration, json=args.json)  # fmt: skip


def _measure_steps(args, model, reference, inputs, optimizer, rule):
    """Prints microseconds a step and images (or what `rule` counts) a second; `--json FILE` gets the numbers."""
    rule = rule or sgd_rule(0.01)
    plain_inputs = [samba.to_torch(tensor).clone() for tensor in inputs]
    traced = utils.trace_graph(model, inputs, optimizer, pef=args.pef, mapping=args.mapping)
    steps = {
        "pef": _pef_step(inputs, traced, args.inference, rule),
        "pytorch": _torch_step(reference, plain_inputs, args.inference, rule),
    }
    medians = interleaved_medians(steps, seconds=float(getattr(args, "min_duration", 0) or 3.0))
    kind = "inference" if args.inference else "training"
    for name, seconds in medians.items():
        rate = args.batch_size * rule.units / seconds
        print(f"{name:8} {kind} step {seconds * 1e6:10.1f} us, {rate:10.0f} {rule.unit}/s (batch {args.batch_size})")
    if getattr(args, "json", None):
        record = {f"{name}_us": seconds * 1e6 for name, seconds in medians.items()}
        write_json(args.json, {**record, "batch_size": args.batch_size, "kind": kind})
