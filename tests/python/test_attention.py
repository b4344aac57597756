# SPDX-License-Identifier: Apache-2.0
"""Attention in blocks: values and gradients against f64 beside those of eager PyTorch, every form of mask, grouped
heads, dropout, forms that are written out, and memory that is linear in the tokens."""

import copy
import json
import math
import os
import subprocess

import pytest
import torch
import torch.nn.functional as F
from sambaflow import samba
from sambaflow.samba import utils
from torch import nn

attend = F.scaled_dot_product_attention


class Model(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *inputs):
        return self.function(*inputs)


def draw(*shapes, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(*shape, generator=generator) for shape in shapes]


class Compiled:
    """A function of floating inputs in Leat, with its gradients for the cotangent `seed` unless that is None."""

    def __init__(self, folder, function, inputs, seed=None, name="attention", **config):
        samba.session.args = None
        self.model, self.seed = Model(function), seed
        samba.from_torch_model_(self.model)
        self.inputs = [samba.from_torch_tensor(x.clone(), name=f"x{i}") for i, x in enumerate(inputs)]
        self.floating = [x for x, like in zip(self.inputs, inputs, strict=True) if like.is_floating_point()]
        for x in self.floating if seed is not None else ():
            x.requires_grad_()
        how = {"inference": True} if seed is None else {"init_output_grads": False, "loss_indices": [0]}
        settings = {"output_folder": str(folder), "pef_name": name, "log_level": "error", **config}
        pef = self.path = samba.session.compile(self.model, self.inputs, name=name, config_dict=settings, **how)
        how.pop("inference", None)
        utils.trace_graph(self.model, self.inputs, pef=pef, **how)

    def run(self):
        """The result, and the gradients."""
        types = ["fwd"] if self.seed is None else ["fwd", "bckwd"]
        more = {} if self.seed is None else {"grad_of_outputs": [self.seed]}
        result = samba.session.run(self.inputs, self.model.output_tensors, section_types=types, **more)
        found = samba.to_torch(result[0] if isinstance(result, (list, tuple)) else result).clone()
        return [found, *(samba.to_torch(x.sn_grad).clone() for x in self.floating if self.seed is not None)]

    def information(self):
        """What `leat info` says of the file."""
        command = os.environ["LEAT_COMMAND"]
        done = subprocess.run([command, "info", "--json", self.path], capture_output=True, text=True, check=True)
        return json.loads(done.stdout)


def in_blocks(compiled):
    return compiled.information()["version"] == [2, 2]  # which has attention


def eager(function, inputs, seed, dtype=torch.float32):
    leaves = [x.to(dtype).requires_grad_() if x.is_floating_point() else x for x in inputs]
    result = function(*leaves)
    wanted = [x for x in leaves if x.requires_grad]
    gradients = torch.autograd.grad(result, wanted, seed.to(dtype), allow_unused=True)
    return [result.detach(), *(torch.zeros_like(x) if g is None else g for g, x in zip(gradients, wanted, strict=True))]


def check(folder, function, inputs, *, times=2.0):
    """Values and gradients are no further from f64 than `times` eager's, or some roundings of the largest number."""
    with torch.no_grad():
        shape = function(*inputs).shape
    (seed,) = draw(shape, seed=7)
    exact = eager(function, inputs, seed, torch.float64)
    theirs = eager(function, inputs, seed)
    found = Compiled(folder, function, inputs, seed).run()
    for index, (want, near, have) in enumerate(zip(exact, theirs, found, strict=True)):
        assert torch.equal(want.isnan(), have.isnan()), index
        scale = float(want.nan_to_num(0, 0, 0).abs().max())
        error, allowed = (float((x.double() - want).nan_to_num(0, 0, 0).abs().max()) for x in (have, near))
        assert error <= max(times * allowed, 4e-6 * scale), (index, error, allowed, scale)


def lower_triangle(queries, keys):
    return torch.ones(queries, keys, dtype=torch.bool).tril()


def window(queries, keys, width):
    return lower_triangle(queries, keys) & ~torch.ones(queries, keys, dtype=torch.bool).tril(-width)


def padding(batch, keys):
    return torch.stack([torch.arange(keys) < keys - 37 * i for i in range(batch)])[:, None, None, :]


