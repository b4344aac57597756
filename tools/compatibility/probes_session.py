# SPDX-License-Identifier: Apache-2.0
"""Probes of the session: compile, run, weights, hyperparameters, optimizers, profiles, several graphs."""

import json
import os

import torch
from sambaflow import samba
from sambaflow.samba import utils
from sambaflow.samba.graph import FwdGraph, SambaGraph
from sambaflow.samba.profiler import Profiler
from sambaflow.samba.session import SambaSession
from sambaflow.samba.utils.argparser import parse_app_args
from sambaflow.sambacollections import OrderedSet
from torch import nn
from world import Net, close, raises


def _one_step(program, make, **hyper):
    """One step in PyTorch on the program's inputs; the reference is changed."""
    optimizer = make(program.reference.parameters())
    for group in optimizer.param_groups:
        group.update(hyper)
    optimizer.zero_grad()
    program.reference(*program.plain())[0].backward()
    optimizer.step()


def _same_weights(program):
    samba.session.to_cpu(program.model)
    for ours, theirs in zip(program.model.parameters(), program.reference.parameters(), strict=True):
        close(ours, theirs, rtol=1e-4, atol=1e-5)


# ---- compile and run


def compile_forms(world):
    model = Net()
    samba.from_torch_model_(model)
    inputs, optimizer = world.inputs(), samba.optim.SGD(model.parameters(), lr=0.1)
    more = {"name": "net", "app_dir": world.folder, "pef_metadata": {"a": 1}, "metadata": {}, "squeeze_bs_dim": True}
    paths = []
    with world.quiet():
        paths.append(samba.session.compile(model, inputs, optimizer, config_dict=world.config("a"), **more))
        paths.append(
            samba.session.compile(model=model, inputs=inputs, optimizers=[optimizer], config_dict=world.config("b"))
        )
        as_dict = {"image": inputs[0], "label": inputs[1]}
        paths.append(samba.session.compile(model, as_dict, inference=True, config_dict=world.config("c")))
        paths.append(
            samba.session.compile(model, inputs, optimizer, init_output_grads=False, config_dict=world.config("d"))
        )
    assert all(type(path) is str and os.path.isfile(path) for path in paths)


def run_forms(world):
    program = world.traced()
    inputs, outputs = program.inputs, program.outputs
    hyper = {"lr": 0.0, "momentum": 0.0, "weight_decay": 0.0}
    loss, logits = samba.session.run(
        input_tensors=inputs, output_tensors=outputs, hyperparam_dict=hyper, data_parallel=False, reduce_on_rdu=False
    )
    assert samba.session.run(inputs, loss := outputs[0], section_types=["FWD"])[0].shape == loss.shape
    assert len(samba.session.run(list(inputs), outputs, section_types=["fwd"])) == 2
    samba.session.run(inputs, section_types=["fwd"])
    assert len(samba.session.run(input_tensors=inputs, output_tensors=program.model.output_tensors)) == 2
    assert logits.shape == (4, 3)


def data_parallel_run(world):
    world.traced().run(data_parallel=True, reduce_on_rdu=True)


def data_parallel_compile(world):
    model = Net()
    samba.from_torch_model_(model)
    config = world.config(data_parallel=True, world_size=2)
    with world.quiet():
        samba.session.compile(model, world.inputs(), samba.optim.SGD(model.parameters(), lr=0.1), config_dict=config)


def graph_name_run(world):
    program = world.traced()
    samba.session.run(input_tensors=program.inputs, graph_name="prefill")


def sections_apart(world):
    program = world.traced()
    for types in (["FWD"], ["bckwd"], ["Opt"]):
        program.run(section_types=types)
    _one_step(program, lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9))
    _same_weights(program)


def single_sections(world):
    program = world.traced()
    sections = samba.session._bound_device().report()["sections"]
    forward = [i for i, section in enumerate(sections) if section["type"] in ("prepare", "fwd")]
    program.run(section_types=["fwd"])
    expected = program.run(section_types=["fwd"])
    found = samba.session.run(program.inputs, program.outputs, section_ids=forward)
    close(found[1], expected[1])
    _same_weights(program)  # no section of the optimizer ran


def grad_of_outputs(world):
    program = world.traced(init_output_grads=False)
    program.run(section_types=["fwd"])
    samba.session.run(
        program.inputs, program.outputs, section_types=["bckwd"], grad_of_outputs=[torch.full((), 2.0), None]
    )
    program.reference(*program.plain())[0].backward(torch.full((), 2.0))
    close(program.model.out.weight.sn_grad, program.reference.out.weight.grad)


