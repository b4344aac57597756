# SPDX-License-Identifier: Apache-2.0
"""Probes of tensors, parameters, conversion, creation, and operators that torch has not."""

import io
import subprocess
import sys

import numpy as np
import sambaflow
import torch
from sambaflow import samba
from sambaflow.samba import utils
from sambaflow.samba.functional.stir import sn_imm, sn_iteridx, sn_select, sn_zipmapreduce
from sambaflow.samba.nn.parameter import SambaParameter
from sambaflow.samba.parallel_patterns import sn_gather, sn_multinomial, sn_reduce, sn_scatter
from torch import nn
from world import Net, close, raises

# ---- packages


def version_is_text(world):
    assert sambaflow.__version__.count(".") == 2


def no_special_build(world):
    assert sambaflow.is_demo() is False and samba.is_internal() is False


def imports_in_any_order(world):
    for first, second in (("torch.distributed", "sambaflow.samba"), ("sambaflow.samba", "torch.distributed")):
        code = f"import sys; sys.path[:0] = {sys.path!r}; import {first}, {second}"
        subprocess.run([sys.executable, "-c", code], check=True)


def session_is_instance_and_module(world):
    from sambaflow.samba.session import SambaSession

    assert isinstance(samba.session, SambaSession)


# ---- conversion


def model_converts_in_place(world):
    model = Net()
    weight = model.hidden.weight
    assert samba.from_torch_model_(model) is None
    assert samba.from_torch_ is samba.from_torch_model_
    assert isinstance(model.hidden.weight, SambaParameter) and model.hidden.weight.data_ptr() == weight.data_ptr()
    part = nn.Linear(2, 2)
    samba.from_torch_model_(part, parent_module_prefix="encoder")
    assert part.weight.sn_name == "encoder__linear__weight"


def model_converts_and_returns(world):
    model = nn.Linear(2, 2)
    assert samba.from_torch_model(model) is model and isinstance(model.weight, SambaParameter)


def names_of_parameters(world):
    linear, net = nn.Linear(2, 2), Net()
    samba.from_torch_model_(linear)
    samba.from_torch_model_(net)
    assert (linear.name, linear.weight.sn_name) == ("linear", "linear__weight")
    assert (net.hidden.name, net.out.bias.sn_name) == ("net__hidden", "net__out__bias")


def converting_twice(world):
    program = world.traced()
    samba.from_torch_model_(program.model)
    again = Net()
    samba.from_torch_model_(again)
    samba.session.to_rdu(again)
    close(samba.session.get_tensors_by_name(["net__hidden__weight"])[0], again.hidden.weight)


def meta_model_compiles(world):
    with torch.device("meta"):
        model = Net()
    samba.from_torch_model_(model)
    with world.quiet():
        assert samba.session.compile(model, world.inputs(), config_dict=world.config(), inference=True)


def converted_model_on_host(world):
    model = Net()
    samba.from_torch_model_(model)
    loss, logits = model(torch.randn(4, 6), torch.zeros(4, dtype=torch.int64))
    assert type(logits.torch()) is torch.Tensor and torch.max(logits, 1)[1].shape == (4,)
    loss.backward()
    assert model.hidden.weight.grad is not None


def from_torch_tensor_names(world):
    plain = torch.zeros(2, 3)
    named = samba.from_torch_tensor(plain, name="x", batch_dim=0, named_dims=["b", None], sized_dims=[None, None])
    plain[0, 0] = 5
    assert (named.sn_name, named.batch_dim, float(named[0, 0])) == ("x", 0, 5.0)
    assert samba.from_torch_tensor(np.ones(2), name="y").shape == (2,)


def from_torch_names(world):
    assert samba.from_torch(torch.zeros(2), name="x", batch_dim=0).sn_name == "x"


def to_torch_gives_plain(world):
    plain = torch.zeros(2)
    for function in (samba.to_torch, samba.to_torch_tensor):
        assert function(plain) is plain
        assert type(function(samba.from_torch_tensor(plain, name="x"))) is torch.Tensor


def named_dict_runs(world):
    program = world.traced()
    image, label = program.plain()
    found = samba.session.run(samba.from_named_dict({"label": label, "image": image}), program.outputs)
    close(found[1], program.reference(image, label)[1])


# ---- creation