def additive(mask):
    return torch.where(mask, 0.0, -math.inf)


B, H, L, S, E = 2, 3, 300, 260, 40
QKV = (B, H, L, E), (B, H, S, E), (B, H, S, E)
SQUARE = ((B, H, L, E),) * 3
MASKS = {
    "none": (attend, QKV),
    "causal": (lambda q, k, v: attend(q, k, v, is_causal=True), SQUARE),
    "causal, more queries": (lambda q, k, v: attend(q, k, v, is_causal=True), QKV),
    "causal, more keys": (lambda q, k, v: attend(q, k, v, is_causal=True), (QKV[1], QKV[0], QKV[0])),
    "bool": (lambda q, k, v: attend(q, k, v, lower_triangle(L, S)), QKV),
    "window": (lambda q, k, v: attend(q, k, v, window(L, L, 50)), SQUARE),
    "padding": (lambda q, k, v: attend(q, k, v, padding(B, S)), QKV),
    "added": (lambda q, k, v: attend(q, k, v, additive(lower_triangle(L, S))), QKV),
    "added, small": (lambda q, k, v: attend(q, k, v, (1.0 - padding(B, S).float()) * -1e4), QKV),
    "nothing in some rows": (lambda q, k, v: attend(q, k, v, lower_triangle(L, S).tril(-20)), QKV),
    "scale": (lambda q, k, v: attend(q, k, v, scale=0.3), QKV),
    "scale 0": (lambda q, k, v: attend(q, k, v, scale=0.0), QKV),
    "other values": (attend, (*QKV[:2], (B, H, S, 24))),
    "one dim less": (attend, (QKV[0][1:], QKV[1][1:], QKV[2][1:])),
    "matrices": (attend, (QKV[0][2:], QKV[1][2:], QKV[2][2:])),
    "grouped": (lambda q, k, v: attend(q, k, v, enable_gqa=True), ((B, 6, L, E), (B, 2, S, E), (B, 2, S, E))),
    "one head": (lambda q, k, v: attend(q, k, v, enable_gqa=True), ((B, 6, L, E), (B, 1, S, E), (B, 1, S, E))),
    "grouped, masked": (
        lambda q, k, v: attend(q, k, v, padding(B, S), enable_gqa=True),
        ((B, 6, L, E), (B, 2, S, E), (B, 2, S, E)),
    ),
}


@pytest.mark.parametrize("name", MASKS)
def test_masks(name, tmp_path):
    function, shapes = MASKS[name]
    check(tmp_path, function, draw(*shapes))


@pytest.mark.parametrize("size", [1, 8, 64, 80, 128, 256])
def test_sizes_of_heads(size, tmp_path):
    check(tmp_path, lambda q, k, v: attend(q, k, v, is_causal=True), draw(*[(2, 193, size)] * 3))


# --- forms that are written out ------------------------------------------------------------------------------------


def plainly(q, k, v):
    return torch.softmax(q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1]), -1) @ v


def like_transformers(q, k, v):
    mask = additive(lower_triangle(q.shape[2], k.shape[2]))[None, None]
    weights = torch.matmul(q, k.transpose(2, 3)) * 0.2
    weights = F.softmax(weights + mask, dim=-1, dtype=torch.float32).to(q.dtype)
    return torch.matmul(F.dropout(weights, p=0.1, training=False), v)


def like_gpt(q, k, v):
    scores = (q @ k.transpose(-2, -1)) * (1.0 / math.sqrt(k.size(-1)))
    hidden = lower_triangle(q.shape[2], k.shape[2]).view(1, 1, q.shape[2], k.shape[2]) == 0
    return F.softmax(scores.masked_fill(hidden, float("-inf")), dim=-1) @ v


def chosen(q, k, v):
    scores = q @ k.transpose(-2, -1)
    return torch.where(lower_triangle(q.shape[2], k.shape[2]), scores, -math.inf).softmax(-1) @ v


def nothing_in_a_row(q, k, v):
    return (q @ k.transpose(-2, -1)).masked_fill(~lower_triangle(L, S).roll(9, 0), -math.inf).softmax(-1) @ v


def no_key_in_some_rows(q, k, v):
    return (q @ k.transpose(-2, -1)).masked_fill(~lower_triangle(L, S).tril(-20), -math.inf).softmax(-1) @ v


