# SPDX-License-Identifier: Apache-2.0
"""Every row of src/ir/traced.def is reached from a call that users write, and from every usual spelling of it."""

import re
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from sambaflow import samba
from sambaflow._trace.program import trace
from torch import nn

ROOT = Path(__file__).resolve().parent.parent.parent


def traced_rows(function, *inputs, inference=True):
    """Names of the ops recorded for `function(*inputs)`; in training the floating inputs want gradients."""

    class Model(nn.Module):
        def forward(self, *args):
            return function(*args)

    model = Model()
    named = [samba.from_torch_tensor(t, name=f"x{i}") for i, t in enumerate(inputs)]
    text = trace(model, named, inference=inference).text
    return [m.group(1) for m in re.finditer(r"^(?:[%\d, ]+ = )?(\w+)\(", text, re.MULTILINE)]


X = torch.rand(4, 6) + 0.5
M = torch.randn(6, 5)
I4 = torch.randint(0, 4, (4,))
B = torch.randn(4, 6) > 0
INT = torch.randint(1, 9, (4, 6))
IMAGE = torch.randn(2, 4, 8, 8)
W = torch.randn(3, 4, 3, 3)
Q = torch.randn(2, 3, 5, 8)
C = torch.rand(4)

UNARY = {
    name: (getattr(torch, name), getattr(torch.Tensor, name))
    for name in "neg abs sign floor ceil trunc round exp expm1 log log1p log2 log10 sqrt rsqrt reciprocal square sin "
    "cos tan asin acos atan sinh cosh tanh sigmoid erf erfc logical_not isnan isinf isfinite relu "
    "exp2 asinh acosh atanh".split()
}
BINARY = "add sub mul div pow maximum minimum remainder fmod atan2".split()
BINARY += "eq ne lt le gt ge logical_and logical_or logical_xor".split()
BINARY += ["outer"]
INTEGER_BINARY = "bitwise_and bitwise_or bitwise_xor bitwise_left_shift bitwise_right_shift".split()