def results_of_run(world):
    program = world.traced()
    first = samba.session.run(program.inputs, program.outputs)
    kept = samba.to_torch(first[1]).clone()
    loss, logits = samba.session.run(program.inputs, program.outputs)
    close(first[1], kept)
    assert isinstance(logits, samba.SambaTensor) and not torch.equal(samba.to_torch(logits), kept)
    assert len(samba.session.run(program.inputs, program.outputs[1])) == 1


def inputs_by_name(world):
    program = world.traced()
    image, label = program.inputs
    expected = program.run(section_types=["fwd"])[1]
    for given in ([label, image], (None, image, None, label), {"a": (label,), "b": image}, ([image, label],)):
        close(samba.session.run(given, program.outputs, section_types=["fwd"])[1], expected)


def inputs_of_other_dtypes(world):
    program = world.traced()
    image, label = program.plain()
    given = [
        samba.from_torch_tensor(image.double(), name="image"),
        samba.from_torch_tensor(label.to(torch.int16).reshape(4, 1), name="label"),
    ]
    expected = program.run(section_types=["fwd"])[1]
    close(samba.session.run(given, program.outputs, section_types=["fwd"])[1], expected)


def smaller_batches(world):
    program = world.traced()
    image, label = (t[:3] for t in program.plain())
    given = [samba.from_torch_tensor(image, name="image"), samba.from_torch_tensor(label, name="label")]
    with world.quiet():
        loss, logits = samba.session.run(given, program.outputs, section_types=["fwd"])
    expected = program.reference(image, label)
    close(logits, expected[1])
    close(loss, expected[0])


def configuration_from_arguments(world):
    args = parse_app_args(argv=["compile", "--pef-name", "cli", "--output-folder", world.folder, "--inference"])
    assert samba.session.args is args
    model = Net()
    samba.from_torch_model_(model)
    with world.quiet():
        assert samba.session.compile(model, world.inputs()) == world.path("cli/cli.pef")


def path_of_the_pef(world):
    model = Net()
    samba.from_torch_model_(model)
    with world.quiet():
        path = samba.session.compile(model, world.inputs(), inference=True, config_dict=world.config("my.pef"))
        assert path == world.path("my/my.pef")
        new = {"output_folder": world.path("new/folder"), "pef_name": "x"}
        path = samba.session.compile(model, world.inputs(), inference=True, config_dict=new)
        assert path == world.path("new/folder/x/x.pef") and os.path.exists(path)


def evaluation_keeps_weights(world):
    program = world.traced()
    program.run(section_types=["fwd"], hyperparam_dict={"lr": 0.0, "p": 0.0})
    _same_weights(program)


# ---- weights


def weights_to_and_fro(world):
    program = world.traced()
    program.run()
    samba.session.to_cpu(program.model)
    trained = samba.to_torch(program.model.hidden.weight).detach().clone()
    program.model.load_state_dict(program.reference.state_dict())
    samba.session.to_rdu(program.model)
    close(program.model.hidden.weight.sn_data, program.reference.hidden.weight)
    assert not torch.equal(trained, program.reference.hidden.weight)
    raises(AttributeError, lambda: samba.session.to_cpu(nn.Bilinear(1, 2, 3)))


def to_device_takes_new_parameters(world):
    model = Net()
    samba.from_torch_model_(model)
    inputs = world.inputs()
    with world.quiet():
        pef = samba.session.compile(model, inputs, config_dict=world.config(), inference=True)
    utils.trace_graph(model, inputs, pef=pef, transfer_device=False)
    assert not samba.session.get_tensors_by_name(["net__out__weight"])[0].any()
    again = Net()
    samba.from_torch_model_(again)
    samba.session.to_device()
    close(samba.session.get_tensors_by_name(["net__out__weight"])[0], again.out.weight)


def traced_tensors(world):
    program = world.traced(optimizer=lambda p: samba.optim.AdamW(p, lr=0.1))
    names = {t.sn_name for t in samba.session._traced_tensors()}
    assert {"image", "net__hidden__weight"} <= names
    assert samba.session.optim_dict
    for tensor in samba.session.optim_dict.values():
        tensor.rdu()
    assert program.outputs


