# SPDX-License-Identifier: Apache-2.0
"""Makes golden files: programs as this release compiles them, and every bit that they give.

    PYTHONPATH=python .venv/bin/python tests/data/make_pef.py tests/data/pef/RELEASE [NAME...]

They are committed once a release and never made again: tests/c/golden_test.c loads and runs those of every release.
What the compiler writes between releases is recorded as checksums, by

    PYTHONPATH=python .venv/bin/python tests/data/make_pef.py --bytes

which tests/python/test_same_bytes.py compares with: a change of it is a decision. A folder of a release holds
`program.pef` and `values.safetensors`:

    plan             i64[rows, 3]: a run each: section types, index and count of accumulation (index -1: none)
    hyper/NAME       f64[1]: set before the first run
    before/NAME      parameters, buffers, states and inputs that no run writes, as they are before the first run
    R/in/NAME        inputs of run R
    R/out/NAME       outputs and gradients after run R
    after/NAME       parameters, buffers and states after the last run

`checkpoint.pt`, where it is, was saved before the last run.

Values stay away from NaN, infinities, zeros with a sign and domain borders: what a release corrects there is no change.
"""

import hashlib
import sys
import tempfile
from pathlib import Path

import safetensors.torch
import torch
import torch.nn.functional as F
from sambaflow import samba
from sambaflow.samba import utils
from sambaflow.samba.utils.checkpoint import save_checkpoint
from torch import nn

ARCH = "native:32768,1048576,16777216"
BYTES = Path(__file__).parent / "pef_bytes.txt"
STEPS = 3
FWD, BCKWD, OPT_AND_REST = 1, 2, 63 - 3
ALL = 63


class LeNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 6, 5, padding=2), nn.Conv2d(6, 16, 5)
        self.fc1, self.fc2 = nn.Linear(16 * 2 * 2, 24), nn.Linear(24, 10)

    def forward(self, image, label):
        x = F.max_pool2d(torch.relu(self.conv1(image)), 2)
        x = F.avg_pool2d(torch.tanh(self.conv2(x)), 2, ceil_mode=True)
        logits = self.fc2(torch.relu(self.fc1(x.flatten(1))))
        return F.cross_entropy(logits, label), logits


class Volumes(nn.Module):
    """Convolutions of other kinds: strided, dilated, depthwise, transposed, in one and three dims, with batch norm."""

    def __init__(self):
        super().__init__()
        self.down = nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False)
        self.norm, self.group = nn.BatchNorm2d(8), nn.GroupNorm(2, 8)
        self.depth, self.wide = nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.Conv2d(8, 4, 3, padding=2, dilation=2)
        self.up, self.line = nn.ConvTranspose2d(4, 3, 4, stride=2, padding=1), nn.Conv1d(16, 5, 3)
        self.cube = nn.Conv3d(1, 2, 3)

    def forward(self, image):
        x = F.silu(self.norm(self.down(image)))
        x = self.wide(self.group(self.depth(x)))
        up = self.up(x)
        line, cube = self.line(up.flatten(2).transpose(1, 2)[:, :16]), self.cube(up[:, None])
        return line.square().mean() + cube.abs().mean() + up.square().mean(), up


class Attention(nn.Module):
    def __init__(self, width, heads, dropout):
        super().__init__()
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.heads, self.dropout = heads, dropout

    def forward(self, x):
        b, t, w = x.shape
        q, k, v = (part.view(b, t, self.heads, -1).transpose(1, 2) for part in self.qkv(x).chunk(3, -1))
        dropout = self.dropout if self.training else 0.0
        x = F.scaled_dot_product_attention(q, k, v, is_causal=True, dropout_p=dropout)
        return F.dropout(self.out(x.transpose(1, 2).reshape(b, t, w)), self.dropout, self.training)