def creation_by_name(world):
    size = {"name": "x", "batch_dim": 0}
    made = {
        "randn": samba.randn(2, 3, **size, named_dims=["a", "b"]),
        "rand": samba.rand([2, 3], dtype=torch.float32, **size),
        "randint": samba.randint(5, (2, 3), **size), "randint3": samba.randint(2, 5, (2, 3), **size),
        "randn_like": samba.randn_like(torch.zeros(2, 3), **size), "zeros": samba.zeros(2, 3, **size),
        "ones": samba.ones(2, 3, **size), "full": samba.full((2, 3), 7.0, **size),
        "tensor": samba.tensor([[1, 2, 3]] * 2, **size), "arange": samba.arange(6, **size).reshape(2, 3),
    }  # fmt: skip
    for name, tensor in made.items():
        assert isinstance(tensor, samba.SambaTensor) and tensor.shape == (2, 3), name
        assert name == "arange" or (tensor.sn_name, tensor.batch_dim) == ("x", 0), name
    assert made["randint"].dtype == torch.int64 and int(made["randint3"].min()) >= 2


def conversions_keep_names(world):
    tensor = samba.randn(2, 3, name="image", batch_dim=0).bfloat16().float()
    assert (tensor.sn_name, tensor.batch_dim, tensor.dtype) == ("image", 0, torch.float32)


def patched_torch_is_torch(world):
    with samba.patched_torch():
        assert type(torch.zeros(2) + 1) is torch.Tensor


# ---- tensors


def tensor_shares_memory(world):
    plain = torch.zeros(2)
    tensor = samba.SambaTensor(plain, name="x")
    plain[1] = 3
    assert tensor.torch().data_ptr() == plain.data_ptr() == tensor.torch_tensor().data_ptr() and tensor[1] == 3


def tensor_constructor(world):
    tensor = samba.SambaTensor(
        torch.zeros(2, 3), name="x", batch_dim=0, named_dims=["a", None], sized_dims=[None, None], region_name="r"
    )
    assert (tensor.sn_name, tensor.batch_dim, tensor.sn_region_name) == ("x", 0, "r")
    assert tensor.named_dims == ("a", None) and tensor.sized_dims == (None, None)
    empty = samba.SambaTensor(shape=(2, 3), dtype=torch.bfloat16, name="y", materializer=lambda t: torch.ones(t.shape))
    assert empty.shape == (2, 3) and empty.dtype == torch.bfloat16 and not empty.has_data
    tensor.sn_name = "z"
    assert tensor.sn_name == "z" and "complex" in raises(ValueError, lambda: samba.SambaTensor(tensor, is_complex=True))


def tensor_regions(world):
    tensor = samba.zeros(2, name="x")
    assert tensor.sn_region_name == "x"
    tensor.sn_region_name = "y"
    assert tensor.sn_region_name == "y" and tensor.sn_name == "x"


def host_memory_is_kept(world):
    tensor = samba.zeros(2, name="x")
    tensor.host_memory = False
    assert tensor.host_memory is False


def tensor_without_data(world):
    tensor = samba.ones(2, 3, name="x")
    assert tensor.has_data
    tensor.clear_data()
    assert not tensor.has_data and tensor.shape == (2, 3) and tensor.sn_name == "x"


def tensor_data(world):
    tensor = samba.ones(2, name="x")
    assert tensor.data.tolist() == [1, 1]
    tensor.data = torch.zeros(2)
    assert tensor.torch().tolist() == [0, 0] and tensor.sn_name == "x"


def tensor_grad(world):
    tensor = samba.ones(2, name="x").requires_grad_()
    assert tensor.requires_grad
    (tensor * 3).sum().backward()
    assert tensor.grad.tolist() == [3, 3]


def tensor_facts(world):
    tensor = samba.zeros(2, 3, name="x")
    assert type(tensor.shape) is torch.Size and tensor.dtype == torch.float32 and tensor.device.type == "cpu"
    assert (tensor.dim(), tensor.ndim, tensor.size(0), tensor.numel()) == (2, 2, 2, 6)
    assert tensor.data_ptr() == tensor.torch().data_ptr()


def tensor_conversions(world):
    tensor = samba.ones(2, name="x")
    made = [
        tensor.bool(),
        tensor.bfloat16(),
        tensor.float(),
        tensor.int(),
        tensor.short(),
        tensor.long(),
        tensor.to("cpu"),
    ]
    kinds = [torch.bool, torch.bfloat16, torch.float32, torch.int32, torch.int16, torch.int64, torch.float32]
    assert [t.dtype for t in made] == kinds and all(t.sn_name == "x" for t in made)