def buffers_on_device(world):
    program = world.traced(nn.BatchNorm1d(6), (samba.randn(4, 6, name="x"),))
    samba.session.run(program.inputs, program.outputs)
    name = next(n for n in samba.session.buffer_dict if n.endswith("running_mean"))
    program.reference(program.plain()[0])
    close(samba.session.buffer_dict[name].sn_data, program.reference.running_mean)
    samba.session.to_cpu(program.model)
    close(program.model.running_mean, program.reference.running_mean)


def tensors_by_name(world):
    program = world.traced()
    for function in (samba.session.get_tensors_by_name, samba.session.get_tensors):
        found = function(["net__out__bias", "net__hidden__weight"])
        close(found[1].data, program.reference.hidden.weight)
    loss = program.run()[0]
    close(samba.session.get_tensors_by_name([program.outputs[0].sn_name])[0], loss)


def aux_tensors(world):
    table = torch.randn(6)
    name = "aux_probe_table"
    assert not samba.session.is_valid_aux_tensor_name(name)
    for _ in range(2):
        samba.session.add_aux_tensor(table, name)
    assert samba.session.is_valid_aux_tensor_name(name)
    try:
        program = world.traced(_Added(table), (samba.randn(2, 6, name="x"),), optimizer=None)
        close(program.run()[0], program.plain()[0] + table)
    finally:
        samba.session._aux.pop(name)


class _Added(nn.Module):
    def __init__(self, table):
        super().__init__()
        self.table = [table]

    def forward(self, x):
        return x + self.table[0]


def pinned_memory(world):
    assert samba.session.enabled_pinned_memory is False
    samba.session.disable_pinned_memory()


def lazy_parameters_can_be_disabled(world):
    from sambaflow.samba import lazy_param

    samba.session.disable_lazy_param()
    try:
        with lazy_param.lazy_param():
            assert nn.Linear(1, 1).weight.device.type == "cpu"
    finally:
        lazy_param._disabled = False


def atexit_is_registered(world):
    import atexit

    called = []
    samba.session.atexit_register(called.append, 1)
    atexit.unregister(called.append)


def host_and_device_are_apart(world):
    program = world.traced()
    loss, _ = program.model(*program.plain())
    program.run()
    loss.backward()  # torch would object had run written to the host's parameters
    samba.to_torch(program.model.hidden.weight)
    assert program.model.hidden.weight.grad is not None


# ---- set-up


def session_of_a_pef(world):
    pef = world.traced().pef
    assert SambaSession(pef_path=pef)._bound_device().path == pef


def setup_takes_args(world):
    from sambaflow.samba.argconf.args import RunArgs

    samba.session.setup(RunArgs(pef="a.pef"))
    assert samba.session.args.pef == "a.pef"


def tracing_is_known(world):
    seen = []

    class Asks(nn.Module):
        def forward(self, x):
            seen.append((samba.session.tracing, samba.session.use_static_functional()))
            return x * 2

    world.traced(Asks(), (samba.randn(2, name="x"),), optimizer=None)
    assert set(seen) == {(True, True)} and not samba.session.tracing and not samba.session.use_static_functional()


def directives_nest(world):
    with samba.session._add_directives({"opfusion_id": "a"}):
        with samba.session._add_directives(None), samba.session._add_directives({"other": 1}):
            assert "opfusion_id" in samba.session._context_directives
            assert "other" in samba.session._context_directives
        assert "other" not in samba.session._context_directives
    assert "opfusion_id" not in samba.session._context_directives
    with samba.session.disable_graphamp():
        pass


def no_dynamic_dims(world):
    assert samba.session.dynamic_dims == {}


def load_dynamic_dims(world):
    samba.session.load_dynamic_dims_config("dims.json")


def create_dynamic_dim(world):
    samba.session.create_dynamic_dim("batch", 1, 16)


# ---- hyperparameters


def hyperparameter_lr(world):
    program = world.traced(optimizer=lambda p: samba.optim.SGD(p, lr=0.0))
    program.run(hyperparam_dict={"lr": 0.25})
    _one_step(program, lambda p: torch.optim.SGD(p, lr=0.25))
    _same_weights(program)


def hyperparameter_momentum(world):
    program = world.traced(optimizer=lambda p: samba.optim.SGD(p, lr=0.1))
    optimizer = torch.optim.SGD(program.reference.parameters(), lr=0.1, momentum=0.5)
    for _ in range(3):
        program.run(hyperparam_dict={"momentum": 0.5})
        _one_step(program, lambda p: optimizer)
    _same_weights(program)


