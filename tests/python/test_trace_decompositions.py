# SPDX-License-Identifier: Apache-2.0
"""Ops whose decomposition in torch differs from the op, or was wrong here: values and gradients beside eager mode."""

import beside_eager as eager
import pytest
import torch
import torch.nn.functional as F
from beside_eager import Function
from sambaflow import samba
from sambaflow._trace.errors import TraceError
from torch import nn

INF = torch.inf


def weighted(t):
    """A loss that tells every element of `t` apart."""
    return (t * torch.linspace(0.5, 1.5, t.numel()).view(t.shape)).sum()


def safe_softmax(self, x):
    return weighted(torch.ops.aten._safe_softmax(self.w + x, 1))


@pytest.mark.parametrize("inference", [False, True])
def test_rows_of_minus_infinity_give_a_safe_softmax_of_0_and_its_gradient(tmp_path, inference):
    x = torch.tensor([[0.0, 1.0, 2.0], [-INF, -INF, -INF], [-INF, 0.0, 1.0]])
    eager.check(tmp_path, Function(safe_softmax, 3, 3), x, inference=inference)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_multilabel_margin_loss_ends_at_the_first_minus_one(tmp_path, reduction):
    target = torch.tensor([[3, 0, -1, 1], [-1, 0, 1, 2], [0, 1, 2, 3]])

    def function(self, x, target):
        return weighted(F.multilabel_margin_loss(self.w * x, target, reduction=reduction))

    eager.check(tmp_path, Function(function, 3, 4), torch.randn(3, 4), target)
    eager.check(tmp_path, Function(function, 4), torch.randn(4), target[0])


@pytest.mark.parametrize("include_self", [True, False])
def test_scattered_products_of_zeros_have_finite_gradients(tmp_path, include_self):
    x = torch.tensor([[0.0, 2.0, 3.0], [1.0, 0.0, 5.0]])
    index = torch.tensor([[0, 0, 1, 2], [1, 1, 0, 0]])
    src = torch.tensor([[0.0, 3.0, 0.0, 2.0], [0.0, 0.0, 4.0, 5.0]])

    def function(self, x, index, src):
        x, src = x * self.w[0], src * self.w
        return weighted(x.scatter_reduce(1, index, src, "prod", include_self=include_self))

    eager.check(tmp_path, Function(function, 4), x, index, src)


@pytest.mark.parametrize("reduce", ["amax", "amin"])
def test_scattered_extremes_of_bools(tmp_path, reduce):
    x, index = torch.tensor([True, False, False]), torch.tensor([0, 1, 1, 0])
    src = torch.tensor([False, True, False, False])

    def function(self, x, index, src):
        both = [x.scatter_reduce(0, index, src, reduce, include_self=flag) for flag in (True, False)]
        return self.w, *both

    eager.check(tmp_path, Function(function, 1), x, index, src, inference=True)


def test_index_fill_takes_repeated_indices(tmp_path):
    def function(self, x, index):
        y = (self.w * x).index_fill(1, index, 3.0)
        return weighted(y) + weighted((self.w * x).index_fill(0, index[:1], 2.0))

    eager.check(tmp_path, Function(function, 4), torch.randn(3, 4), torch.tensor([1, 1, 2, 1]))


@pytest.mark.parametrize("alpha", [False, True])
def test_sums_of_bools_with_alpha(tmp_path, alpha):
    a, b = torch.tensor([False, False, True]), torch.tensor([True, False, True])
    eager.check(tmp_path, Function(lambda self, a, b: torch.add(a, b, alpha=alpha), 1), a, b, inference=True)


def test_the_gradient_of_ctc_loss_is_that_of_torch_for_any_log_probabilities(tmp_path):
    def function(self, x, target):
        lengths = torch.tensor([5, 4]), torch.tensor([2, 3])
        loss = F.ctc_loss(self.w * x, target, *lengths, reduction="none")
        return weighted(loss)

    eager.check(tmp_path, Function(function, 5, 2, 4), torch.randn(5, 2, 4), torch.tensor([[1, 2, 0], [3, 3, 1]]))


def test_repeats_that_are_an_input_with_output_size(tmp_path):
    def function(self, x, repeats):
        rows = (self.w * x).repeat_interleave(repeats, dim=1, output_size=5)
        return weighted(rows) + weighted((self.w * x)[0].repeat_interleave(repeats, output_size=5))

    eager.check(tmp_path, Function(function, 4), torch.randn(3, 4), torch.tensor([2, 0, 1, 2]))
    constant = Function(lambda self, x: weighted((self.w * x).repeat_interleave(torch.tensor([2, 0, 1, 2]), 1)), 4)
    eager.check(tmp_path, constant, torch.randn(3, 4))


