# SPDX-License-Identifier: Apache-2.0
"""Logits that backward makes again chunk by chunk: eager's losses and gradients, without the memory of the logits."""

import csv
import json

import pytest
import torch
import torch.nn.functional as F
from against_eager import differences
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


def written_out(_, logits, y):
    picked = logits.gather(2, y.unsqueeze(2)).squeeze(2)
    return (torch.logsumexp(logits, dim=2) - picked).mean() + 1e-3 * logits.square().mean()


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
    "causal": causal,
    "padded": padded,
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
