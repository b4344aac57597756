# SPDX-License-Identifier: Apache-2.0
"""Operators that SambaFlow has and torch has not: on the host, and compiled, with their gradients."""

import copy

import pytest
import torch
from sambaflow import samba
from sambaflow.samba import utils
from sambaflow.samba.functional.stir import sn_imm, sn_iteridx, sn_select, sn_zipmapreduce
from sambaflow.samba.parallel_patterns import sn_reduce
from sambaflow.samba.sn_private import sn_gather, sn_multinomial, sn_scatter
from sambaflow.samba.utils import SNType
from torch import nn


class Wrapped(nn.Module):
    """A function as a model; `weight` is there so that gradients can be asked for."""

    def __init__(self, function):
        super().__init__()
        self.function = function
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, *tensors):
        return self.function(*[t * self.weight if t.is_floating_point() else t for t in tensors])


def compiled(function, tensors, tmp_path, training=False):
    """What `function` gives when compiled; with `training` also the gradient of the weight, else None."""
    model = Wrapped(function)
    samba.from_torch_model_(model)
    inputs = [samba.from_torch_tensor(t, name=f"x{i}") for i, t in enumerate(tensors)]
    optimizer = samba.optim.SGD(model.parameters(), lr=0.0) if training else None
    config = {"output_folder": str(tmp_path), "pef_name": "function"}
    pef = samba.session.compile(model, inputs, optimizer, config_dict=config, inference=not training)
    outputs = utils.trace_graph(model, inputs, optimizer, pef=pef)
    found = samba.session.run(inputs, outputs)
    return samba.to_torch(found[0]), samba.to_torch(model.weight.sn_grad) if training else None


def check(function, tensors, tmp_path, training=False):
    """Compiled and host agree, gradients included; returns the host's result."""
    host = Wrapped(function)
    expected = host(*copy.deepcopy(tensors))
    found, gradient = compiled(function, tensors, tmp_path, training)
    torch.testing.assert_close(found, expected.detach(), check_dtype=False)
    if training:
        expected.sum().backward()
        torch.testing.assert_close(gradient, host.weight.grad)
    return expected.detach()


def causal(attrs, scores):
    keep = torch.ge(
        sn_iteridx(attrs=attrs, dim=2, dtype=SNType.INT32), sn_iteridx(attrs=attrs, dim=3, dtype=SNType.INT32)
    )
    return sn_select(cond=keep, true_val=scores, false_val=sn_imm(input=-1e4, dtype=torch.float32))


def test_a_causal_mask_is_triu_fill(tmp_path):
    scores = torch.randn(2, 3, 4, 4)
    stir = check(lambda s: sn_zipmapreduce(func=causal, inputs=[s]), [scores], tmp_path, training=True)
    fill = check(lambda s: samba.triu_fill(s, -1e4), [scores], tmp_path, training=True)
    assert torch.equal(stir, fill)
    assert bool((fill[0, 0].triu(1)[fill[0, 0].triu(1) != 0] == -1e4).all())


def test_inputs_broadcast_and_reduced_dims_stay(tmp_path):
    rows, columns = torch.randn(2, 1, 5), torch.randn(2, 4, 1)
    difference = lambda a, b: sn_zipmapreduce(  # noqa: E731
        func=lambda attrs, x, y: x - y, inputs=[a, b], reduce_func="MIN", reduce_dim=[1], stoc_accum=False
    )
    found = check(difference, [rows, columns], tmp_path)
    assert torch.equal(found, (rows - columns).amin(1, keepdim=True))


@pytest.mark.parametrize("name", ["ADD", "kMax", "mean", "PROD"])
def test_reductions(name, tmp_path):
    tensor = torch.rand(3, 4, 2) + 0.5
    check(lambda t: sn_zipmapreduce(lambda i, x: x, [t], name, [0, 2]), [tensor], tmp_path, training=name != "PROD")


def test_reduction_of_integers_keeps_their_dtype():
    total = sn_zipmapreduce(lambda i, x: x, [torch.ones(3, 4, dtype=torch.int32)], "ADD")
    assert total.dtype == torch.int32 and total.shape == (1, 1) and int(total) == 12


def test_what_stir_refuses():
    tensor = torch.zeros(2)
    with pytest.raises(ValueError, match="unknown reduction 'MEDIAN'; there are ADD"):
        sn_zipmapreduce(lambda i, x: x, [tensor], "MEDIAN")
    with pytest.raises(ValueError, match="at least one input"):
        sn_zipmapreduce(lambda i: None, [])
    with pytest.raises(TypeError, match="returned a float"):
        sn_zipmapreduce(lambda i, x: 1.0, [tensor])
    with pytest.raises(IndexError, match="dim 3 of an iteration space with 1 dims"):
        sn_zipmapreduce(lambda i, x: sn_iteridx(i, 3), [tensor])