def hyperparameter_weight_decay(world):
    program = world.traced(optimizer=lambda p: samba.optim.SGD(p, lr=0.1))
    program.run(hyperparam_dict={"weight_decay": 0.5})
    _one_step(program, lambda p: torch.optim.SGD(p, lr=0.1, weight_decay=0.5))
    _same_weights(program)


def hyperparameter_p(world):
    program = world.traced(Net(dropout=0.5))
    random = [program.run(section_types=["fwd"])[1] for _ in range(2)]
    fixed = [program.run(section_types=["fwd"], hyperparam_dict={"p": 0.0})[1] for _ in range(2)]
    assert not torch.equal(*random) and torch.equal(*fixed)
    close(fixed[0], program.reference.eval()(*program.plain())[1])


def sticky_hyperparameters(world):
    program = world.traced(optimizer=lambda p: samba.optim.SGD(p, lr=0.1))
    optimizer = torch.optim.SGD(program.reference.parameters(), lr=0.1)
    for lr in (None, 0.3, None):
        program.run(hyperparam_dict={"lr": lr} if lr else None)
        _one_step(program, lambda p: optimizer, **({"lr": lr} if lr else {}))
    _same_weights(program)


def unused_hyperparameters(world):
    world.traced(optimizer=None).run(hyperparam_dict={"p": 0.0, "momentum": 0.1, "lr": 0.0})


# ---- optimizers


def _trains(world, ours, theirs, steps=3):
    program = world.traced(optimizer=ours)
    optimizer = theirs(program.reference.parameters())
    for _ in range(steps):
        program.run()
        _one_step(program, lambda p: optimizer)
    _same_weights(program)
    return program


def adamw_trains(world):
    _trains(world, lambda p: samba.optim.AdamW(p, lr=0.01), lambda p: torch.optim.AdamW(
        p, lr=0.01, betas=(0.9, 0.997), weight_decay=0.0))  # fmt: skip


def adamw_defaults(world):
    group = samba.optim.adam.AdamW([nn.Parameter(torch.ones(1))]).param_groups[0]
    assert (group["lr"], tuple(group["betas"]), group["eps"], group["weight_decay"]) == (0.001, (0.9, 0.997), 1e-8, 0)


def sgd_trains(world):
    make = {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}
    _trains(world, lambda p: samba.optim.sgd.SGD(p, **make), lambda p: torch.optim.SGD(p, **make))


def adam_class(world):
    _trains(world, lambda p: samba.optim.Adam(p, lr=0.01, eps=1e-7), lambda p: torch.optim.Adam(p, lr=0.01, eps=1e-7, betas=samba.optim.Adam([nn.Parameter(torch.ones(1))]).param_groups[0]["betas"]))  # fmt: skip  # noqa: E501


def sparse_adamw_class(world):
    optimizer = samba.optim.SparseAdamW([nn.Parameter(torch.ones(1))])
    assert callable(optimizer.cpu) and callable(optimizer.add_param_group)


def optimizer_interface(world):
    program = _trains(world, lambda p: samba.optim.AdamW(p, lr=0.01), lambda p: torch.optim.AdamW(
        p, lr=0.01, betas=(0.9, 0.997), weight_decay=0.0), steps=1)  # fmt: skip
    program.optimizer.cpu()
    saved = program.optimizer.state_dict()
    assert saved["state"] and float(saved["state"][0]["step"]) == 1
    program.optimizer.load_state_dict(saved)
    program.optimizer.add_param_group({"params": [nn.Parameter(torch.ones(1))]})
    assert len(program.optimizer.param_groups) == 2


def clipping(world):
    program = world.traced(optimizer=lambda p: samba.optim.AdamW(p, lr=0.01, max_grad_norm=0.01))
    program.run(section_types=["fwd", "bckwd", "gradnorm", "opt"])
    optimizer = torch.optim.AdamW(program.reference.parameters(), lr=0.01, betas=(0.9, 0.997), weight_decay=0.0)
    program.reference(*program.plain())[0].backward()
    nn.utils.clip_grad_norm_(program.reference.parameters(), 0.01)
    optimizer.step()
    _same_weights(program)


def several_optimizers(world):
    model = Net()
    samba.from_torch_model_(model)
    inputs = world.inputs()
    chosen = [samba.optim.SGD(model.hidden.parameters(), lr=0.1), samba.optim.AdamW(model.out.parameters(), lr=0.1)]
    with world.quiet():
        pef = samba.session.compile(model, inputs, chosen, config_dict=world.config())
    outputs = utils.trace_graph(model, inputs, chosen, pef=pef)
    before = [p.sn_data.clone() for p in model.parameters()]
    samba.session.run(inputs, outputs)
    assert all(not torch.equal(p.sn_data, b) for p, b in zip(model.parameters(), before, strict=True))