def test_repeats_that_are_an_input_without_output_size_are_refused():
    with pytest.raises(TraceError, match="pass output_size"):
        eager.traced(Function(lambda self, x, r: x.repeat_interleave(r), 1), torch.randn(3), torch.tensor([1, 2, 1]))


def in_place(function):
    def forward(self, x, mask):
        y = self.w * x
        function(y, mask)
        return weighted(y)

    return forward


def logical(x, m):
    flags = m.clone()
    flags &= x.detach() > 0
    flags |= x.detach() < -1
    flags ^= m
    x.mul_(flags)


IN_PLACE = {
    "ldexp_": lambda x, m: x.ldexp_(torch.tensor(2)),
    "logical operators": logical,
    "xlogy_": lambda x, m: x.xlogy_(m + 2.0),
    "addr_": lambda x, m: x.addr_(torch.arange(3.0), torch.arange(4.0), alpha=0.5),
    "masked_fill_": lambda x, m: x.masked_fill_(m, 2.0),
    "index_fill_": lambda x, m: x.index_fill_(1, torch.tensor([1, 1]), 0.5),
    "clamp_": lambda x, m: x.clamp_(max=0.3),
    "relu_": lambda x, m: F.relu_(x),
    "hardtanh_": lambda x, m: F.hardtanh_(x, -0.5, 0.5),
    "dropout_ of nothing": lambda x, m: F.dropout(x, 0.0, inplace=True),
}


@pytest.mark.parametrize("kind", IN_PLACE)
def test_in_place_ops_take_the_form_with_the_same_arguments(tmp_path, kind):
    torch.manual_seed(3)
    eager.check(tmp_path, Function(in_place(IN_PLACE[kind]), 4), torch.randn(3, 4), torch.rand(3, 4) > 0.5)


# ---- embeddings


class Looked(nn.Module):
    def __init__(self, kind, **options):
        super().__init__()
        torch.manual_seed(5)
        self.table = kind(6, 3, **options)

    def forward(self, indices):
        return weighted(self.table(indices))


@pytest.mark.parametrize("padding", [None, 1, -2])
def test_gradients_scaled_by_frequency(tmp_path, padding):
    indices = torch.tensor([[1, 4, 4, 0], [4, 1, 5, 1]])
    eager.check(tmp_path, Looked(nn.Embedding, scale_grad_by_freq=True, padding_idx=padding), indices)


def test_gradients_of_bags_scaled_by_frequency_are_refused():
    with pytest.raises(TraceError, match="scale_grad_by_freq"):
        eager.traced(Looked(nn.EmbeddingBag, scale_grad_by_freq=True), torch.tensor([[1, 4], [4, 1]]))


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
@pytest.mark.parametrize("padding", [None, 4, -1, -6])
def test_a_negative_padding_index_of_a_bag_counts_from_the_end(tmp_path, mode, padding):
    def function(self, indices, offsets):
        return weighted(F.embedding_bag(indices, self.w, offsets, mode=mode, padding_idx=padding))

    eager.check(tmp_path, Function(function, 6, 3), torch.tensor([1, 4, 5, 0, 5, 5, 2]), torch.tensor([0, 3, 5]))


# ---- counts and grouped products


@pytest.mark.parametrize("low, high", [(0, 3), (-1.5, 2.0), (0, 0)])
def test_histc(tmp_path, low, high):
    def function(self, x):
        return self.w, torch.histc(x, 4, low, high), torch.histc(x[:1], 5)

    eager.check(tmp_path, Function(function, 1), torch.tensor([0.0, 1, 1, 3, 2, 3, -1, 2.5, 7]), inference=True)


@pytest.mark.parametrize("offsets", [[2, 2, 5, 7], [0, 7, 7, 7], [1, 2, 3, 7]])
def test_products_of_groups_of_rows(tmp_path, offsets):
    def function(self, x, offsets):
        return weighted(F.grouped_mm(self.w[0, :, 0] * x, self.w, offs=offsets))

    eager.check(tmp_path, Function(function, 4, 8, 16), torch.randn(7, 8), torch.tensor(offsets, dtype=torch.int32))


def test_the_variance_of_a_gaussian_loss_is_clamped_as_in_torch(tmp_path):
    def function(self, x, target, var):
        small = F.gaussian_nll_loss(x, target, self.w * var, full=True, eps=0.2, reduction="none")
        return weighted(small) + F.gaussian_nll_loss(x, target, self.w[:, :1].abs(), reduction="sum")

    eager.check(tmp_path, Function(function, 3, 4), torch.randn(3, 4), torch.randn(3, 4), torch.rand(3, 4))


