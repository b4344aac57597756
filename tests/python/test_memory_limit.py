# SPDX-License-Identifier: Apache-2.0
"""--memory-limit: activations are made again in backward until a run fits; bits stay, what cannot fit says why."""

import json
import re

import pytest
import torch
import torch.nn.functional as F
from option_support import compiled, own_arguments  # noqa: F401 - a fixture
from sambaflow import samba
from sambaflow._base.library import UnsupportedError
from sambaflow.samba import utils
from sambaflow.samba.utils.argparser import parse_app_args
from torch import nn

pytest.importorskip("sambaflow._leat")

ROWS, WIDTH, CLASSES = 2048, 96, 10


class Block(nn.Module):
    def __init__(self, rate):
        super().__init__()
        self.norm, self.up, self.down = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)
        self.drop = nn.Dropout(rate)

    def forward(self, x):
        return x + self.drop(self.down(F.gelu(self.up(self.norm(x)))))


class Blocks(nn.Module):
    """Norms, activations, dropout and residual sums, a batch norm whose statistics forward writes."""

    def __init__(self, rate=0.1, first=nn.BatchNorm1d):
        super().__init__()
        self.first, self.blocks = first(WIDTH), nn.Sequential(*(Block(rate) for _ in range(3)))
        self.head = nn.Linear(WIDTH, CLASSES)

    def forward(self, x, y):
        return F.cross_entropy(self.head(self.blocks(self.first(x))), y)


class Work:
    def __init__(self, folder, **config):
        torch.manual_seed(3)
        parts = "microbatch_size" in config
        model = Blocks(first=nn.LayerNorm if parts else nn.BatchNorm1d).train()
        samba.from_torch_model_(model)
        optimizer = samba.optim.AdamW(model.parameters(), lr=0.01)
        generator = torch.Generator().manual_seed(1)
        tensors = {
            "x": torch.randn(ROWS, WIDTH, generator=generator),
            "y": torch.randint(CLASSES, (ROWS,), generator=generator),
        }
        inputs = [samba.from_torch_tensor(tensor, name=name, batch_dim=0) for name, tensor in tensors.items()]
        samba.session.args = None
        config = {"output_folder": str(folder), "pef_name": "work", "verify_each": True, **config}
        self.pef = samba.session.compile(model, inputs, optimizer, config_dict=config)
        self.peak = json.loads((folder / "work" / "memory.json").read_text())["peak_bytes"]
        self.model, self.inputs, self.optimizer = model, inputs, optimizer

    def trained(self, types=((),)):
        outputs = utils.trace_graph(self.model, self.inputs, self.optimizer, pef=self.pef)
        losses = []
        for _ in range(3):
            for group in types:
                found = samba.session.run(self.inputs, outputs, **({"section_types": list(group)} if group else {}))
                losses += [samba.to_torch(loss).clone() for loss in found]
        samba.session.to_cpu(self.model)
        return losses + [samba.to_torch(value).clone() for value in self.model.state_dict().values()]


def limit_between(peak, least, share):
    return int(least + (peak - least) * share + (1 << 20)) // (1 << 20)


def least_of(folder, **config):
    """What the message says that a run takes at least."""
    with pytest.raises(UnsupportedError, match="a run takes .* MiB of memory, --memory-limit is 1 ") as refused:
        Work(folder, memory_limit=1, **config)
    assert not list(folder.rglob("*.pef"))
    assert re.search(r"parameter [\d.]+, .*values between sections [\d.]+, the largest [\d.]+ of", str(refused.value))
    return float(re.search(r"the least that was found is ([\d.]+)", str(refused.value))[1]) * (1 << 20)


@pytest.mark.shows("--memory-limit")
@pytest.mark.parametrize("share", [0.0, 0.4])
@pytest.mark.parametrize(
    "config", [{}, {"drop_grads": True}, {"microbatch_size": ROWS // 2}], ids=["plain", "drop-grads", "microbatches"]
)
def test_every_bit_stays(tmp_path, config, share):
    plain = Work(tmp_path / "plain", **config)
    least = least_of(tmp_path / "refused", **config)
    assert least < 0.97 * plain.peak
    limit = limit_between(plain.peak, least, share)
    work = Work(tmp_path / "work", memory_limit=limit, **config)
    assert work.peak <= limit << 20 and work.peak < plain.peak
    log = (tmp_path / "work" / "work" / "work.mac.log").read_text()
    assert re.search(r"\d+ activations are made again in backward: [\d.]+ MiB less are kept, for about [\d.]+ ms", log)
    for before, after in zip(plain.trained(), work.trained(), strict=True):
        assert torch.equal(before, after)


@pytest.mark.parametrize("types", [(("fwd",), ("bckwd", "opt")), (("fwd", "bckwd"), ("opt",))], ids=str)
def test_section_types_that_run_apart(tmp_path, types):
    plain, work = Work(tmp_path / "plain"), Work(tmp_path / "work", memory_limit=40)
    for before, after in zip(plain.trained(types), work.trained(types), strict=True):
        assert torch.equal(before, after)


def test_a_program_that_infers_has_nothing_to_make_again(tmp_path):
    size = ["-b", "30000", "--compiled-stats-json", str(tmp_path / "stats.json"), "--inference"]
    compiled(tmp_path, *size, name="any")
    peak = json.loads((tmp_path / "stats.json").read_text())["memory"]["peak_bytes"]
    enough = -(-peak // (1 << 20))
    assert enough > 2 and compiled(tmp_path, *size, "--memory-limit", str(enough), name="enough").exists()
    words = f"a run takes {peak / (1 << 20):.2f} MiB of memory, --memory-limit is {enough - 1} .*: input"
    with pytest.raises(UnsupportedError, match=words):
        compiled(tmp_path, *size, "--max-memory", str(enough - 1), name="short")
    assert not list((tmp_path / "short").rglob("*.pef")) and not list((tmp_path / "short").rglob("*.csv"))
    with pytest.raises(SystemExit):
        parse_app_args(["compile", "--memory-limit", "0"])
