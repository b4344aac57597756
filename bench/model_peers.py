# SPDX-License-Identifier: Apache-2.0
"""Who runs the rows of `make bench-models`, each in a process of its own.

A peer may have something to prepare once a row, in a process that ends before others begin: the PEF of Leat, the ONNX
file of ONNX Runtime and OpenVINO. `works` then gives variants of the work in the process that is measured, of which
the fastest counts. A new peer is a function and a row of PEERS.
"""

import copy
import importlib.util
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

PROFILED_RUNS = 5


@dataclass
class Work:
    """`run` does one piece of work; `values` makes plain tensors or arrays of what it returns. `load_seconds`: what it
    took to load what was prepared; `kernels`: names of those that were chosen, where the peer tells."""

    run: Callable
    values: Callable = lambda result: result if isinstance(result, (list, tuple)) else [result]
    load_seconds: float | None = None
    profile: Callable | None = None
    kernels: set = field(default_factory=set)


@dataclass(frozen=True)
class Peer:
    """`imports`: what its process loads before memory is counted. `prepares`: the step of STEPS that it needs."""

    works: Callable
    imports: tuple = ("torch",)
    prepares: str | None = None
    infers_only: bool = False
    f32_only: bool = False


def threads():
    return int(os.environ["MODELS_THREADS"])


def timed(work):
    """(result, seconds of CPU time)"""
    start = time.process_time()
    result = work()
    return result, time.process_time() - start


# --- PyTorch --------------------------------------------------------------------------------------------------------


def _step(model, inputs, optimizer):
    optimizer.zero_grad(set_to_none=True)
    loss = model(*inputs)
    loss.backward()
    optimizer.step()
    return loss.detach()


def eager_work(row, model, inputs):
    import torch

    if row.kind == "training":
        return partial(_step, model, inputs, row.optimizer(model.parameters(), torch.optim))

    def infer():
        with torch.inference_mode():
            return model(*inputs)

    return infer


def eager(row, _folder):
    """PyTorch as it is, pictures in both memory formats."""
    import torch

    model, inputs = row.make()
    works = {"eager": Work(eager_work(row, model, inputs))}
    if any(value.dim() == 4 and value.is_floating_point() for value in inputs) and model_is_of_pictures(model):
        last = copy.deepcopy(model).to(memory_format=torch.channels_last)
        data = [v.contiguous(memory_format=torch.channels_last) if v.dim() == 4 else v for v in inputs]
        works["channels-last"] = Work(eager_work(row, last, data))
    return works


def model_is_of_pictures(model):
    """Whether the memory format of pictures matters to it."""
    import torch

    return any(isinstance(module, torch.nn.Conv2d) for module in model.modules())


def compile(row, _folder):
    """torch.compile; for inference with frozen weights."""
    import torch
    import torch._inductor.config as inductor

    inductor.cpp.threads = torch.get_num_threads()
    inductor.freezing = row.kind == "inference"
    model, inputs = row.make()
    return {"torch.compile": Work(eager_work(row, torch.compile(model), inputs))}


# --- readers of ONNX ------------------------------------------------------------------------------------------------


def export_onnx(row, folder):
    """Leaves the model as ONNX, and its inputs."""
    import numpy as np
    import torch

    model, inputs = row.make(as_it_is=True)
    torch.onnx.export(model, inputs, os.path.join(folder, "model.onnx"), dynamo=True, verbose=False)
    np.savez(os.path.join(folder, "inputs.npz"), *(value.numpy() for value in inputs))
    return {}


def _inputs(folder):
    import numpy as np

    with np.load(os.path.join(folder, "inputs.npz")) as found:
        return [found[f"arr_{i}"] for i in range(len(found.files))]


def onnx(_row, folder):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads()
    make = partial(onnxruntime.InferenceSession, providers=["CPUExecutionProvider"], sess_options=options)
    session, seconds = timed(partial(make, os.path.join(folder, "model.onnx")))
    feed = {given.name: value for given, value in zip(session.get_inputs(), _inputs(folder), strict=True)}
    return {"onnxruntime": Work(partial(session.run, None, feed), load_seconds=seconds)}