def test_a_negative_variance_shows(tmp_path):
    model = Function(lambda self, x: F.gaussian_nll_loss(x, x, self.w - 1), 3)
    (got,) = eager.compiled_outputs(tmp_path, model, torch.randn(3), inference=True)
    assert bool(got.isnan())


def test_attention_broadcasts_batches(tmp_path):
    def function(self, q, k, v):
        return weighted(F.scaled_dot_product_attention(q * self.w, k, v, is_causal=True))

    eager.check(tmp_path, Function(function, 4), torch.randn(3, 4), torch.randn(2, 1, 3, 4), torch.randn(2, 3, 4))


def test_single_elements(tmp_path):
    def function(self, x, index):
        y = self.w[0] * x.sum()
        return F.prelu(-y, self.w[:1]) + y.index_copy(0, index, y.reshape(1) * 3)

    eager.check(tmp_path, Function(function, 3), torch.ones(3), torch.tensor([0]))


def test_an_embedding_with_max_norm_trains(tmp_path):
    """Rows are bounded in the table itself; the optimizer goes on from there."""
    indices = torch.tensor([[1, 4, 4, 0], [4, 1, 5, 1]])
    model = Looked(nn.Embedding, max_norm=0.5)
    reference = Looked(nn.Embedding, max_norm=0.5)
    samba.from_torch_model_(model)
    named = [samba.from_torch_tensor(indices, name="x")]
    optimizer = samba.optim.SGD(model.parameters(), lr=0.1)
    config = {"pef_name": "model", "output_folder": str(tmp_path), "log_level": "error"}
    pef = samba.session.compile(model, named, optimizer, config_dict=config)
    samba.utils.trace_graph(model, named, optimizer, pef=pef)
    for _ in range(3):
        samba.session.run(input_tensors=named, output_tensors=model.output_tensors, hyperparam_dict={"lr": 0.1})
        reference.zero_grad()
        reference(indices).backward()
        with torch.no_grad():
            reference.table.weight -= 0.1 * reference.table.weight.grad
    samba.session.to_cpu(model)
    torch.testing.assert_close(samba.to_torch(model.table.weight).detach(), reference.table.weight.detach())


def test_logits_of_another_precision_than_their_targets_are_compared_in_that_of_both(tmp_path):
    def function(self, x, target):
        logits = (x * self.w).bfloat16()
        wider = F.binary_cross_entropy_with_logits(logits, target)
        return wider, F.binary_cross_entropy_with_logits(logits.float(), target)

    got = eager.compiled_outputs(tmp_path, Function(function, 4), torch.randn(3, 4), torch.rand(3, 4), inference=True)
    assert got[0].dtype == torch.float32
    torch.testing.assert_close(got[0], got[1], rtol=1e-6, atol=0)


@pytest.mark.parametrize("loss", ["huber_loss", "soft_margin_loss", "smooth_l1_loss", "mse_loss"])
@pytest.mark.parametrize("reduction", ["none", "mean"])
@pytest.mark.parametrize("swapped", [False, True])
def test_losses_of_mixed_precision_have_the_dtype_of_eager_mode(loss, reduction, swapped, tmp_path):
    def forward(model, x, y):
        pair = (y, x * model.w) if swapped else (x * model.w, y)
        return getattr(F, loss)(*pair, reduction=reduction)

    x, y = torch.randn(4, 3), torch.randn(4, 3, dtype=torch.float64)
    eager.check(tmp_path, eager.Function(forward), x, y, inference=True)  # dtypes, too


SCALAR = {
    "kthvalue": lambda x: x.kthvalue(1, -1)[0],
    "sort": lambda x: x.sort()[0],
    "topk": lambda x: x.topk(1)[0],
    "median": lambda x: x.median(0)[0],
    "mode": lambda x: x.mode()[0],
    "cummax": lambda x: x.cummax(0)[0],
    "cumsum": lambda x: x.cumsum(0),
    "flip": lambda x: x.flip(()),
    "roll": lambda x: x.roll(0),
    "amax": lambda x: x.amax(),
    "index_select": lambda x: x.index_select(0, torch.tensor([0])),
    "nan_to_num": lambda x: x.nan_to_num(),
    "renorm": lambda x: x.reshape(1, 1).renorm(2, 0, 1e9),
    "dropout": lambda x: F.dropout(x, 0.0),
}


@pytest.mark.parametrize("kind", SCALAR)
def test_what_changes_nothing_gives_memory_of_its_own_where_eager_mode_does(tmp_path, kind):
    def function(self, x):
        y = x * self.w.sum()
        found = SCALAR[kind](y)
        y.mul_(2.0)
        return found * 3.0, y

    eager.check(tmp_path, Function(function, 2), torch.tensor(-0.8), inference=True)