class Block(nn.Module):
    def __init__(self, width, dropout):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, 2, dropout)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x):
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Language(nn.Module):
    def __init__(self, layers=2, width=16, vocabulary=40, dropout=0.1):
        super().__init__()
        self.words, self.places = nn.Embedding(vocabulary, width), nn.Embedding(12, width)
        self.blocks = nn.ModuleList(Block(width, dropout) for _ in range(layers))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, vocabulary, bias=False)

    def forward(self, tokens, targets):
        x = self.words(tokens) + self.places(torch.arange(tokens.shape[1]))
        for block in self.blocks:
            x = block(x)
        logits = self.head(self.norm(x))
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten()), logits


class Perceptron(nn.Module):
    def __init__(self, dtype=None):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(20, 33), nn.LayerNorm(33), nn.Tanh(), nn.Linear(33, 7)).to(dtype)

    def forward(self, x, y):
        found = self.layers(x)
        return F.mse_loss(found, y), found


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm, self.gru = nn.LSTM(5, 8, num_layers=2, batch_first=True), nn.GRU(8, 6, batch_first=True)
        self.head = nn.Linear(6, 1)

    def forward(self, x, y):
        hidden, _ = self.lstm(x)
        hidden, _ = self.gru(hidden)
        return F.smooth_l1_loss(self.head(hidden[:, -1]), y), hidden


class Integers(nn.Module):
    """Indices, orders, scans and integer arithmetic."""

    def forward(self, table, index, count):
        order = table.argsort(1)
        top, where = table.topk(3, 1)
        picked = table.gather(1, index) + top.sum(1, keepdim=True)
        spread = torch.zeros_like(table).scatter_add(1, index, picked)
        running = count.cumsum(1) * 3 - count // 2 + (count << 1) % 7
        mask = (count > 4) & (index < 3)
        return order, where, picked, spread.cumsum(0), running, table.argmax(0), torch.where(mask, running, count)


class Wide(nn.Module):
    """Elementwise functions, reductions and views in inference."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.rand(6, 10) + 0.5)

    def forward(self, x):
        x = x * self.scale
        curves = torch.exp(-x) + torch.log(x) + torch.sin(x) * torch.cos(x) + torch.erf(x) + torch.sqrt(x) + x**1.7
        gates = F.softplus(x) + F.gelu(x) + F.mish(x) + F.elu(x - 1.3) + torch.sigmoid(x) + torch.atan(x)
        sums = x.mean(1) + x.var(1) + x.prod(1) + x.amax(1) + x.logsumexp(1) + x.norm(dim=1)
        moved = torch.cat([x[:, ::2], x.flip(1)[:, 3:]], 1).unfold(1, 3, 2).permute(2, 0, 1)
        return curves, gates, sums, moved.softmax(-1), torch.einsum("ij,kj->ik", x, curves), x.cumsum(1)


class Noise(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(9, 9)

    def forward(self, x):
        hidden = F.dropout(self.linear(x), 0.3, self.training) + torch.randn(4, 9) + torch.rand(4, 9)
        return hidden.square().mean(), hidden


class Half(nn.Module):
    """A model in bf16."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 5)).bfloat16()

    def forward(self, x):
        return torch.softmax(self.layers(x), -1), self.layers[0](x).sum(0)


class Sums(nn.Module):
    """Sums into few elements: of images, and over a depthwise convolution, whose channels are apart."""

    def __init__(self):
        super().__init__()
        self.wide, self.depth = nn.Conv2d(1, 8, 1), nn.Conv2d(8, 8, 3, padding=1, groups=8)

    def forward(self, image):
        x = self.depth(torch.tanh(self.wide(image)))
        return x.square().mean(), x.sum((0, 2, 3))


class Deep(nn.Module):
    """Layers that the file says once."""

    def __init__(self, layers=16):
        super().__init__()
        self.h = nn.ModuleList(nn.Sequential(nn.LayerNorm(20), nn.Linear(20, 20), nn.Tanh()) for _ in range(layers))
        self.head = nn.Linear(20, 7)

    def forward(self, x, y):
        for layer in self.h:
            x = x + layer(x)
        found = self.head(x)
        return F.mse_loss(found, y), found


