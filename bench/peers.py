# SPDX-License-Identifier: Apache-2.0
"""Who is measured. A peer prepares a row and gives variants of the work: name to callable; the fastest one counts.

A worker process holds one peer, so that each runs under the settings that suit it (SETTINGS) and none disturbs
another. A callable may have an attribute `seconds`: then it returns the seconds of one piece of work, measured in C.
"""

import copy
import os
import tempfile
from functools import partial

from rows import batch_of, build_model, rule_of

# Variables of the peer's process, besides the number of threads.
SETTINGS = {
    "leat": {},
    "eager": {"OMP_DYNAMIC": "false"},
    "compile": {"OMP_DYNAMIC": "false", "TORCHINDUCTOR_FX_GRAPH_CACHE": "1"},
    "openblas": {},
}
# Settings whose effect depends on the machine: (row to try them on, candidates). OpenMP workers that spin answer
# fastest where nothing else runs (a peer that is not measured is stopped); OpenBLAS may guess the core wrongly.
CANDIDATES = {
    "eager": (
        "resffn-32-training",
        [{}, {"OMP_WAIT_POLICY": "active", "OMP_PROC_BIND": "true"}, {"OMP_WAIT_POLICY": "active"}],
    ),
    "openblas": (
        "gemm-1024x1024x1024",
        [{"OPENBLAS_CORETYPE": core} for core in ("", "Zen", "Haswell", "SkylakeX", "Cooperlake", "SapphireRapids")],
    ),
}


def thread_settings(peer, threads):
    """Environment of a worker of `peer` with `threads` threads."""
    names = {"leat": ["LEAT_NUM_THREADS"], "base": ["LEAT_NUM_THREADS"], "openblas": ["OPENBLAS_NUM_THREADS"]}
    count = {name: str(threads) for name in names.get(peer, ["OMP_NUM_THREADS", "MKL_NUM_THREADS"])}
    if peer in ("leat", "base"):
        count["OMP_NUM_THREADS"] = "1"  # PyTorch only holds its tensors
    return {**SETTINGS.get(peer, {}), **count}


