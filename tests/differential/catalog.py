# SPDX-License-Identifier: Apache-2.0
"""What a random program is made of: lines of Python with holes.

A hole `{f}` takes a floating value that exists, `{o}` one that is no view, `{i}` an integer one, `{b}` a boolean one,
`{t}` any, `{f1}` another of the kind; `{d}` is a dim of the first value, `{n}` a small count, `{c}` a number, `{k}` a
size of that dim, `{p}` a parameter, `{name}` a fresh name. Whether a line makes sense is found out by running it in
eager mode; those that do not are dropped. Each family has a weight: how often one of its lines is tried. What changes
values is in effects.py.

What eager mode leaves open is not asked. The median is one of contiguous values: that of an expanded dim is no element
of it (torch 2.13.0). NaN has no sign, nor have zeros of products and of softshrink: it depends on the place in the
tensor. Weights of padded convolutions are finite: eager's kernels do not agree whether an infinite weight meets the
zeros around the input. NaN does not come to binary_cross_entropy: eager mode looks at the values and refuses, Leat
gives NaN, nor to hardtanh and relu6, whose kernels do not agree on its gradient. The gradient of sgn is not looked at:
eager mode has zeros without memory there, which stay 0 where products with infinity follow and become NaN elsewhere.
`.data` of a view is not set: what was written in its base sends eager's gradient to the places that the new
memory would have.
"""


def _words(text, form):
    return [form.replace("NAME", word) for word in text.split()]


def lines_of(text):
    return text.strip().splitlines()


UNARY = """
abs ceil floor round trunc sign neg exp expm1 log log1p log2 log10 sqrt rsqrt reciprocal square sin cos tan asin
acos atan sinh cosh tanh sigmoid erf erfc relu isnan isinf isfinite frac positive deg2rad exp2 sinc asinh acosh
atanh logit nan_to_num
"""
ACTIVATIONS = """
relu gelu silu leaky_relu elu softplus hardsigmoid hardswish mish logsigmoid selu celu tanhshrink
softsign hardshrink
"""
BINARY = """
add sub mul div maximum minimum fmod remainder atan2 eq ne lt le gt ge logical_and logical_or logical_xor pow
true_divide fmax fmin hypot floor_divide xlogy logaddexp
"""
REDUCTIONS = """
sum mean prod amax amin var std logsumexp any all argmax argmin cumsum cumprod softmax log_softmax norm
"""
LOSSES = """
mse_loss l1_loss smooth_l1_loss huber_loss binary_cross_entropy_with_logits kl_div
"""

PRODUCTS = """
{f} @ {f1}
{f} @ {f1}.transpose(-1, -2)
F.linear({f}, {f1})
F.linear({f}, {p})
torch.matmul({f}, {p})
torch.einsum('...i,...j->...ij', {f}, {f1})
torch.outer({f}.flatten()[:5], {f1}.flatten()[:4])
torch.addmm({f}, {f1}, {f2})
torch.baddbmm({f}, {f1}, {f2})
torch.bmm({f}, {f1})
torch.dot({f}, {f1})
F.scaled_dot_product_attention(finite({f}, *{f}.shape), *[finite({f1}, *{f1}.shape)] * 2)
torch.tensordot({f}, {f1}, dims=1)
torch.kron({f}, {f1})
F.bilinear({f}, {f1}, {f2})
torch.addmm(shaped({f}, 2, 3), shaped({f1}, 2, 4), shaped({f2}, 4, 3), beta=0.5, alpha=2.0)
torch.baddbmm(shaped({f}, 2, 2, 3), shaped({f1}, 2, 2, 4), shaped({f2}, 2, 4, 3))
torch.bmm(shaped({f}, 2, 2, 3), shaped({f1}, 2, 3, 2))
F.linear(shaped({f}, 4, 3), shaped({p}, 2, 3), shaped({f1}, 2))
torch.einsum('bij,bjk->bik', shaped({f}, 2, 2, 3), shaped({p}, 2, 3, 2))
F.scaled_dot_product_attention(*[finite({f}, 1, 2, 3, 4)] * 3, is_causal=True)
F.scaled_dot_product_attention(*[finite({f}, 2, 3, 4)] * 3, attn_mask=shaped({b}, 3, 3) | torch.eye(3).bool())
"""

