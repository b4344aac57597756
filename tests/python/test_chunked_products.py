# SPDX-License-Identifier: Apache-2.0
"""Logits that backward makes again chunk by chunk: eager's losses and gradients, without the memory of the logits."""

import csv
import json

import pytest
import torch
import torch.nn.functional as F
from against_eager import differences
from sambaflow import samba
from sambaflow.samba import utils
from torch import nn

pytest.importorskip("sambaflow._leat")

ROWS, WORDS, WIDTH = 272, 1000, 24
LOGITS_BYTES = ROWS * WORDS * 4
assert 1 << 20 < LOGITS_BYTES < 2 << 20  # above the least size that can be asked for


class Head(nn.Module):
    """A body and a head; `loss(logits, y)` with logits [8, 34, WORDS] and labels [8, 34]."""

    def __init__(self, loss, bias=True, tied=False, fetched=False):
        super().__init__()
        self.table, self.inner = nn.Embedding(WORDS, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.head = nn.Linear(WIDTH, WORDS, bias=bias)
        if tied:
            self.head.weight = self.table.weight
        self.loss, self.fetched = loss, fetched
        self.register_buffer("weights", torch.linspace(0.5, 2.0, WORDS))

    def forward(self, x, y):
        logits = self.head(torch.tanh(self.inner(self.table(x))))
        loss = self.loss(self, logits, y)
        return (loss, logits) if self.fetched else loss


def flat(logits, y, **options):
    return F.cross_entropy(logits.view(-1, WORDS), y.view(-1), **options)


def causal(_, logits, y):
    return F.cross_entropy(logits[:, :-1, :].contiguous().view(-1, WORDS), y[:, 1:].contiguous().view(-1))


def padded(_, logits, y):
    return flat(logits.float(), F.pad(y, (0, 1), value=-100)[..., 1:].contiguous())


def two_steps(_, logits, y):
    return F.nll_loss(F.log_softmax(logits.view(-1, WORDS), dim=-1), y.view(-1))


LOSSES = {
    "mean": lambda _, logits, y: flat(logits, y),
    "sum": lambda _, logits, y: flat(logits, y, reduction="sum") / 100,
    "none": lambda _, logits, y: (flat(logits, y, reduction="none") * torch.linspace(-1, 1, ROWS)).sum() / 100,
    "ignored": lambda _, logits, y: flat(logits, y, ignore_index=3),
    "weights": lambda m, logits, y: flat(logits, y, weight=m.weights, ignore_index=5),
    "smooth": lambda _, logits, y: flat(logits, y, label_smoothing=0.1),
    "smooth-weights": lambda m, logits, y: flat(logits, y, label_smoothing=0.1, weight=m.weights),
    "classes-second": lambda _, logits, y: F.cross_entropy(logits.transpose(1, 2), y),
    "scaled": lambda _, logits, y: flat(30 * torch.tanh(logits / 30), y),
    "masked": lambda _, logits, y: flat(
        logits.masked_fill(torch.arange(WORDS) < 200, -float("inf")), y.clamp(min=200)
    ),  # all of a chunk
    "causal": causal,
    "padded": padded,
    "two-steps": two_steps,
}
CHUNKED = {"chunked_products": 1, "verify_each": True}


def batches(count=2):
    torch.manual_seed(1)
    return [(torch.randint(WORDS, (8, 34)), torch.randint(WORDS, (8, 34))) for _ in range(count)]


def largest_kept(folder):
    """Bytes of the largest value that forward leaves for backward, or that backward makes."""
    memory = json.loads((folder / "p" / "memory.json").read_text())
    with open(folder / "p" / "sections.csv", newline="") as table:
        types = [row["type"] for row in csv.DictReader(table)]
    return max(b["bytes"] for b in memory["buffers"] if types[b["last_read_by"]] != "fwd")


@pytest.mark.shows("--chunked-products")
@pytest.mark.parametrize("form", [{}, {"bias": False}, {"tied": True, "bias": False, "fetched": True}], ids=str)
@pytest.mark.parametrize("loss", LOSSES)
def test_losses(tmp_path, loss, form):
    assert not differences(lambda: Head(LOSSES[loss], **form), batches(), tmp_path, train=True, arguments=CHUNKED)
    assert largest_kept(tmp_path) < LOGITS_BYTES // 2


def trained(folder, samples=8, types=((),), rows=None, steps=2, **config):
    """Weights after some steps of a tied head, and what forward leaves for backward at most."""
    torch.manual_seed(5)
    model = Head(LOSSES["mean"], bias=False, tied=True)
    samba.from_torch_model_(model)
    clip = {"max_grad_norm": 0.05} if config.pop("clip", False) else {}
    optimizer = samba.optim.AdamW(model.parameters(), lr=0.01, **clip)
    generator = torch.Generator().manual_seed(1)

    def batch(count):
        made = [torch.randint(WORDS, (count, 34), generator=generator) for _ in range(2)]
        return [samba.from_torch_tensor(t, name=n, batch_dim=0) for t, n in zip(made, ("x", "y"), strict=True)]

    inputs = batch(samples)
    samba.session.args = None
    config = {"output_folder": str(folder), "pef_name": "p", "log_level": "error", "verify_each": True, **config}
    pef = samba.session.compile(model, inputs, optimizer, config_dict=config)
    outputs = utils.trace_graph(model, inputs, optimizer, pef=pef)
    for count in [samples] * steps + [rows] * (rows is not None):
        given = batch(count)
        for group in types:
            samba.session.run(given, outputs, **({"section_types": list(group)} if group else {}))
    samba.session.to_cpu(model)
    return [samba.to_torch(value).clone() for value in model.state_dict().values()], largest_kept(folder)


@pytest.mark.parametrize(
    "config",
    [
        {"drop_grads": True},
        {"clip": True},
        {"grad_accumulation_steps": 2},
        {"microbatch_size": 8, "samples": 16},
        {"types": (("fwd",), ("bckwd",), ("opt",))},
        {"rows": 5},
        {"enable_hypersection": True},
        {"memory_limit": 4},
        {"graphamp_preset": "mp1"},
        {"compiler_mode": "nlp"},
    ],
    ids=lambda config: next(iter(config)),
)
def test_ways_to_train(tmp_path, config):
    kept, most = trained(tmp_path / "kept", chunked_products=0, **{**config, "memory_limit": 1 << 20})
    chunked, less = trained(tmp_path / "chunked", chunked_products=1, **config)
    assert less < LOGITS_BYTES // 2 < most
    for before, after in zip(kept, chunked, strict=True):
        torch.testing.assert_close(after, before, rtol=1e-3, atol=1e-5)


def test_engines_threads_and_levels_agree(tmp_path, monkeypatch):
    found = []
    for engine, threads in (("compare", "1"), ("native", "2"), ("native", "3")):
        monkeypatch.setenv("LEAT_ENGINE", engine)
        monkeypatch.setenv("LEAT_NUM_THREADS", threads)
        found.append(trained(tmp_path / f"{engine}{threads}", chunked_products=1, steps=1)[0])
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))


@pytest.mark.parametrize("config", [{"mapping": "spatial"}, {"o0": True}, {"o1": True}], ids=lambda c: next(iter(c)))
def test_where_the_whole_is_kept(tmp_path, config):
    """One section a type, and groups that hand on what they make, keep it as they would without the option."""
    found = [trained(tmp_path / str(n), chunked_products=n, steps=1, **config) for n in (0, 1)]
    assert found[0][1] == found[1][1] and all(torch.equal(a, b) for a, b in zip(found[0][0], found[1][0], strict=True))