# row -> [(function, inputs), ...]
CALLS = {name: [(f, (X,)) for f in functions] for name, functions in UNARY.items()}
CALLS |= {name: [(getattr(torch, name), (X[0], X[1]))] for name in BINARY}
CALLS |= {name: [(getattr(torch, name), (INT, INT))] for name in INTEGER_BINARY}
CALLS |= {
    "symbol": [(lambda x: x + 1, (X,))],
    "constant": [(lambda x: x + torch.tensor([1.0, 4.0, 2.0, 8.0, 5.0, 7.0]), (X,))],
    "full": [(lambda x: x * 2, (X,)), (lambda x: x + torch.ones(6), (X,)), (lambda x: x + torch.zeros_like(x), (X,))],
    "arange": [(lambda x: x + torch.arange(6), (X,))],
    "rand": [(lambda x: x + torch.rand(6), (X,)), (torch.rand_like, (X,)), (torch.bernoulli, (X,))],
    "randn": [(lambda x: x + torch.randn(6), (X,)), (torch.randn_like, (X,)), (lambda x: x.clone().normal_(), (X,))],
    "dropout": [(F.dropout, (X,)), (nn.Dropout(0.3), (X,))],
    "to": [
        (lambda x: x.to(torch.bfloat16), (X,)),
        (lambda x: x.double(), (X,)),
        (lambda x: x.int(), (X,)),
        (lambda x, y: x.type_as(y), (INT, X)),
        (lambda x: x + 1.5, (INT,)),
    ],
    "clone": [(torch.clone, (X,)), (lambda x: x.to(torch.float32, copy=True), (X,))],
    "contiguous": [(lambda x: x.t().contiguous(), (X,))],
    "detach": [(torch.detach, (X,)), (lambda x: x.data, (X,))],
    "bitwise_not": [(torch.bitwise_not, (INT,)), (lambda x: ~x, (INT,))],
    "gelu": [(F.gelu, (X,)), (lambda x: F.gelu(x, approximate="tanh"), (X,)), (nn.GELU(), (X,))],
    "silu": [(F.silu, (X,))],
    "leaky_relu": [(lambda x: F.leaky_relu(x, 0.2), (X,)), (nn.LeakyReLU(0.1, inplace=True), (X * 1,))],
    "prelu": [(lambda x: F.prelu(x, torch.tensor([0.1])), (X,))],
    "elu": [(F.elu, (X,)), (F.selu, (X,)), (F.celu, (X,))],
    "softplus": [(F.softplus, (X,))],
    "hardtanh": [(F.hardtanh, (X,)), (F.relu6, (X,))],
    "hardsigmoid": [(F.hardsigmoid, (X,))],
    "hardswish": [(F.hardswish, (X,))],
    "mish": [(F.mish, (X,))],
    "logsigmoid": [(F.logsigmoid, (X,))],
    "rsub": [(lambda x: 2 - x, (X,)), (lambda x: torch.rsub(x, x), (X,))],
    "where": [(lambda b, x: torch.where(b, x, 0.0), (B, X)), (lambda x: F.threshold(x, 0.1, 0.0), (X,))],
    "clamp": [
        (lambda x: x.clamp(0, 1), (X,)),
        (lambda x: x.clamp_min(0), (X,)),
        (lambda x, y: torch.clamp(x, y), (X, X)),
    ],
    "masked_fill": [(lambda x, b: x.masked_fill(b, 0.0), (X, B)), (lambda x, b: _put_mask(x, b), (X, B))],
    "lerp": [(lambda x, y: torch.lerp(x, y, 0.5), (X, X))],
    "addcmul": [(lambda x: torch.addcmul(x, x, x, value=0.5), (X,))],
    "addcdiv": [(lambda x: torch.addcdiv(x, x, x), (X,))],
    "sum": [(torch.sum, (X,)), (lambda x: x.sum((0, 1), keepdim=True), (X,))],
    "mean": [(torch.mean, (X,)), (lambda x: x.mean(-1), (X,))],
    "prod": [(torch.prod, (X,)), (lambda x: x.prod(1), (X,))],
    "amax": [(torch.amax, (X,)), (torch.max, (X,))],
    "amin": [(lambda x: x.amin((0, 1)), (X,)), (torch.min, (X,))],
    "max": [(lambda x: torch.max(x, dim=-1, keepdim=True), (X,)), (lambda x: x.max(0)[0], (X,))],
    "min": [(lambda x: x.min(dim=0).values, (X,))],
    "argmax": [(torch.argmax, (X,)), (lambda x: x.argmax(-1), (X,))],
    "argmin": [(lambda x: x.argmin(1), (X,))],
    "any": [(torch.any, (B,)), (lambda b: b.any(1), (B,))],
    "all": [(torch.all, (B,)), (lambda b: b.all(dim=0, keepdim=True), (B,))],
    "var": [(torch.var, (X,)), (lambda x: x.var(1, unbiased=False), (X,)), (lambda x: torch.var_mean(x, 1), (X,))],
    "std": [(torch.std, (X,)), (lambda x: x.std(1), (X,))],
    "norm": [
        (torch.norm, (X,)),
        (lambda x: x.norm(p=1, dim=1), (X,)),
        (torch.linalg.vector_norm, (X,)),
        (F.normalize, (X,)),
    ],
    "logsumexp": [(lambda x: torch.logsumexp(x, 1), (X,))],
    "cumsum": [(lambda x: x.cumsum(1), (X,))],
    "cumprod": [(lambda x: x.cumprod(1), (X,))],
    "softmax": [(lambda x: F.softmax(x, -1), (X,)), (lambda x: x.softmax(1), (X,)), (nn.Softmax(dim=1), (X,))],
    "log_softmax": [(lambda x: F.log_softmax(x, 1), (X,))],
    "layer_norm": [(nn.LayerNorm(6, elementwise_affine=False), (X,))],
    "rms_norm": [(lambda x: F.rms_norm(x, (6,)), (X,))],
    "batch_norm": [(nn.BatchNorm2d(4, affine=False, track_running_stats=False), (IMAGE,))],
    "group_norm": [(lambda x: F.group_norm(x, 2), (IMAGE,))],
    "instance_norm": [(lambda x: F.instance_norm(x), (IMAGE,))],
    "cross_entropy": [(F.cross_entropy, (X, I4)), (lambda x: F.cross_entropy(x, torch.softmax(x, 1)), (X,))],
    "nll_loss": [(F.nll_loss, (X, I4)), (lambda x: F.nll_loss(x, torch.zeros(2, 8, 8, dtype=torch.long)), (IMAGE,))],
    "mse_loss": [(F.mse_loss, (X, X)), (nn.MSELoss(reduction="none"), (X, X))],
    "l1_loss": [(F.l1_loss, (X, X))],
    "smooth_l1_loss": [(F.smooth_l1_loss, (X, X))],
    "huber_loss": [(F.huber_loss, (X, X))],
    "binary_cross_entropy": [(F.binary_cross_entropy, (C, C))],
    "binary_cross_entropy_with_logits": [
        (F.binary_cross_entropy_with_logits, (C, C)),
        (lambda x, y: nn.BCEWithLogitsLoss(pos_weight=C)(x, y), (C, C)),
    ],
    "kl_div": [(lambda x, y: F.kl_div(x, y, reduction="batchmean"), (X, X))],
    "matmul": [
        (torch.matmul, (X, M)),
        (lambda a, b: a @ b, (X, M)),
        (torch.mm, (X, M)),
        (torch.mv, (X, M[:, 0].clone())),
    ],
    "bmm": [(torch.bmm, (IMAGE[0], IMAGE[1]))],
    "linear": [(F.linear, (X, M.t().clone()))],
    "addmm": [
        (lambda x, m: torch.addmm(torch.rand(5), x, m), (X, M)),
        (lambda x, m: samba.addmm(torch.rand(5), x, m, is_transposed=True), (X, M.t().clone())),
    ],
    "baddbmm": [(torch.baddbmm, (IMAGE[0], IMAGE[0], IMAGE[1]))],
    "einsum": [
        (lambda x, m: torch.einsum("ij,jk->ik", x, m), (X, M)),
        (lambda x, m: torch.einsum("...j,jk", x, m), (X, M)),
    ],
    "scaled_dot_product_attention": [
        (F.scaled_dot_product_attention, (Q, Q, Q)),
        (lambda q: F.scaled_dot_product_attention(q, q, q, is_causal=True), (Q,)),
    ],
    "conv": [
        (lambda x: F.conv2d(x, W), (IMAGE,)),
        (lambda x: F.conv2d(x, W, padding="same"), (IMAGE,)),
        (lambda x: F.conv_transpose2d(x, W.transpose(0, 1)), (IMAGE,)),
        (lambda x: F.conv2d(x, W), (IMAGE[0],)),
        (lambda x: F.conv1d(x, W[:, :, 0], stride=2), (IMAGE[:, :, 0],)),
    ],
    "max_pool": [
        (lambda x: F.max_pool2d(x, 2), (IMAGE,)),
        (nn.MaxPool1d(3, 2, 1), (IMAGE[0],)),
        (nn.MaxPool2d(2), (IMAGE[0],)),
    ],
    "avg_pool": [(lambda x: F.avg_pool2d(x, 2), (IMAGE,)), (nn.AvgPool1d(2), (IMAGE[0],))],
    "adaptive_avg_pool": [
        (lambda x: F.adaptive_avg_pool2d(x, 1), (IMAGE,)),
        (nn.AdaptiveAvgPool2d((2, None)), (IMAGE,)),
    ],
    "adaptive_max_pool": [(lambda x: F.adaptive_max_pool2d(x, 2), (IMAGE,))],
    "interpolate": [
        (lambda x: F.interpolate(x, scale_factor=2), (IMAGE,)),
        (nn.Upsample(16, mode="nearest-exact"), (IMAGE,)),
        (lambda x: F.interpolate(x, scale_factor=1.7, mode="bilinear", align_corners=True), (IMAGE,)),
    ],
    "pixel_shuffle": [(lambda x: F.pixel_shuffle(x, 2), (IMAGE,))],
    "reshape": [
        (lambda x: torch.reshape(x, [x.shape[0], -1]), (IMAGE,)),
        (lambda x: x.reshape(-1), (X.t(),)),
        (lambda x: x.unflatten(1, (2, 3)), (X,)),
    ],
    "view": [(lambda x: x.view(-1, 2), (X,))],
    "flatten": [(lambda x: torch.flatten(x, 1), (IMAGE,)), (nn.Flatten(), (IMAGE,)), (lambda x: x.ravel(), (X,))],
    "permute": [(lambda x: x.permute(0, 2, 3, 1), (IMAGE,)), (lambda x: x.movedim(1, -1), (IMAGE,))],
    "transpose": [
        (lambda x: x.transpose(0, 1), (X,)),
        (lambda x: x.T, (X,)),
        (lambda x: x.mT, (IMAGE,)),
        (torch.t, (X,)),
        (lambda x: x.swapaxes(0, 1), (X,)),
    ],
    "expand": [(lambda x: x[None].expand(3, -1, -1), (X,)), (lambda x, y: x[0].expand_as(y), (X, X))],
    "squeeze": [(lambda x: x[None].squeeze(0), (X,)), (lambda x: x[None].squeeze(), (X,))],
    "unsqueeze": [(lambda x: x.unsqueeze(-1), (X,))],
    "getitem": [(lambda x: x[:, 1:3], (X,)), (lambda x: x[..., 0], (X,)), (lambda x: x[None, 1, ::2], (X,))],
    "select": [
        (lambda x: x.select(1, 2), (X,)),
        (lambda x: torch.unbind(x, 1), (X,)),
        (lambda x: [r for r in x], (X,)),
    ],
    "narrow": [(lambda x: x.narrow(0, 1, 2), (X,))],
    "split": [
        (lambda x: x.split(2, dim=1), (X,)),
        (lambda x: torch.chunk(x, 4, 1), (X,)),
        (lambda x: x.split([1, 3], 0), (X,)),
    ],
    "flip": [(lambda x: x.flip(0), (X,))],
    "cat": [(lambda x, y: torch.cat([x, y], -1), (X, X)), (lambda x: torch.cat([x, torch.ones(4, 1)], 1), (X,))],
    "stack": [(lambda x, y: torch.stack([x, y], 1), (X, X))],
    "pad": [
        (lambda x: F.pad(x, (1, 2)), (X,)),
        (lambda x: F.pad(x, (1, 1, 1, 1), mode="reflect"), (IMAGE,)),
        (lambda x: F.pad(x, (-1, 2)), (X,)),
    ],
    "repeat": [(lambda x: x.repeat(2, 1, 3), (X,)), (lambda x: x.tile(2), (X,))],
    "repeat_interleave": [(lambda x: x.repeat_interleave(2, 0), (X,)), (lambda x: torch.repeat_interleave(x, 3), (X,))],
    "roll": [(lambda x: x.roll(1, 0), (X,)), (lambda x: x.roll(2), (X,))],
    "tril": [(torch.tril, (X,))],
    "triu": [(lambda x: x.triu(1), (X,))],
    "triu_fill": [(lambda x: samba.triu_fill(x, -1.0), (X,))],
    "diagonal": [(torch.diagonal, (X,)), (lambda x: x.diagonal(1), (X,))],
    "unfold": [(lambda x: x.unfold(1, 3, 2), (X,))],
    "embedding": [(lambda i, w: F.embedding(i, w), (I4, X)), (lambda i, w: F.embedding(i, w, padding_idx=0), (I4, X))],
    "index_select": [(lambda x, i: x.index_select(0, i), (X, I4))],
    "gather": [
        (lambda x, i: x.gather(1, i[:, None]), (X, I4)),
        (lambda x, i: torch.take_along_dim(x, i[:, None], 1), (X, I4)),
    ],
    "scatter": [
        (lambda x, i: x.scatter(1, i[:, None], 1.0), (X, I4)),
        (lambda x, i: x.scatter_add(1, i[:, None], x), (X, I4)),
        (lambda x, i: x.scatter_reduce(1, i[:, None], x, "amax"), (X, I4)),
    ],
    "index_add": [(lambda x, i: x.index_add(0, i, x), (X, I4))],
    "index": [
        (lambda x, i: x[i], (X, I4)),
        (lambda x, i: x[:, i], (X, I4)),
        (lambda x, i: x[i, i], (X, I4)),
        (lambda x: x[torch.tensor([True, False, True, False])], (X,)),
        (lambda x: x[[0, 2]], (X,)),
    ],
    "index_put": [(lambda x, i: x.index_put((i,), x), (X, I4)), (lambda x, i: _put(x, i), (X, I4))],
    "slice_scatter": [(lambda x: torch.slice_scatter(x, x[:, :2], 1, 2, 4), (X,)), (lambda x: _put_slice(x), (X,))],
    "one_hot": [(lambda i: F.one_hot(i, 5), (I4,))],
    "topk": [(lambda x: torch.topk(x, 2, dim=1, largest=True, sorted=True), (X,))],
    "sort": [(lambda x: x.sort(1, descending=True), (X,)), (lambda x: torch.sort(x, stable=True), (X,))],
    "argsort": [(lambda x: x.argsort(1), (X,))],
    "searchsorted": [
        (lambda x: torch.searchsorted(x.sort(1)[0], x, side="right"), (X,)),
        (lambda x: torch.searchsorted(x, x, sorter=x.argsort(1), out_int32=True), (X,)),
        (lambda x: torch.searchsorted(x[0].sort()[0], 0.5), (X,)),
        (lambda x: torch.bucketize(x, torch.tensor([0.0, 1.0]), right=True), (X,)),
        (lambda x: torch.bucketize(0.5, x[0].sort()[0]), (X,)),
    ],
}
STATEMENTS = {"output", "update", "optimizer"}
OF_BACKWARD = {"cotangent", "custom_gradient", "straight_through"}  # recorded in training alone