class LongSums(nn.Module):
    """A convolution that sums more than 4,096 products."""

    def __init__(self):
        super().__init__()
        self.wide, self.deep = nn.Conv2d(1, 460, 1), nn.Conv2d(460, 2, 3, padding=1)

    def forward(self, image):
        return self.deep(torch.tanh(self.wide(image)))


class Panels(nn.Module):
    """Weights that lie as their products read them."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(20, 150), nn.ReLU(), nn.Linear(150, 18))

    def forward(self, x):
        return self.layers(x)


def images(n=4, channels=1, size=14):
    return {"image": torch.randn(n, channels, size, size)}


def labelled():
    return {**images(), "label": torch.randint(10, (4,))}


def tokens():
    return {name: torch.randint(40, (4, 12)) for name in ("tokens", "targets")}


def pairs(dtype=None):
    return {"x": torch.randn(8, 20).to(dtype), "y": torch.randn(8, 7).to(dtype)}


def steps(count=7):
    return {"x": torch.randn(4, count, 5), "y": torch.randn(4, 1)}


def sgd(model):
    return samba.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=0.01)


def adamw(model):
    return samba.optim.AdamW(model.parameters(), lr=0.003, weight_decay=0.02)


def integers():
    return {"table": torch.rand(5, 8) + 0.5, "index": torch.randint(8, (5, 4)), "count": torch.randint(1, 9, (5, 4))}


# name: model, inputs, optimizer (None: inference), options of the compile
PROGRAMS = {
    "lenet_train": (LeNet, labelled, sgd, {}),
    "lenet_infer": (LeNet, labelled, None, {}),
    "volumes_train": (Volumes, lambda: images(2, 3, 12), adamw, {}),
    "volumes_infer": (Volumes, lambda: images(2, 3, 12), None, {}),
    "language_train": (Language, tokens, adamw, {}),
    "language_infer": (Language, tokens, None, {}),
    "language_units": (Language, tokens, adamw, {"optim_level": "o0"}),
    "language_blocks": (lambda: Language(layers=4), tokens, adamw, {"compiler_mode": "nlp"}),
    "language_groups": (Language, tokens, adamw, {"optim_level": "o1"}),
    "language_mp4": (Language, tokens, adamw, {"graphamp_preset": "mp4"}),
    "lenet_mp1": (LeNet, labelled, sgd, {"graphamp_preset": "mp1"}),
    "language_microbatch": (lambda: Language(dropout=0.0), tokens, adamw, {"microbatch_size": 2}),
    "perceptron_accumulate": (Perceptron, pairs, sgd, {"grad_accumulation_steps": 2}),
    "perceptron_f64": (lambda: Perceptron(torch.float64), lambda: pairs(torch.float64), adamw, {}),
    "deep_train": (Deep, pairs, adamw, {}),
    "recurrent_train": (Recurrent, steps, sgd, {}),
    "recurrent_infer": (Recurrent, steps, None, {}),
    "loops_train": (Recurrent, lambda: steps(24), sgd, {}),
    "loops_infer": (Recurrent, lambda: steps(24), None, {}),
    "noise_train": (Noise, lambda: {"x": torch.randn(4, 9)}, sgd, {}),
    "integers_infer": (Integers, integers, None, {}),
    "wide_infer": (Wide, lambda: {"x": torch.rand(6, 10) + 0.5}, None, {}),
    "bf16_infer": (Half, lambda: {"x": torch.randn(3, 12).bfloat16()}, None, {}),
    "sums_train": (Sums, lambda: images(4, 1, 32), sgd, {}),
    "long_sums_infer": (LongSums, lambda: images(2, 1, 5), None, {}),
    "panels_infer": (Panels, lambda: {"x": torch.randn(5, 20)}, None, {}),
}
CHECKPOINTED = ("language_train", "volumes_train", "recurrent_train")


def named(inputs):
    return [samba.from_torch_tensor(value, name=name, batch_dim=0) for name, value in inputs.items()]


def load(name, pef=None, seed=1):
    """Compiles a program, or takes `pef`, and traces it: (model, optimizer, inputs of the trace, path of the PEF)."""
    make, make_inputs, make_optimizer, options = PROGRAMS[name]
    torch.manual_seed(seed)
    model = make().train(make_optimizer is not None)
    inputs = make_inputs()
    samba.from_torch_model_(model)
    optimizer = make_optimizer(model) if make_optimizer else None
    inference = optimizer is None
    if pef is None:
        settings = {
            "output_folder": tempfile.mkdtemp(),
            "pef_name": "program",
            "arch": ARCH,
            "inference": inference,
            **options,
        }
        pef = samba.session.compile(
            model, named(inputs), optimizer, name=name, config_dict=settings, inference=inference
        )
    utils.trace_graph(model, named(inputs), optimizer, pef=pef)
    return model, optimizer, inputs, pef


def plan_of(name):
    """Rows of `plan`."""
    optimizer, options = PROGRAMS[name][2], PROGRAMS[name][3]
    if optimizer is None:
        return [(FWD, -1, 1)] * STEPS
    count = options.get("grad_accumulation_steps", 1)
    if count == 1:
        return [(ALL, -1, 1)] * STEPS
    rows = []
    for _ in range(STEPS):
        rows += [(FWD | BCKWD, index, count) for index in range(count)] + [(OPT_AND_REST, -1, 1)]
    return rows


def record(name, folder):
    model, optimizer, _, pef = load(name)
    folder.mkdir(parents=True, exist_ok=True)
    device = samba.session._device
    kept = [s for kind in ("PARAMETER", "BUFFER", "STATE") for s in device.of_kind(kind)]
    hyper = {s: float(device.read(s)) for s in device.of_kind("HYPERPARAMETER")}
    rows = plan_of(name)
    values = {"plan": torch.tensor(rows, dtype=torch.int64)}
    values |= {f"hyper/{s.name}": torch.tensor([value], dtype=torch.float64) for s, value in hyper.items()}
    values |= {f"before/{s.name}": device.read(s) for s in kept}
    for run, (types, _, _) in enumerate(rows):
        if types & FWD:
            for key, value in PROGRAMS[name][1]().items():
                device.write(device.find(key), value)
                values[f"{run}/in/{key}"] = value
        _run(device, types)
        seen = [s for kind in ("OUTPUT", "GRADIENT") for s in device.of_kind(kind)]
        values |= {f"{run}/out/{s.name}": device.read(s) for s in seen}
        if name in CHECKPOINTED and run == len(rows) - 2:
            save_checkpoint(str(folder / "checkpoint.pt"), model, optimizer, step=run + 1)
    values |= {f"after/{s.name}": device.read(s) for s in kept}
    (folder / "program.pef").write_bytes(Path(pef).read_bytes())
    values = {key: value.contiguous() for key, value in values.items()}
    safetensors.torch.save_file(values, folder / "values.safetensors")
    finite = all(v.isfinite().all() for v in values.values() if v.is_floating_point())
    print(
        f"{name:22} {(folder / 'program.pef').stat().st_size:7} {(folder / 'values.safetensors').stat().st_size:7}"
        f"{'' if finite else '  NOT FINITE'}"
    )


def _run(device, types):
    from sambaflow._base.library import check

    check(device._lib.leat_program_run(device.handle, types))


def checksum(name):
    """Of the bytes that a program compiles to now."""
    *_, pef = load(name)
    return hashlib.sha256(Path(pef).read_bytes()).hexdigest()


def recorded():
    """Checksums by program."""
    return dict(line.split() for line in BYTES.read_text().splitlines())


def main():
    if sys.argv[1:] == ["--bytes"]:
        BYTES.write_text("".join(f"{name} {checksum(name)}\n" for name in PROGRAMS))
        return
    root, names = Path(sys.argv[1]), sys.argv[2:] or list(PROGRAMS)
    for name in names:
        record(name, root / name)


if __name__ == "__main__":
    main()