def tensor_items(world):
    tensor = samba.zeros(3, 2, name="x")
    tensor[1] = 4
    assert tensor[1, 0] == 4 and tensor[tensor > 1].shape == (2,) and tensor[0:2].shape == (2, 2)


def tensor_moves(world):
    program = world.traced()
    weight = program.model.hidden.weight
    before = samba.to_torch(weight).clone()
    program.run()
    close(weight, before)
    assert not torch.equal(samba.to_torch(weight.cpu()).detach(), before)
    close(weight, before)
    weight.rdu()
    close(weight.sn_data, before)
    program.run()
    weight.cpu_()
    close(weight, weight.sn_data)


def gradients_on_device(world):
    program = world.traced()
    program.run(section_types=["fwd", "bckwd"])
    loss, _ = program.reference(*program.plain())
    loss.backward()
    close(program.model.hidden.weight.sn_grad, program.reference.hidden.weight.grad)


def data_on_device(world):
    program = world.traced()
    close(program.model.hidden.weight.sn_data, program.reference.hidden.weight)


def consumers_are_refused(world):
    samba.zeros(2, name="x").dsts  # noqa: B018 - reading it is the probe


def class_name(world):
    assert type(samba.zeros(1, name="x")).__name__ == "SambaTensor"


def expanded_views(world):
    row = torch.arange(6.0)
    inputs = (samba.from_torch_tensor(row.expand(4, 6), name="image"), samba.randint(3, (4,), name="label"))
    program = world.traced(inputs=inputs)
    close(program.run(section_types=["fwd"])[1], program.reference(*program.plain())[1])


def pickling(world):
    model = nn.Linear(2, 2)
    samba.from_torch_model_(model)
    for value in (samba.ones(2, name="x"), model.state_dict()):
        buffer = io.BytesIO()
        torch.save(value, buffer)
        buffer.seek(0)
        again = torch.load(buffer)
        assert again["bias"].shape == (2,) if isinstance(value, dict) else again.tolist() == [1, 1]


def dim_info(world):
    info = samba.sambatensor.DimInfo("batch", min=1, max=16, factor=2)
    assert (info.min, info.max, info.factor) == (1, 16, 2)


# ---- parameters


def parameter_constructor(world):
    empty = SambaParameter(shape=reversed((2, 3)), dtype=torch.float32, requires_grad=False, materializer=lambda p: p)
    assert empty.shape == (3, 2) and not empty.has_data and not empty.requires_grad
    full = SambaParameter(torch.ones(2))
    assert full.requires_grad and full.has_data


def materializers(world):
    from sambaflow.samba.materialize import materialize

    module = nn.Linear(2, 2)
    module.weight = SambaParameter(
        shape=(2, 2), dtype=torch.float32, materializer=lambda p, other=None: torch.ones(p.shape)
    )
    module.bias = SambaParameter(
        shape=(2,), dtype=torch.float32, materializer=lambda p, rng: rng.normal(0.0, 1.0, p.shape, dtype=p.dtype)
    )
    materialize(module)
    assert float(module.weight.sum()) == 4 and float(module.bias.abs().sum()) > 0


def parameters_of_modules(world):
    module = nn.Linear(2, 2)
    module.weight = SambaParameter(torch.ones(2, 2))
    assert isinstance(module.weight, samba.SambaTensor) and isinstance(module.weight, nn.Parameter)
    assert module.weight in {module.weight} and module.weight not in {module.bias}


# ---- forward


def mixed_operands(world):
    def forward(x):
        below = torch.minimum(x, torch.full((3,), 0.5))
        return (torch.arange(3).repeat(2, 1) - below) * 2 + 1

    world.same(forward, [torch.randn(2, 3)], training=True)


def mixed_dtypes(world):
    convolution = nn.Conv2d(1, 2, 3)
    program = world.traced(convolution, (samba.randn(1, 1, 5, 5, name="x").bfloat16(),), optimizer=None)
    expected = program.reference(program.plain()[0].float())
    close(program.run()[0].float(), expected, rtol=2e-2, atol=2e-2)


def illegal_shapes(world):
    call = lambda: world.traced(nn.Linear(5, 2), (samba.randn(2, 6, name="x"),), optimizer=None)  # noqa: E731
    assert "same reduction dim, but got [2, 6] X [5, 2]" in raises(RuntimeError, call)


