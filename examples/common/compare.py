# SPDX-License-Identifier: Apache-2.0
"""The `test` command: plain PyTorch on the CPU against the PEF, with the worst element of every tensor named.

Three things are compared with the same weights and the same random batch: the result of every layer (a model that
returns them is compiled into a temporary PEF for that), the outputs and gradients of the PEF under test, and its
parameters after one step. Errors are relative to the largest element of a tensor; gradients and parameters of a PEF in
mixed precision are compared by norm.
"""

import copy
import tempfile

import torch
from sambaflow import samba
from sambaflow.samba import utils
from sambaflow.samba.test import is_mixed_precision

from .rule import sgd_rule


class Report:
    """Prints one line a tensor and remembers the largest error. Without `rtol`, precision says what passes."""

    def __init__(self, rtol):
        self.rtol, self.mixed, self.failed, self.worst = rtol, False, [], (0.0, "nothing")

    def _allowed(self, kind):
        if self.rtol is not None or not self.mixed:
            return 1e-4 if self.rtol is None else self.rtol
        return 2e-2 if kind == "output" else 0.25

    def add(self, kind, name, expected, found):
        expected, found = expected.detach().double(), found.detach().double()
        if expected.shape != found.shape:
            raise ValueError(f"{kind} {name}: {tuple(expected.shape)} in PyTorch, {tuple(found.shape)} in the PEF")
        difference = (expected - found).abs()
        difference[difference.isnan()] = torch.inf
        scale = max(float(expected.abs().max()), 1e-30) if expected.numel() else 1.0
        flat = int(difference.argmax()) if difference.numel() else 0
        where = _place(flat, difference.shape)
        error = float(difference[where]) / scale if difference.numel() else 0.0
        if self.mixed and kind != "output":
            error = float(difference.norm()) / max(float(expected.norm()), 1e-30)
        ok = error <= self._allowed(kind)
        if not ok:
            self.failed.append(f"{kind} {name}")
        if error > self.worst[0]:
            self.worst = (error, f"{kind} {name} at {list(where)}")
        print(
            f"{'ok  ' if ok else 'FAIL'} {kind:9} {name:32} error {error:.1e}, worst at {list(where)}: "
            f"CPU {float(expected[where]):.7g}, PEF {float(found[where]):.7g}"
        )


def _place(flat, shape):
    """Index of the element number `flat` of a tensor of `shape`."""
    return tuple(int(i) for i in torch.unravel_index(torch.tensor(flat), shape)) if len(shape) else ()


class LayerProbe(torch.nn.Module):
    """A model that also returns what each of its leaf modules gave."""

    def __init__(self, model):
        super().__init__()
        self.model = model
        self.layers = [(name, module) for name, module in model.named_modules() if not list(module.children())]

    def forward(self, *inputs):
        seen = {}

        def remember(name):
            def hook(_module, _inputs, result):
                seen.setdefault(name, result)

            return hook

        handles = [module.register_forward_hook(remember(name)) for name, module in self.layers]
        try:
            self.model(*inputs)
        finally:
            for handle in handles:
                handle.remove()
        self.names = list(seen)
        return tuple(seen.values())


def _compare_layers(args, reference, inputs, plain_inputs, report):
    expected_probe = LayerProbe(copy.deepcopy(reference)).eval()  # as the probe, which is compiled for inference
    with torch.no_grad():
        expected = expected_probe(*plain_inputs)
    probe = LayerProbe(copy.deepcopy(reference))
    samba.from_torch_model_(probe)
    with tempfile.TemporaryDirectory() as folder:
        config = {**vars(args), "output_folder": folder, "pef_name": "layers", "inference": True}
        path = samba.session.compile(
            probe, inputs, name="layers", config_dict=config, inference=True, init_output_grads=False
        )
        traced = utils.trace_graph(probe, inputs, pef=path, init_output_grads=False)
        found = samba.session.run(input_tensors=inputs, output_tensors=traced, section_types=["fwd"])
    for name, want, have in zip(expected_probe.names, expected, found, strict=True):
        report.add("layer", name, want, samba.to_torch(have))


def _compare_step(args, model, reference, inputs, plain_inputs, optimizer, rule, report):
    traced = utils.trace_graph(model, inputs, optimizer, pef=args.pef, mapping=args.mapping)
    report.mixed = is_mixed_precision()
    for _ in range(args.grad_accumulation_steps or 1):  # the mean gradient of equal batches is that of one
        found = samba.session.run(input_tensors=inputs, output_tensors=traced, hyperparam_dict=rule.hyper)
    expected = reference(*plain_inputs)
    for name, want, have in zip(("loss", "logits"), expected, found, strict=True):
        report.add("output", name, want, samba.to_torch(have))
    expected[0].backward()
    gold, converted = dict(reference.named_parameters()), dict(model.named_parameters())
    for name, parameter in gold.items():
        report.add("gradient", name, parameter.grad, samba.to_torch(converted[name].sn_grad))
    rule.clip(gold.values())
    rule.make(gold.values()).step()
    samba.session.to_cpu(model)
    for name, parameter in gold.items():
        report.add("updated", name, parameter, samba.to_torch(converted[name]))


def compare(args, model, reference, inputs, optimizer, rule=None):
    """Runs all comparisons; ValueError if one is beyond what passes. `reference` is the model in plain PyTorch."""
    plain_inputs = [samba.to_torch(tensor).clone() for tensor in inputs]
    report = Report(args.rtol)
    _compare_layers(args, reference, inputs, plain_inputs, report)
    _compare_step(args, model, reference, inputs, plain_inputs, optimizer, rule or sgd_rule(0.1), report)
    print(f"worst of all: {report.worst[1]}, {report.worst[0]:.1e} of the tensor")
    if report.failed:
        raise ValueError(f"PEF and PyTorch differ by more than rounding makes in: {', '.join(report.failed)}")
    print("test passed")
