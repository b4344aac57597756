# SPDX-License-Identifier: Apache-2.0
"""Inference of a table that is the head, too: in memory once, in panels, and its lookups find every row there."""

import json

import pytest
import torch
from sambaflow import samba
from sambaflow._base.library import LeatError
from sambaflow._runtime.device import Device
from sambaflow.samba import utils
from torch import nn

pytest.importorskip("sambaflow._leat")


class Tied(nn.Module):
    def __init__(self, words, width):
        super().__init__()
        self.table, self.inner = nn.Embedding(words, width), nn.Linear(width, width)

    def forward(self, x):
        found = self.table(x)
        return found, torch.tanh(self.inner(found)) @ self.table.weight.t()


class Work:
    def __init__(self, folder, words, x, width=64):
        torch.manual_seed(3)
        self.model = Tied(words, width)
        self.eager = Tied(words, width)
        self.eager.load_state_dict(self.model.state_dict())
        samba.from_torch_model_(self.model)
        self.x = samba.from_torch_tensor(x, name="x")
        samba.session.args = None
        self.pef = samba.session.compile(
            self.model, [self.x], inference=True, config_dict={"output_folder": str(folder), "pef_name": "tied"}
        )
        self.outputs = utils.trace_graph(self.model, [self.x], pef=self.pef)
        memory = json.loads((folder / "tied" / "memory.json").read_text())
        self.largest = max((b["bytes"] for b in memory["buffers"]), default=0)

    def run(self, x):
        x = samba.from_torch_tensor(x, name="x")
        return [samba.to_torch(t) for t in samba.session.run([x], self.outputs, section_types=["fwd"])]


# 4096: whole panels; 4113: a narrow one at the end.
@pytest.mark.parametrize("words", [4096, 4113])
@pytest.mark.parametrize("dtype", [torch.int64, torch.int32])
def test_rows(tmp_path, words, dtype):
    rows = torch.tensor([[0, 1, 63, 64, 65], [127, 4095, words - 1, words - 2, 4032]], dtype=dtype)
    work = Work(tmp_path, words, rows)
    assert work.largest < words * 64 * 4
    found, logits = work.run(rows)
    with torch.no_grad():
        expected = work.eager(rows)
    assert torch.equal(found, expected[0])
    torch.testing.assert_close(logits, expected[1])
    with torch.no_grad():
        work.model.table.weight.mul_(2.0)
        work.eager.table.weight.mul_(2.0)
    samba.session.to_rdu(work.model)
    assert torch.equal(work.run(rows.flip(1))[0], work.eager.table(rows.flip(1)))
    device = Device(str(work.pef))
    symbol = next(s for s in device.of_kind("PARAMETER") if "table" in s.name)
    values = torch.randn(symbol.shape)
    device.write(symbol, values)
    assert torch.equal(device.read(symbol), values)


def test_one_row(tmp_path):
    work = Work(tmp_path, 4113, torch.tensor([7]))
    for row in (0, 64, 4112):
        x = torch.tensor([row])
        assert torch.equal(work.run(x)[0], work.eager.table(x))


def test_out_of_range(tmp_path):
    work = Work(tmp_path, 4113, torch.tensor([1, 2]))
    with pytest.raises(LeatError, match="4113"):
        work.run(torch.tensor([1, 4113]))


def test_few_words_for_the_rows(tmp_path):
    """Places of so many elements would take more than the table: it is in memory as rows, too."""
    rows = torch.arange(4096).reshape(8, 512) % 256
    work = Work(tmp_path, 256, rows)
    assert torch.equal(work.run(rows)[0], work.eager.table(rows))