def test_gather_of_the_documented_example(tmp_path):
    table = torch.arange(25.0).reshape(5, 5)
    starts = torch.tensor([[0, 0], [1, 1], [3, 2]])
    found = check(lambda t, s: sn_gather(t, s, [0, 1], [2, 3]), [table, starts], tmp_path, training=True)
    assert found.shape == (3, 2, 3)
    for slice_, (row, column) in zip(found, starts.tolist(), strict=True):
        assert torch.equal(slice_, table[row : row + 2, column : column + 3])


def test_gather_with_batched_dims(tmp_path):
    hidden, index = torch.randn(2, 7, 3), torch.tensor([[[1], [6]], [[0], [3]]])
    found = check(lambda h, i: sn_gather(h, i, [0], [1], batched_dims=1), [hidden, index], tmp_path, training=True)
    assert found.shape == (2, 2, 1, 3)
    assert torch.equal(found[1, 1, 0], hidden[1, 3])
    scores, last = torch.randn(2, 2, 5), torch.randint(5, (2, 2, 1, 1))
    found = check(lambda s, i: sn_gather(s, i, [0], [1], batched_dims=2), [scores, last], tmp_path)
    assert torch.equal(found[..., 0], scores.gather(-1, last[..., 0]))


def test_gather_of_a_later_dim_keeps_the_order_of_dims():
    tensor = torch.randn(4, 5, 6)
    found = sn_gather(tensor, torch.tensor([[2], [4]]), [2], [2])
    assert found.shape == (2, 4, 5, 2)
    assert torch.equal(found[1], tensor[:, :, 4:6])


def test_scatter_into_a_cache(tmp_path):
    cache, update = torch.randn(2, 3, 6, 4), torch.randn(2, 1, 3, 1, 4)
    starts = torch.tensor([[[2]], [[6]]])  # the second lies outside: nothing is written
    put = lambda c, u, s: sn_scatter(c, u, s, [1], batched_dims=1)  # noqa: E731
    found = check(put, [cache, update, starts], tmp_path, training=True)
    expected = cache.clone()
    expected[0, :, 2] = update[0, 0, :, 0]
    assert torch.equal(found, expected)


def test_scatter_adds_duplicates(tmp_path):
    count = lambda u, s: sn_scatter(torch.zeros(3, 4), u, s, [0, 1], rmw_op="kAdd")  # noqa: E731
    found = check(count, [torch.ones(3, 1, 1), torch.tensor([[0, 1], [0, 1], [2, 3]])], tmp_path, training=True)
    assert found[0, 1] == 2 and found[2, 3] == 1 and found.sum() == 3


def test_what_patterns_refuse():
    with pytest.raises(ValueError, match="unknown rmw_op 'kMax'"):
        sn_scatter(torch.zeros(2), torch.zeros(1, 1), torch.zeros(1, 1, dtype=torch.int64), [0], rmw_op="kMax")
    with pytest.raises(ValueError, match="must end in an axis of 1"):
        sn_gather(torch.zeros(2, 2), torch.zeros(3, 2, dtype=torch.int64), [0], [1])
    with pytest.raises(ValueError, match=r"gather_lengths \[3\] for dims of sizes \[2\]"):
        sn_gather(torch.zeros(2, 2), torch.zeros(3, 1, dtype=torch.int64), [0], [3])


def test_multinomial_takes_the_first_index_beyond_the_number(tmp_path):
    probabilities = torch.tensor([[0.25, 0.25, 0.5]] * 5)
    numbers = torch.tensor([[0.0], [0.2], [0.25], [0.5], [0.999]])
    found = check(sn_multinomial, [probabilities, numbers], tmp_path)
    assert found.flatten().tolist() == [0, 0, 1, 2, 2]


def test_reduce_drops_its_dims(tmp_path):
    tensor = torch.randn(2, 3, 4)
    found = check(lambda t: sn_reduce(t, dim=(0, 2), fn="max"), [tensor], tmp_path)
    assert torch.equal(found, tensor.amax((0, 2)))


def test_transposed_addmm_takes_batches(tmp_path):
    bias, rows, weight = torch.randn(5), torch.randn(2, 3, 4), torch.randn(5, 4)
    product = lambda b, r, w: samba.addmm(b, r, w, beta=0.5, alpha=2.0, is_transposed=True)  # noqa: E731
    found = check(product, [bias, rows, weight], tmp_path, training=True)
    torch.testing.assert_close(found, 0.5 * bias + 2.0 * (rows @ weight.T))


def test_methods_are_functions_too(tmp_path):
    check(
        lambda x: samba.view(samba.contiguous(samba.expand(samba.unsqueeze(x, 1), 3, 2, 4)), 3, 8),
        [torch.randn(3, 4)],
        tmp_path,
    )
    check(lambda x, y: samba.add(x, y, 3.0), [torch.randn(3), torch.randn(3)], tmp_path, training=True)
    out = torch.empty(2)
    assert samba.add(torch.ones(2), torch.ones(2), out=out) is out and out.sum() == 4


def test_groupby_says_what_to_do_instead():
    with pytest.raises(NotImplementedError, match="one_hot.*cumsum"):
        samba.groupby(torch.zeros(3), num_bins=2)