class Leat:
    """The SDK, and the C interface below it."""

    def __init__(self):
        self.folder = tempfile.TemporaryDirectory()

    def _optimizer(self, model, rule):
        """The SDK's optimizer of the same name as PyTorch's."""
        from sambaflow import samba

        kind = getattr(samba.optim, type(rule.make(model.parameters())).__name__)
        return kind(model.parameters(), lr=0.0, max_grad_norm=rule.max_grad_norm)

    def _compile(self, model, inputs, rule, name):
        from sambaflow import samba
        from sambaflow.samba import utils

        samba.from_torch_model_(model)
        optimizer = self._optimizer(model, rule) if rule else None
        settings = {"output_folder": self.folder.name, "pef_name": name, "inference": optimizer is None}
        options = {"name": name, "config_dict": settings, "inference": optimizer is None}
        pef = samba.session.compile(model, inputs, optimizer, **options)
        return pef, utils.trace_graph(model, inputs, optimizer, pef=pef)

    def model(self, row):
        from sambaflow import samba

        model, shape = build_model(row.model)
        data, labels = batch_of(row, shape)
        inputs = [samba.from_torch_tensor(data, name="data"), samba.from_torch_tensor(labels, name="label")]
        rule = rule_of(row) if row.kind == "training" else None
        pef, traced = self._compile(model, inputs, rule, row.name)
        options = {"hyperparam_dict": rule.hyper} if rule else {"section_types": ["fwd"]}
        run = partial(samba.session.run, input_tensors=inputs, output_tensors=traced, **options)
        return {"session.run": run, "C": self._in_c(pef, training=rule is not None)}

    def gemm(self, row):
        import torch
        from sambaflow import samba

        class Product(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.weight = torch.nn.Parameter(torch.randn(row.k, row.n))

            def forward(self, x):
                return torch.matmul(x, self.weight)

        inputs = [samba.from_torch_tensor(torch.randn(row.m, row.k), name="x")]
        pef, _ = self._compile(Product(), inputs, None, row.name)
        return {"C": self._in_c(pef, training=False)}

    def _in_c(self, pef, training):
        """The same PEF loaded once more and run from C, without Python."""
        from machine import timing_library
        from sambaflow import _leat

        ffi, lib = _leat.ffi, _leat.lib
        out, options = ffi.new("leat_program_t **"), ffi.new("leat_load_options_t *", lib.leat_load_options_default())
        options.thread_count = int(os.environ["LEAT_NUM_THREADS"])
        level = ffi.new("char[]", os.environ.get("LEAT_ISA", "").encode())
        options.isa = level if len(level) > 1 else ffi.NULL
        status = lib.leat_program_load(os.fsencode(pef), options, out)
        if status != ffi.NULL:
            raise RuntimeError(ffi.string(lib.leat_status_message(status)).decode())
        run = int(ffi.cast("uintptr_t", ffi.addressof(lib, "leat_program_run")))
        program = int(ffi.cast("uintptr_t", out[0]))
        types = lib.LEAT_SECTIONS_ALL if training else lib.LEAT_SECTIONS_FWD
        time_runs, count = timing_library().time_runs, 1
        single = max(time_runs(run, program, types, 3) / 3, 1e-7)
        count = max(1, int(20e-6 / single))

        def seconds():
            return time_runs(run, program, types, count) / count

        seconds.seconds = True
        return seconds


def _train(model, images, labels, optimizer, rule):
    optimizer.zero_grad(set_to_none=True)
    loss, _ = model(images, labels)
    loss.backward()
    rule.clip([parameter for group in optimizer.param_groups for parameter in group["params"]])
    optimizer.step()


def _infer(model, images, labels):
    import torch

    with torch.inference_mode():
        model(images, labels)


class Eager:
    """PyTorch as it is: with the optimizer forms and memory layouts that it has."""

    def model(self, row):
        import torch

        plain, image_shape = build_model(row.model)
        images, labels = batch_of(row, image_shape)
        layouts = {"": torch.contiguous_format}
        if len(image_shape) == 3:
            layouts[" channels-last"] = torch.channels_last
        variants = {}
        for suffix, layout in layouts.items():
            if row.kind == "inference":
                model = copy.deepcopy(plain).eval().to(memory_format=layout)
                data = images.contiguous(memory_format=layout)
                variants[f"inference_mode{suffix}"] = partial(_infer, model, data, labels)
                continue
            for form in ("fused", "foreach"):
                model = copy.deepcopy(plain).to(memory_format=layout)
                data = images.contiguous(memory_format=layout)
                optimizer = rule_of(row).make(model.parameters(), form)
                name = f"{form} {type(optimizer).__name__}{suffix}"
                variants[name] = partial(_train, model, data, labels, optimizer, rule_of(row))
        return variants

    def gemm(self, row):
        import torch

        a, b, c = torch.randn(row.m, row.k), torch.randn(row.k, row.n), torch.empty(row.m, row.n)
        variants = {"torch.mm": partial(torch.mm, a, b, out=c)}
        weight = b.t().contiguous()
        if torch.backends.mkldnn.is_available():
            for hint, packed in (
                ("", torch.ops.mkldnn._reorder_linear_weight(weight)),
                (" for this m", torch.ops.mkldnn._reorder_linear_weight(weight, row.m)),
            ):
                product = torch.ops.mkldnn._linear_pointwise
                variants[f"oneDNN packed{hint}"] = partial(product, a, packed, None, "none", [], "")
        if torch.backends.mkl.is_available():
            packed = torch.ops.mkl._mkl_reorder_linear_weight(weight, row.m)
            variants["MKL packed"] = partial(torch.ops.mkl._mkl_linear, a, packed, weight, None, row.m)
        return variants


class Compile:
    """torch.compile: the model for training with the fused optimizer; for inference with frozen weights."""

    def model(self, row):
        import torch
        import torch._inductor.config as inductor

        plain, image_shape = build_model(row.model)
        images, labels = batch_of(row, image_shape)
        inductor.cpp.threads = torch.get_num_threads()
        if row.kind == "inference":
            inductor.freezing = True
            model = torch.compile(plain.eval())
            return {"frozen": partial(_infer, model, images, labels)}
        inductor.freezing = False
        optimizer = rule_of(row).make(plain.parameters())
        name = f"fused {type(optimizer).__name__}"
        return {name: partial(_train, torch.compile(plain), images, labels, optimizer, rule_of(row))}


class OpenBlas:
    """OpenBLAS as it comes with numpy."""

    def gemm(self, row):
        import numpy as np

        generator = np.random.default_rng(0)
        a = generator.standard_normal((row.m, row.k), dtype=np.float32)
        b = generator.standard_normal((row.k, row.n), dtype=np.float32)
        c = np.empty((row.m, row.n), dtype=np.float32)
        core = os.environ.get("OPENBLAS_CORETYPE") or "own guess"
        return {f"numpy, {core}": partial(np.matmul, a, b, out=c)}


PEERS = {"leat": Leat, "base": Leat, "eager": Eager, "compile": Compile, "openblas": OpenBlas}