# ---- operators that torch has not


def addmm_transposed(world):
    bias, rows, weight = torch.randn(5), torch.randn(2, 3, 4), torch.randn(5, 4)
    product = lambda b, r, w: samba.addmm(b, r, w, beta=0.5, alpha=2.0, is_transposed=True)  # noqa: E731
    close(world.same(product, [bias, rows, weight], training=True), 0.5 * bias + 2 * rows @ weight.T)
    close(samba.addmm(bias[:4], rows, torch.eye(4)), bias[:4] + rows)


def addmm_out(world):
    samba.addmm(torch.zeros(2), torch.zeros(2, 2), torch.zeros(2, 2), out=torch.zeros(2, 2))


def add_with_alpha(world):
    close(
        world.same(lambda x, y: samba.add(x, y, 3.0), [torch.ones(2), torch.ones(2)], training=True),
        torch.full((2,), 4.0),
    )


def triu_fill(world):
    scores = torch.randn(2, 2, 3, 3)
    found = world.same(lambda s: samba.triu_fill(s, -9.0), [scores], training=True)
    assert bool((found[..., 0, 1:] == -9).all())
    close(found.tril(), scores.tril())


def groupby(world):
    samba.groupby(torch.zeros(3), num_bins=2, capacity=1)


def causal_mask_by_stir(world):
    def mask(attrs, scores):
        rows, columns = (sn_iteridx(attrs=attrs, dim=d, dtype=utils.SNType.INT32) for d in (2, 3))
        below = sn_imm(input=-1e4, dtype=torch.float32)
        return sn_select(cond=torch.ge(rows, columns), true_val=scores, false_val=below)

    scores = torch.randn(2, 2, 3, 3)
    found = world.same(lambda s: sn_zipmapreduce(func=mask, inputs=[s]), [scores], training=True)
    close(found, samba.triu_fill(scores, -1e4))


def zipmapreduce_reduces(world):
    a, b = torch.randn(2, 5), torch.randn(2, 1)
    reduced = lambda x, y: sn_zipmapreduce(  # noqa: E731
        lambda i, p, q: p * q, [x, y], reduce_func="MIN", reduce_dim=[1], stoc_accum=False
    )
    close(world.same(reduced, [a, b]), (a * b).amin(1, keepdim=True))


def gather_slices(world):
    assert samba.functional.sn_gather is samba.sn_private.sn_gather
    table, starts = torch.arange(25.0).reshape(5, 5), torch.tensor([[0, 0], [1, 1], [3, 2]])
    found = world.same(lambda t, s: sn_gather(t, s, [0, 1], [2, 3]), [table, starts], training=True)
    assert found.shape == (3, 2, 3)
    close(found[2], table[3:5, 2:5])
    hidden, index = torch.randn(2, 7, 3), torch.tensor([[[1], [6]], [[0], [3]]])
    close(sn_gather(hidden, index, [0], [1], batched_dims=1)[1, 1, 0], hidden[1, 3])


def scatter_slices(world):
    assert samba.functional.sn_scatter is samba.sn_private.sn_scatter
    update, starts = torch.ones(3, 1, 1), torch.tensor([[0, 1], [0, 1], [9, 3]])
    add = lambda u, s: sn_scatter(torch.zeros(3, 4), u, s, [0, 1], rmw_op="kAdd", unique_indices=False)  # noqa: E731
    found = world.same(add, [update, starts], training=True)
    assert found[0, 1] == 2 and found.sum() == 2  # what lies outside is left out
    cache, new = torch.zeros(2, 3, 6, 4), torch.randn(2, 1, 3, 1, 4)
    put = sn_scatter(cache, new, torch.tensor([[[2]], [[5]]]), [1], batched_dims=1)
    close(put[1, :, 5], new[1, 0, :, 0])


def multinomial(world):
    odds, numbers = torch.tensor([[0.25, 0.25, 0.5]] * 4), torch.tensor([[0.0], [0.25], [0.5], [0.99]])
    assert world.same(sn_multinomial, [odds, numbers]).flatten().tolist() == [0, 1, 2, 2]


def pattern_reduce(world):
    tensor = torch.randn(2, 3, 4)
    close(world.same(lambda t: sn_reduce(t, dim=(0, 2), fn="max"), [tensor]), tensor.amax((0, 2)))