class _Straight(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.round()

    @staticmethod
    def backward(ctx, grad):
        return grad


def _rounded(x):
    y = _Straight.apply(x)
    y.detach().clamp_(-1, 1)
    return y


def _put_mask(x, mask):
    x = x.clone()
    x[mask] = 0.0
    return x


def _put(x, index):
    x = x.clone()
    x[index] = 1.0
    return x


def _put_slice(x):
    x = x.clone()
    x[:, 1:3] = 0.0
    return x


def recurrent(name, gates):
    """Calls of a layer and of its cell: 5 steps of 2 rows, 4 wide, 3 hidden; lstm has a second state."""
    states, hidden = (2 if name == "lstm" else 1), torch.randn(1, 2, 3)
    weights = (torch.randn(3 * gates, 4), torch.randn(3 * gates, 3), torch.randn(3 * gates), torch.randn(3 * gates))
    layer, cell = getattr(torch, name), getattr(torch, f"{name}_cell")

    def run(x, *rest):
        first = rest[:2] if states == 2 else rest[0]
        return layer(x, first, rest[states:], True, 1, 0.0, False, False, False)

    def step(x, *rest):
        return cell(x, rest[:2] if states == 2 else rest[0], *rest[states:])

    return {
        name: [(run, (torch.randn(5, 2, 4), *[hidden] * states, *weights))],
        f"{name}_cell": [(step, (torch.randn(2, 4), *[hidden[0]] * states, *weights))],
    }


for _name, _gates in (("lstm", 4), ("gru", 3), ("rnn_tanh", 1), ("rnn_relu", 1)):
    CALLS |= recurrent(_name, _gates)


def rows_of_table():
    text = (ROOT / "src/ir/traced.def").read_text()
    return set(re.findall(r'^TRACED\(\w+, +"(\w+)"', text, re.MULTILINE))


def test_every_row_has_a_call():
    assert rows_of_table() - STATEMENTS - OF_BACKWARD == set(CALLS)


@pytest.mark.parametrize("row", sorted(OF_BACKWARD))
def test_backward_of_the_program_reaches_row(row):
    assert row in traced_rows(_rounded, X.clone().requires_grad_(), inference=False)


@pytest.mark.parametrize("row, number", [(row, number) for row, calls in CALLS.items() for number in range(len(calls))])
def test_call_reaches_row(row, number):
    function, inputs = CALLS[row][number]
    assert row in traced_rows(function, *inputs)