def openvino(_row, folder):
    """OpenVINO in f32 where bf16 is not wanted: else it may take that where the CPU has it."""
    import openvino
    from model_rows import dtype

    settings = {
        "INFERENCE_PRECISION_HINT": dtype(),
        "INFERENCE_NUM_THREADS": threads(),
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1,
    }
    make = partial(openvino.Core().compile_model, os.path.join(folder, "model.onnx"), "CPU", settings)
    compiled, seconds = timed(make)
    request = compiled.create_infer_request()
    feed = dict(enumerate(_inputs(folder)))
    work = Work(
        partial(request.infer, feed, share_inputs=True, share_outputs=True),
        values=lambda result: [result[output].copy() for output in compiled.outputs],
        load_seconds=seconds,
    )
    work.kernels = {str(op.get_rt_info()["primitiveType"].value) for op in compiled.get_runtime_model().get_ops()}
    return {"openvino": work}


# --- Leat -----------------------------------------------------------------------------------------------------------


def _named(row):
    """(model, inputs, optimizer) as the SDK takes them."""
    from sambaflow import samba

    model, inputs = row.make()
    samba.from_torch_model_(model)
    named = [samba.from_torch_tensor(value, name=f"input_{i}") for i, value in enumerate(inputs)]
    training = row.kind == "training"
    return model, named, row.optimizer(model.parameters(), samba.optim) if training else None


def compile_pef(row, folder):
    """Leaves the PEF; `compile`: seconds of that, tracing included, and `pef`: its bytes."""
    from sambaflow import samba

    model, named, optimizer = _named(row)
    settings = {"output_folder": folder, "pef_name": row.name, "log_level": "error"}
    make = partial(samba.session.compile, model, named, optimizer, name=row.name, config_dict=settings)
    pef, seconds = timed(partial(make, inference=optimizer is None))
    return {"compile": seconds, "pef": os.path.getsize(pef)}


def pef_in(folder):
    return str(next(Path(folder).rglob("*.pef")))


def leat(row, folder):
    from sambaflow import samba
    from sambaflow.samba import utils

    model, named, optimizer = _named(row)
    _, seconds = timed(partial(utils.trace_graph, model, named, optimizer, pef=pef_in(folder)))
    options = {} if optimizer else {"section_types": ["fwd"]}
    run = partial(samba.session.run, input_tensors=named, output_tensors=model.output_tensors, **options)
    return {"session.run": Work(run, _plain, seconds, partial(_profile, run, folder))}


def _plain(results):
    from sambaflow import samba

    return [samba.to_torch(one) for one in (results if isinstance(results, (list, tuple)) else [results])]


def _profile(run, folder):
    """The sections of a run, timed one by one: records of sambaflow.samba.profiles."""
    from sambaflow import samba

    samba.session.start_runtime_profile()
    for _ in range(PROFILED_RUNS):
        run()
    return samba.session.end_runtime_profile(os.path.join(folder, "profile.json"))


STEPS = {"pef": compile_pef, "onnx": export_onnx}
PEERS = {
    "leat": Peer(leat, ("torch", "sambaflow.samba.utils"), "pef"),
    "eager": Peer(eager),
    "compile": Peer(compile, ("torch", "torch._inductor.config")),
    "onnx": Peer(onnx, ("onnxruntime",), "onnx", infers_only=True, f32_only=True),
    "openvino": Peer(openvino, ("openvino",), "onnx", infers_only=True),
    # The Leat of another checkout: PYTHONPATH of its process says which.
    "base": Peer(leat, ("torch", "sambaflow.samba.utils"), "pef"),
}
OURS = ("leat", "base")


def missing(peer):
    """The first of its imports that is not installed; None: all are."""
    for name in (*PEERS[peer].imports, *({"onnx": ("onnx", "onnxscript")}.get(PEERS[peer].prepares, ()))):
        if importlib.util.find_spec(name.split(".")[0]) is None:
            return name
    return None