FAMILIES = {
    "unary": (
        6,
        _words(UNARY, "torch.NAME({t})")
        + lines_of("""
F.softmin({f}, {d})
torch.signbit({t}.nan_to_num())
torch.sgn({t}.detach())
~{b}
~{i}
{t}.logical_not()
"""),
    ),
    "activation": (
        4,
        _words(ACTIVATIONS, "F.NAME({f})")
        + lines_of("""
F.softshrink({f}) + 0.0
F.hardtanh({f}.nan_to_num())
F.relu6({f}.nan_to_num())
F.threshold({f}, 0.1, 2.0)
F.gelu({f}, approximate='tanh')
F.prelu({f}, {p}.flatten()[:1])
F.glu({f}, {d})
F.rrelu({f}, 0.1, 0.1)
"""),
    ),
    "binary": (
        6,
        _words(BINARY, "torch.NAME({t}, {t1})")
        + lines_of("""
torch.add({t}, {t1}, alpha={n})
torch.sub({f}, {f1}, alpha=0.5)
{t} + {c}
{c} - {f}
{f} ** {n}
{c} / {f}
{i} // {n}
{i} % {n}
{i} << 1
{i} >> 1
{i} & {i1}
{i} | {i1}
{i} ^ {i1}
{b} & {b1}
{b} | {b1}
{b} ^ {b1}
torch.lerp({f}, {f1}, 0.3)
torch.addcmul({f}, {f1}, {f2}, value=0.5)
torch.addcdiv({f}, {f1}, {f2}, value=0.5)
{f} * {p}
{f} + {p}
{p} * {p1}
torch.rsub({f}, {f1})
torch.copysign({t}, {t1}.nan_to_num())
"""),
    ),
    "choice": (
        3,
        lines_of("""
torch.where({b}, {f}, {f1})
torch.where({f} > {c}, {f}, {c})
{f}.clamp({c}, 2.0)
{f}.clamp(min={f1})
{f}.masked_fill({b}, {c})
torch.clamp({i}, 0, {n})
{f}.heaviside({f1})
torch.clamp({f}, {f1}, {f2})
"""),
    ),
    "reduction": (
        4,
        _words(REDUCTIONS, "{f}.NAME({d})")
        + lines_of("""
{f}.sum()
{f}.mean()
{t}.sum()
{f}.mean({d}, keepdim=True)
{f}.max({d})[0]
{f}.min({d})[1]
{f}.max()
{f}.var()
{f}.std({d}, unbiased=False)
{f}.norm()
F.normalize({f}, dim={d})
{f}.sum((0, -1))
{t}.amax()
{i}.sum({d})
{b}.any()
{f}.cumsum({d}).flip({d})
{f}.contiguous().median({d})[0]
torch.var_mean({f}, {d})[1]
F.cosine_similarity({f}, {f1}, dim={d})
torch.cdist({f}, {f1})
{f}.aminmax(dim={d})[0]
{t}.count_nonzero({d})
"""),
    ),
    "norm": (
        2,
        lines_of("""
F.layer_norm({f}, {f}.shape[-1:])
F.rms_norm({f}, {f}.shape[-1:])
F.group_norm({f}, 1)
F.batch_norm({f}, None, None, training=True)
F.instance_norm({f})
F.local_response_norm({f}, 2)
"""),
    ),
    "loss": (
        1,
        _words(LOSSES, "F.NAME({f}, {f1})")
        + lines_of("""
F.mse_loss({f}, {f1}, reduction='none')
F.cross_entropy({f}.flatten(1), {f}.flatten(1).argmax(1))
F.nll_loss({f}.flatten(1).log_softmax(1), {f}.flatten(1).argmin(1))
F.margin_ranking_loss({f}, {f1}, {f2}.sign())
F.hinge_embedding_loss({f}, {f1}.sign())
F.soft_margin_loss({f}, {f1}.sign())
F.cosine_embedding_loss({f}.flatten(1), {f1}.flatten(1), torch.ones({f}.shape[0]))
F.gaussian_nll_loss({f}, {f1}, {f2}.abs() + 0.1)
F.poisson_nll_loss({f}, {f1})
F.multi_margin_loss({f}.flatten(1), {f}.flatten(1).argmax(1)) if {f}.numel() else {f}.sum()
F.multilabel_margin_loss({f}.flatten(1), torch.full({f}.flatten(1).shape, -1)) if {f}.numel() else {f}.sum()
F.binary_cross_entropy({f}.nan_to_num().sigmoid(), {f1}.nan_to_num().sigmoid())
F.triplet_margin_loss({f}, {f1}, {f2})
F.cross_entropy(shaped({f}, 3, 4), shaped({i}, 3) % 4, label_smoothing=0.1)
F.cross_entropy(shaped({f}, 3, 4), shaped({i}, 3).clamp(-1, 3), ignore_index=-1)
F.nll_loss(shaped({f}, 2, 3, 2).log_softmax(1), shaped({i}, 2, 2) % 3, reduction='none')
F.binary_cross_entropy_with_logits({f}, {f1}.sigmoid(), pos_weight=torch.tensor(2.0))
F.ctc_loss(shaped({f}, 5, 2, 4).log_softmax(-1), torch.tensor([[1, 2], [3, 1]]), (5, 5), (2, 2))
"""),
    ),
    "product": (3, [f"{line} + 0.0" for line in lines_of(PRODUCTS)]),
    "window": (
        2,
        lines_of("""
F.max_pool2d({f}, 2)
F.avg_pool2d({f}, 2)
F.max_pool1d({f}, 2, ceil_mode=True)
F.adaptive_avg_pool2d({f}, 2)
F.adaptive_max_pool1d({f}, 2)
F.interpolate({f}, scale_factor=2)
F.pixel_shuffle({f}, 2)
F.pad({f}, (1, 2), value={c})
F.pad({f}, (1, 1), mode='reflect')
F.unfold({f}, 2)
F.pad({f}, (-1, 1))
F.conv1d({f}, {f1})
F.conv2d({f}, {f1}, padding=1)
F.conv_transpose1d({f}, {f1})
F.lp_pool1d({f}, 2, 2)
F.conv2d(shaped({f}, 2, 2, 4, 4), finite({p}, 2, 2, 3, 3), padding=1, stride=2)
F.conv1d(shaped({f}, 2, 4, 5), shaped({p}, 4, 2, 2), groups=2, dilation=2)
F.conv3d(shaped({f}, 1, 1, 3, 3, 3), shaped({p}, 2, 1, 2, 2, 2))
F.conv_transpose2d(shaped({f}, 1, 2, 3, 3), finite({p}, 2, 3, 2, 2), stride=2, output_padding=1)
F.adaptive_max_pool2d(shaped({f}, 2, 2, 4, 5), (2, 3))
F.adaptive_avg_pool1d(shaped({f}, 2, 2, 7), 3)
F.interpolate(shaped({f}, 1, 2, 3, 4), size=(5, 2), mode='bilinear')
F.interpolate(shaped({f}, 1, 2, 3, 4), scale_factor=2, mode='bicubic', align_corners=True)
F.pixel_shuffle(shaped({f}, 1, 4, 2, 3), 2)
F.pixel_unshuffle(shaped({f}, 1, 1, 4, 2), 2)
F.max_pool2d(shaped({f}, 1, 2, 5, 4), 3, stride=2, padding=1)
F.avg_pool2d(shaped({f}, 1, 2, 5, 4), 3, 2, 1, True, False)
F.pad(shaped({f}, 2, 3, 4), (1, 2), mode='circular')
F.fold(shaped({f}, 1, 8, 4), (3, 3), 2)
"""),
    ),
    "view": (
        7,
        lines_of("""
{t}.reshape(-1)
{t}.flatten()
{t}.transpose({d}, -1)
{t}.movedim({d}, 0)
{t}.unsqueeze({d})
{t}.squeeze()
{t}.flip({d})
{t}.roll(1, {d})
{t}.narrow({d}, 0, {k})
{t}.select({d}, -1)
{t}[..., :{n}]
{t}[::2]
{t}[..., None]
{t}.repeat({n}, *[1] * ({t}.dim() - 1))
{t}.expand({n}, *{t}.shape)
{t}.chunk(2, {d})[-1]
{t}.split({n}, {d})[0]
torch.cat([{t}, {t1}], {d})
torch.stack([{t}, {t1}], {d})
{t}.tril()
{t}.triu(1)
{t}.diagonal()
{t}.unfold({d}, 2, 1)
{t}.repeat_interleave(2, {d})
{t}.T
{t}.contiguous()
{t}.clone()
{t}.permute(*reversed(range({t}.dim())))
{t}.swapaxes(0, -1)
{t}.unbind({d})[0]
{t}.tensor_split(2, {d})[0]
torch.atleast_2d({t})
{t}.view(-1, {n})
{t}.rot90(1, (0, 1))
torch.hstack([{t}, {t1}])
torch.broadcast_tensors({t}, {t1})[0]
{t}.as_strided((2, 2), (1, 1))
torch.block_diag({f}, {f1})
{t}.view_as({t1})
{t}.reshape_as({t1})
{t}.expand_as({t1})
{t}.view(-1)[1:]
{t}.transpose(0, -1)[..., :1]
{t}.flatten()[::2]
{t}.unsqueeze(0).expand(2, *{t}.shape)[1]
{t}[None].transpose(0, 1)[..., 0]
{t}.detach()
{t}.data
shaped({t}, 3, 4)
shaped({t}, 2, 3, 2)
shaped({t}, 2, 2, 3, 3)
"""),
    ),
    "empty": (
        1,
        lines_of("""
{t}[:0]
{t}.narrow({d}, 0, 0)
{t}.new_zeros(0, 3)
torch.cat([{t}, {t}[:0]])
{f}[:0].sum()
{f}[..., :0].sum(-1)
{f}[:0].mean()
{f}[..., :0].prod(-1)
{f}[..., :0] @ {f1}[..., :0].transpose(-1, -2).to({f})
{f}.repeat(0, *[1] * ({f}.dim() - 1))
F.linear({f}[:0], {p})
"""),
    ),
    "index": (
        4,
        lines_of("""
{f}.gather({d}, {f1}.argsort(dim={d}, stable=True))
{f}.index_select({d}, torch.tensor([0, -1]) % {f}.shape[{d}])
{f}[({i} % {f}.shape[0]).flatten()]
F.embedding(({i} % 3).abs(), {f}.flatten(1)[:3])
F.one_hot(({i} % 4).abs(), 4)
torch.zeros_like({f}).scatter({d}, {f1}.argsort(dim={d}, stable=True), {f})
torch.zeros_like({f}).scatter_add({d}, {f1}.argsort(dim={d}, stable=True) // 2, {f})
{f}.index_add(0, torch.tensor([0, 0]), {f1}[:2])
{f}.topk(1, {d})[0]
{f}.sort({d})[0]
{f}.argsort(dim={d}, descending=True, stable=True)
{f}.index_fill({d}, torch.tensor([0, 0]), {c})
{f}.index_copy({d}, torch.tensor([0]), {f1}.narrow({d}, 0, 1))
{f}.scatter_reduce({d}, {f1}.argsort(dim={d}, stable=True) // 2, {f1}, 'prod')
{f}.take(({i} % {f}.numel()).abs())
{f}.masked_scatter({f} > 0, {f1})
F.embedding_bag(({i} % 3).abs().flatten(), {p}, torch.tensor([0]), mode='mean', padding_idx=-1)
{t}.kthvalue(1, {d})[0]
torch.searchsorted({f}.sort(-1)[0], {f1})
{f}.index_put((({i} % {f}.shape[0]).flatten(),), {f1})
F.embedding(({i} % 3).abs(), {p}, scale_grad_by_freq=True)
F.embedding({i}, {p})
{p}[{i}]
{f}.gather({d}, {i})
F.cross_entropy({f}.flatten(1), {i}.flatten())
{f}.index_select(0, {i}.flatten())
F.one_hot({i}, 5)
torch.zeros({n}, 3).index_add(0, {i}.flatten(), {f})
{p}.take({i})
"""),
    ),
    "make": (
        3,
        lines_of("""
torch.zeros({n}, 3)
torch.ones_like({f})
torch.arange({n})
torch.linspace(-1, 1, {n})
torch.full(({n},), {c})
torch.eye({n})
torch.tensor([0.0, -0.0, 1.0, float('inf'), float('nan'), -2.5])
torch.tensor([3, 1, 2])
{f}.new_full((2,), {c})
torch.tensor([1e-40, -1e-40, 3.4e38, 1.0])
torch.tensor([True, False, True])
"""),
    ),
    "dtype": (
        3,
        lines_of("""
{f}.double()
{f}.bfloat16()
{t}.float()
{f}.nan_to_num(0.0, 9.0, -9.0).clamp(-99, 99).long()
{t}.bool()
{i}.int()
{t}.to({f1})
{i}.type_as({f})
{t}.half()
{i}.to(torch.int16)
"""),
    ),
    "traced": (
        2,
        lines_of("""
F.dropout({f}, 1.0)
F.dropout({f}, 0.0, True) * 1
scripted({f}, {p})
scripted({p}, {p1})
once_more({f})
torch.utils.checkpoint.checkpoint(torch.tanh, {f}, use_reentrant=True)
torch.utils.checkpoint.checkpoint(torch.sin, {f}, use_reentrant=False)
torch.complex({f}, {f}).imag
({f} * 1j).imag
torch.polar({f}, {f1}).real
torch.vmap(torch.sin)({f})
torch.ops.aten._safe_softmax({f}, -1)
Tripled.apply({f})
scripted(self.buffer, {f})
torch.vmap(lambda row: row * {p}.sum())({f})
torch.compile(torch.tanh, backend='eager')({f})
"""),
    ),
    "many": (
        0.15,
        lines_of("""
torch.cat([{t}.reshape(-1)] * 300)
torch.stack([{f} * k for k in range(70)])[-1]
torch.stack({t}.reshape(-1).unbind() * 3)
sum({f}[..., k % {f}.shape[-1]] for k in range(20))
"""),
    ),
    "random": (
        0.3,
        lines_of("""
torch.rand_like({f}) * 0.0
torch.randn({n}, 3).clamp(0.0, 0.0)
F.dropout(torch.ones_like({f}), 0.5).clamp(0.0, 0.0)
torch.bernoulli(torch.ones_like({f}))
"""),
    ),
}