def ordered_set(world):
    model = Net()
    chosen = OrderedSet(model.parameters())
    assert list(chosen) == list(model.parameters()) and model.out.weight in chosen
    assert nn.Parameter(torch.ones(1)) not in chosen
    world.traced(model, optimizer=lambda p: samba.optim.SGD(OrderedSet(p), lr=0.1)).run()


# ---- several graphs


def _graph():
    return FwdGraph({"x": samba.zeros(1, name="x"), "flag": True}, (samba.zeros(1, name="y"), [None]), name="fwd")


def graphs_flatten(world):
    graph = _graph()
    assert isinstance(graph, SambaGraph) and graph.name == "fwd"
    assert [t.sn_name for t in (*graph.start, *graph.stop)] == ["x", "y"]


def add_graph(world):
    samba.session.add_graph(_graph())


def compile_multigraph(world):
    samba.session.compile_multigraph(
        name="x", config_dict={}, pef_metadata={}, enable_hypersection=True, inference=True
    )


def init_multigraph_runtime(world):
    samba.session.init_multigraph_runtime("x.pef")


def trace_multigraph(world):
    utils.trace_multigraph(Net(), {}, trace_prefix="p")


# ---- profiles


def runtime_profile(world):
    program = world.traced()
    samba.session.start_runtime_profile()
    program.run()
    samba.session.end_runtime_profile(world.path("run.log"))
    with open(world.path("run.log")) as file:
        text = file.read()
    assert "bckwd" in text and "us/run" in text


def samba_profile(world):
    program = world.traced()
    samba.session.start_samba_profile()
    program.run()
    samba.session.end_samba_profile(filename=world.path("trace.json"))
    with open(world.path("trace.json")) as file:
        assert [e["name"] for e in json.load(file)["traceEvents"]] == ["session.run"]


def profiler_events(world):
    profiler = Profiler()
    profiler.start_profile()
    for _ in range(3):
        samba.session.profiler.end_event(samba.session.profiler.start_event("fwd"))
    profiler.stop_profile()
    assert len(profiler._get_iter_times("fwd", 0)) == 3
    latency = profiler.get_latencies(["fwd"], 1)["fwd"]
    assert latency > 0 and abs(profiler.get_throughputs(["fwd"], 8, 1)["fwd"] * latency - 8) < 1e-6


# ---- tracing for a run


def trace_graph_forms(world):
    program = world.traced()
    model, inputs = program.model, program.inputs
    outputs = utils.trace_graph(model, inputs, program.optimizer, pef=program.pef, mapping="section",
                                data_parallel_mode="normal", transfer_device=True, init_output_grads=True)  # fmt: skip
    assert utils.utils.trace_graph is utils.trace_graph
    assert [tuple(t.shape) for t in outputs] == [(), (4, 3)]
    assert [t.sn_name for t in model.output_tensors] == [t.sn_name for t in outputs]
    named = {"image": inputs[0], "label": inputs[1]}
    utils.trace_graph(
        model, named, program.optimizer, pef=program.pef, config_dict={}, dev_mode=True, distlearn_config=None
    )


def utils_compile(world):
    model = Net()
    samba.from_torch_model_(model)
    with world.quiet():
        path = utils.compile(
            model, world.inputs(), name="x", app_dir=world.folder, config_dict=world.config(), inference=True
        )
    assert os.path.isfile(path)


def output_grads_by_name(world):
    program = world.traced(init_output_grads=False, loss_indices=[0, (1,)])
    loss, logits = program.outputs
    custom = {logits.sn_name: torch.zeros(4, 3)}
    utils.init_output_grads([loss.sn_name, logits.sn_name], [], custom, is_variable_batch_size=False)
    program.run()
    assert float(loss.sn_grad) == 1 and not logits.sn_grad.any()


def other_program(world):
    program = world.traced()
    other = nn.Linear(6, 2)
    samba.from_torch_model_(other)
    call = lambda: utils.trace_graph(other, program.inputs[:1], pef=program.pef)  # noqa: E731
    assert "forward pass" in raises(ValueError, call)


def which_outputs_are_losses(world):
    program = world.traced()
    program.run(section_types=["fwd", "bckwd"])
    program.reference(*program.plain())[0].backward()  # from the loss alone, not from the logits
    close(program.model.out.weight.sn_grad, program.reference.out.weight.grad)