def far_below(q, k, v):
    """Rows in which every score is the least number: their weights are equal, and so are those of backward."""
    shown = lower_triangle(L, S).tril(-20)
    return (q @ k.transpose(-2, -1) + torch.where(shown, 0.0, torch.finfo(torch.float32).min)).softmax(-1) @ v


def three_dims(q, k, v):
    return torch.bmm(torch.softmax(torch.bmm(q, k.transpose(1, 2)), -1), v)


WRITTEN = {
    "plain": (plainly, QKV),
    "transformers": (like_transformers, QKV),
    "gpt": (like_gpt, QKV),
    "where": (chosen, QKV),
    "nothing in a row": (nothing_in_a_row, QKV),
    "no key in some rows": (no_key_in_some_rows, QKV),
    "far below": (far_below, QKV),
    "bmm": (three_dims, (QKV[0][1:], QKV[1][1:], QKV[2][1:])),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_written_out(name, tmp_path):
    function, shapes = WRITTEN[name]
    check(tmp_path, function, draw(*shapes))
    assert in_blocks(Compiled(tmp_path, function, draw(*shapes)))


def nothing_in_a_block(q, k, v):
    hidden = torch.zeros(q.shape[2], k.shape[2], dtype=torch.bool)
    hidden[128:] = True
    return ((q @ k.transpose(-2, -1)).masked_fill(hidden, -math.inf).softmax(-1) @ v)[:, :, :128]


def test_rows_without_keys_reach_all_values(tmp_path):
    """As eager's do: their weights are NaN, which a result that nobody reads does not make 0."""
    inputs = draw(*[(1, 2, 300, 16)] * 3)
    (seed,) = draw((1, 2, 128, 16), seed=7)
    expected = eager(nothing_in_a_block, inputs, seed)
    found = Compiled(tmp_path, nothing_in_a_block, inputs, seed).run()
    assert expected[3].isnan().all() and found[3].isnan().all()
    torch.testing.assert_close(found[0], expected[0], rtol=1e-5, atol=1e-5)


def also_read(q, k, v):
    weights = torch.softmax(q @ k.transpose(-2, -1), -1)
    return torch.cat([weights @ v, weights[..., :3]], -1)


def test_weights_that_others_read_stay(tmp_path):
    check(tmp_path, also_read, draw(*QKV))
    assert not in_blocks(Compiled(tmp_path, also_read, draw(*QKV)))


def test_a_mask_that_learns_gets_its_gradient(tmp_path):
    check(tmp_path, attend, draw(*QKV, (H, L, S)))
    check(tmp_path, lambda q, k, v, m: torch.softmax(q @ k.transpose(-2, -1) + m, -1) @ v, draw(*QKV, (H, L, S)))


@pytest.mark.parametrize("need_weights", [False, True])
def test_multihead_attention(need_weights, tmp_path):
    torch.manual_seed(3)
    module = nn.MultiheadAttention(48, 4, batch_first=True).eval().requires_grad_(False)

    def attend_to_itself(x):
        like = module if x.dtype == torch.float32 else copy.deepcopy(module).to(x.dtype)
        return like(x, x, x, need_weights=need_weights)[0]

    check(tmp_path, attend_to_itself, draw((2, 280, 48)))


# --- dropout ---------------------------------------------------------------------------------------------------------


def test_dropout_drops_the_same_in_both_passes(tmp_path):
    """With values of 1 a row of the result is the sum of what was kept; the gradient of the values says what was."""
    shape, rate = (1, 2, 400, 16), 0.25

    def drop(q, k, v):
        return attend(q, k, v, dropout_p=rate)

    q, k, _ = draw(*[shape] * 3)
    seed = torch.ones(shape)
    compiled = Compiled(tmp_path, drop, [q, k, torch.ones(shape)], seed)
    result, dq, dk, dv = compiled.run()
    weights = torch.softmax(q @ k.transpose(-2, -1) / 4, -1)
    assert abs(float(result.mean()) - 1) < 0.02 and float(result.std()) > 0.01
    assert torch.allclose(result.sum(), dv.sum(), rtol=1e-4)  # sum of kept weights, of rows and of columns
    assert not torch.allclose(dv[..., 0], weights.sum(2), rtol=1e-2)


def test_gradient_of_dropout_is_that_of_finite_differences(tmp_path):
    shape = (1, 1, 401, 8)
    inputs, (seed, way) = draw(*[shape] * 3), draw(shape, shape, seed=5)

    def drop(q, k, v):
        return attend(q, k, v, dropout_p=0.5)

    def run(inputs, name):
        return Compiled(tmp_path, drop, inputs, seed, name).run()

    _, *gradients = run(inputs, "middle")
    for i, gradient in enumerate(gradients):
        step = 2e-2
        moved = [[x + sign * step * way * (i == j) for j, x in enumerate(inputs)] for sign in (1, -1)]
        up, down = (run(x, "moved")[0].double() for x in moved)
        found = float(((up - down) * seed).sum()) / (2 * step)
        assert found == pytest.approx(float((gradient.double() * way).sum()), rel=2e-2, abs=2e-2)


# --- bf16 ------------------------------------------------------------------------------------------------------------


def check_narrow(folder, function, inputs):
    """As `check`, of bf16: as near to f64 of the same numbers as eager's bf16, which multiplies in bf16, too, where
    there are four dims of equal widths, else in f32; or by two roundings: of weights, and of the result."""
    inputs = [x.bfloat16() if x.is_floating_point() else x for x in inputs]
    with torch.no_grad():
        shape = function(*inputs).shape
    seed = draw(shape, seed=7)[0].bfloat16()
    exact = eager(function, inputs, seed, torch.float64)
    theirs = eager(function, inputs, seed, torch.bfloat16)
    compiled = Compiled(folder, function, inputs, seed)
    assert in_blocks(compiled)
    for index, (want, near, have) in enumerate(zip(exact, theirs, compiled.run(), strict=True)):
        assert have.dtype == torch.bfloat16 and torch.equal(want.isnan(), have.isnan()), index
        scale = float(want.abs().max())
        error, allowed = (float((x.double() - want).abs().max()) for x in (have, near))
        assert error <= max(1.25 * allowed, 2**-7 * scale), (index, error, allowed, scale)


@pytest.mark.parametrize("name", [name for name in MASKS if name not in ("causal, more queries", "scale 0")])
def test_masks_in_bf16(name, tmp_path):
    function, shapes = MASKS[name]
    check_narrow(tmp_path, function, draw(*shapes))


@pytest.mark.parametrize("size", [1, 7, 64, 80, 129])
def test_sizes_of_heads_in_bf16(size, tmp_path):
    """Odd sizes, and odd numbers of queries and keys in the last block: the last pair has one element."""
    check_narrow(tmp_path, lambda q, k, v: attend(q, k, v, is_causal=True), draw(*[(2, 193, size)] * 3))


@pytest.mark.parametrize("name", ["plain", "transformers", "gpt", "where", "bmm"])
def test_written_out_in_bf16(name, tmp_path):
    """Scores are not rounded on the way."""
    function, shapes = WRITTEN[name]
    check_narrow(tmp_path, function, draw(*shapes))


def test_autocast_of_what_is_written_out(tmp_path):
    def cast(q, k, v):
        with torch.autocast("cpu", torch.bfloat16):
            return like_gpt(q, k, v)

    inputs = draw(*[(2, 3, 192, 40)] * 3)
    compiled = Compiled(tmp_path, cast, inputs)
    assert in_blocks(compiled)
    exact = attend(*(x.bfloat16().double() for x in inputs), is_causal=True)
    assert float((compiled.run()[0].double() - exact).abs().max()) <= 2**-8 * float(exact.abs().max())


def rounded(x):
    return x.bfloat16().double()


@pytest.mark.parametrize("tokens", [130, 257])
def test_products_are_those_of_bf16(tokens, tmp_path):
    """With mp1 the result stays f32: it shows that weights are rounded, and nothing else on the way."""
    size = 24
    q, k, v = draw(*[(1, 2, tokens, size)] * 3)
    compiled = Compiled(tmp_path, attend, [q, k, v], torch.ones(1, 2, tokens, size), graphamp_preset="mp1")
    scores = rounded(q) @ rounded(k).transpose(-2, -1) / math.sqrt(size)
    out, most, total = torch.zeros(1, 2, tokens, size).double(), torch.full((1, 2, tokens, 1), -math.inf), 0.0
    for first in range(0, tokens, 128):
        block = scores[..., first : first + 128]
        now = torch.maximum(most, block.amax(-1, keepdim=True))
        weights, before = torch.exp(block - now), torch.exp(most - now)
        out = out * before + rounded(weights) @ rounded(v[:, :, first : first + 128])
        most, total = now, total * before + weights.sum(-1, keepdim=True)
    found = compiled.run()[0].double()
    exact = torch.softmax(scores, -1) @ rounded(v)
    assert float((found - out / total).abs().mean()) < 0.05 * float((found - exact).abs().mean())


def test_autocast_multiplies_in_bf16(tmp_path):
    def cast(q, k, v):
        with torch.autocast("cpu", torch.bfloat16):
            return attend(q, k, v, is_causal=True)

    shape = (1, 2, 192, 32)
    inputs, (seed,) = draw(*[shape] * 3), draw(shape, seed=7)
    found = Compiled(tmp_path, cast, inputs, seed.bfloat16()).run()
    theirs = eager(lambda *x: cast(*x), inputs, seed.bfloat16(), torch.float32)
    exact = eager(lambda q, k, v: attend(q, k, v, is_causal=True), inputs, seed, torch.float64)
    for want, near, have in zip(exact, theirs, found, strict=True):
        error, allowed = (float((x.double() - want).abs().max()) for x in (have, near))
        assert error <= max(1.25 * allowed, 2**-7 * float(want.abs().max()))


def test_bf16_keeps_nothing_of_f32_for_backward(tmp_path):
    """But lse, delta and gradients, which are sums: the arena holds less than that of f32."""
    arena = {}
    for dtype in (torch.float32, torch.bfloat16):
        q, k, v = (x.to(dtype) for x in draw(*[(1, 2, 1024, 64)] * 3))
        function = lambda q, k, v: attend(q * 2, k * 2, v * 2)  # noqa: E731
        compiled = Compiled(tmp_path, function, [q, k, v], torch.ones(1, 2, 1024, 64, dtype=dtype))
        arena[dtype] = compiled.information()["memory"]["arena"]
    assert arena[torch.bfloat16] < 0.8 * arena[torch.float32]


# --- memory ---------------------------------------------------------------------------------------------------------


def test_memory_is_linear_in_the_tokens(tmp_path):
    """Beside inputs, outputs and gradients: some rows of numbers for each token."""
    arena = {}
    for tokens in (512, 4096):
        compiled = Compiled(tmp_path, attend, draw(*[(1, 1, tokens, 16)] * 3), torch.ones(1, 1, tokens, 16))
        arena[tokens] = compiled.information()["memory"]["arena"]
    assert arena[4096] <= 8.5 * arena[512] and arena[4096] < 4096 * 16 * 4 * 8


def test_heads_that_fill_a_cache_are_tiles_of_their_own(tmp_path):
    """A tile reads nothing whole but its heads, so many at a time are memory for nothing."""
    shape = (1, 16, 4096, 64)

    def twice(q, k, v):
        return attend(q * 2, k * 2, v * 2, is_causal=True) * 2

    memory = Compiled(tmp_path, twice, draw(*[shape] * 3), torch.ones(shape)).information()["memory"]
    head = 4096 * 64 * 4
    assert memory["scratch_per_thread"] <= 10 * head


def test_32768_tokens(tmp_path):
    """A table of scores would have 4 GiB."""
    tokens, size = 32768, 64
    q, k, v = draw(*[(1, 1, tokens, size)] * 3)
    compiled = Compiled(tmp_path, lambda q, k, v: attend(q, k, v, is_causal=True), (q, k, v))
    assert compiled.information()["memory"]["peak"] < 48 << 20
    (found,) = compiled.run()
    for i in (0, 1, 127, 128, 5000, 20001, tokens - 1):
        scores = (q[0, 0, i].double() @ k[0, 0, : i + 1].double().T) / math.sqrt(size)
        assert torch.allclose(found[0, 0, i].double(), torch.softmax(scores, -1) @ v[0, 0, : i + 1].double(), atol=1e-5)
