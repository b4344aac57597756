# SPDX-License-Identifier: Apache-2.0
"""Plain tensors made in forward beside traced ones, and dropout outside of modules."""

import beside_eager as eager
import pytest
import torch
import torch.nn.functional as F
from beside_eager import Function
from torch import nn

X = torch.tensor([[1.0, -2.0, 3.0, 0.5]])
LIKE = {
    "type_as a buffer": lambda s, x: torch.arange(4).type_as(s.b),
    "type_as an input": lambda s, x: torch.arange(4).type_as(x),
    "type_as a parameter": lambda s, x: torch.arange(4).type_as(s.w),
    "type_as of another type": lambda s, x: torch.tensor([1.7, 2.2, 3.0, -1.5]).type_as(x.long()) * 2,
    "to another": lambda s, x: torch.arange(4).to(s.b),
    "view_as": lambda s, x: torch.arange(4.0).view(2, 2).view_as(s.b),
    "reshape_as": lambda s, x: torch.arange(4.0).view(2, 2).t().reshape_as(s.b),
    "expand_as": lambda s, x: torch.tensor([2.0]).expand_as(s.b),
    "new_tensor": lambda s, x: s.b.new_tensor([1.0, 2.0, 3.0, 4.0]),
    "an index": lambda s, x: s.b[torch.tensor([3, 1, 0, 0]).type_as(x.long())],
    "python integers": lambda s, x: torch.arange(4.0) * int(torch.tensor(3.0).type_as(x).item()),
    "inverse frequencies": lambda s, x: torch.outer(torch.arange(4).type_as(s.b), s.b[:1]).squeeze(1).sin(),
}


@pytest.mark.parametrize("kind", LIKE)
def test_plain_tensors_take_type_and_shape_of_traced_ones(tmp_path, kind):
    def function(self, x):
        return (self.w * (x + LIKE[kind](self, x))).sum()

    model = Function(function, 4)
    model.register_buffer("b", torch.tensor([0.5, 2.0, -1.0, 3.0]))
    eager.check(tmp_path, model, X)


@pytest.mark.parametrize("loss", [F.cross_entropy, F.nll_loss])
def test_losses_of_plain_logits_and_traced_labels(tmp_path, loss):
    logits = torch.tensor([[0.5, 1.5, -1.0], [0.2, 0.1, 0.3]])
    eager.check(tmp_path, Function(lambda s, y: s.w * loss(logits, y), 1), torch.tensor([2, 0]), inference=True)


def test_constants_may_be_made_with_vmap(tmp_path):
    def function(self, x):
        table = torch.vmap(lambda row: row.cumsum(0) + torch.ones(3))(torch.arange(12.0).view(4, 3))
        return torch.vmap(lambda row: (row * self.w).sum())(x.T @ x @ table.sum(1, keepdim=True).T[:, :4].T).sum()

    eager.check(tmp_path, Function(function, 1), X)


# ---- dropout in inference

ONES = torch.ones(2, 40, 50)
ALWAYS = {
    "dropout": lambda x: F.dropout(x, 0.5),
    "torch.dropout": lambda x: torch.dropout(x, 0.5, True),
    "in place": lambda x: F.dropout(x * 1, 0.5, training=True, inplace=True),
    "dropout1d": lambda x: F.dropout1d(x, 0.5),
    "dropout2d": lambda x: F.dropout2d(x.unsqueeze(-1), 0.5),
    "alpha_dropout": lambda x: F.alpha_dropout(x, 0.5, training=True),
    "feature_alpha_dropout": lambda x: F.feature_alpha_dropout(x, 0.5, training=True),
    "native_dropout": lambda x: torch.native_dropout(x, 0.5, True)[0],
}


@pytest.mark.parametrize("kind", ALWAYS)
def test_functional_dropout_is_applied_in_inference(tmp_path, kind):
    (got,) = eager.compiled_outputs(
        tmp_path, Function(lambda s, x: ALWAYS[kind](x * 1) + 0 * s.w, 1), ONES, inference=True
    )
    values = sorted(set(got.flatten().tolist()))
    expected = sorted(set(ALWAYS[kind](ONES).flatten().tolist()))
    assert values == pytest.approx(expected, rel=1e-4), values
    share = float((got == values[0]).float().mean())
    assert 0.35 < share < 0.65


def test_attention_drops_in_inference_what_eager_drops(tmp_path):
    q = torch.randn(4, 8, 64, 16, generator=torch.Generator().manual_seed(0))

    def function(self, q):
        return F.scaled_dot_product_attention(q, q, torch.ones_like(q), dropout_p=0.5) + 0 * self.w

    (got,) = eager.compiled_outputs(tmp_path, Function(function, 1), q, inference=True)
    assert float(got.std()) > 0.1 and abs(float(got.mean()) - 1) < 0.1


class Modules(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.ones(1))
        self.drops = nn.Sequential(nn.Dropout(0.5), nn.AlphaDropout(0.5), nn.RReLU(0.1, 0.9))

    def forward(self, x):
        return F.dropout(self.drops(x * self.w), 0.5, training=self.training)


@pytest.mark.parametrize("training", [False, True])
def test_modules_drop_nothing_in_inference_whatever_their_mode(tmp_path, training):
    model = Modules().train(training)
    (got,) = eager.compiled_outputs(tmp_path, model, X, inference=True)
    torch.testing.assert_close(got, Modules().eval()(X).detach())
    assert model.training == training and model.drops[0].training == training


@pytest.mark.parametrize("size", [1, 2, 5])
def test_constants_that_are_pieces_of_other_memory(tmp_path, size):
    """A single element counts as contiguous with any stride."""

    def forward(self, x):
        piece = torch.arange(float(size)).add(0.5)[::2]
        return (x[:1] * piece).sum() + self.w.sum(), piece, torch.eye(size)[:, ::2].T[0]

    eager.check(tmp_path, Function(forward, 3), torch.ones(3))


@pytest.mark.parametrize("shape", [(), (3,)])
def test_memory_that_nothing_was_written_to_is_the_same_in_every_trace(shape):
    """A process that compiles and one that runs would otherwise have two programs."""

    def forward(self, x):
        dropped = torch.nn.functional.dropout(torch.ones_like(x.sum()).expand(shape), 0.5)
        nothing = torch.empty(shape) * torch.empty_permuted(shape, list(range(len(shape))))
        return (x * nothing * dropped).sum() + self.w.sum()

    texts = []
    for value in (1.5, 2.5):
        torch.full((64, *shape), value)  # what the allocator gives out next
        program = eager.traced(Function(forward, 3), torch.ones(3))
        texts.append((program.text, program.blobs))
    assert texts[0] == texts[1]
