# SPDX-License-Identifier: Apache-2.0
"""What a concatenation joins is made in its memory, where that can be; values are eager's, however parts are read."""

import beside_eager
import pytest
import torch
import torch.nn.functional as F
from sambaflow import samba
from torch import nn


class Joined(nn.Module):
    """Two convolutions side by side, of which `join` makes the result with what it likes of their input."""

    def __init__(self, join, outputs=(16, 32)):
        super().__init__()
        self.left, self.right = (nn.Conv2d(8, count, 3, padding=1) for count in outputs)
        self.join = join

    def forward(self, x):
        return self.join(F.relu(self.left(x)), self.right(x), x)


# Of `a`, `b` and what both are made of.
CASES = {
    "both": lambda a, b, x: torch.cat([a, b], 1).sum(1, keepdim=True),
    "with the input": lambda a, b, x: F.max_pool2d(torch.cat([x, a, b], 1), 2),
    "twice": lambda a, b, x: torch.cat([a, b, a], 1).sigmoid(),
    "in two": lambda a, b, x: torch.cat([a, b], 1).sin() + torch.cat([b, a], 1),
    "one in another": lambda a, b, x: torch.cat([torch.cat([a, b], 1).relu(), b], 1).cumsum(1),
    "read before, in part": lambda a, b, x: torch.cat([a, b * a[:, :1].mean()], 1).flip(1).contiguous() + a[:, 3:4],
    "read turned": lambda a, b, x: (torch.cat([a, b], 1).exp(), a.flip(0, 1, 3) + 1, b.transpose(0, 1).sum(2)),
    "read flat": lambda a, b, x: (torch.cat([a, b], 1).sum((2, 3)), a.reshape(-1, 6) @ a.reshape(-1, 6).t()[:, :5]),
    "given out": lambda a, b, x: (torch.cat([a, b], 1) * 2, a, b.sum()),
    "made of another": lambda a, b, x: torch.cat([a, F.conv2d(a, torch.ones(3, 16, 1, 1)) + 1], 1).tanh(),
    "along images": lambda a, b, x: torch.cat([a[:, :8], x, a[:, 8:]], 0).softmax(1),
}


def images(count, size=24):
    return torch.randn(count, 8, size, size, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("count", (1, 3))
@pytest.mark.parametrize("name", CASES)
def test_values(name, count, tmp_path):
    torch.manual_seed(1)
    beside_eager.check(tmp_path, Joined(CASES[name]), images(count), inference=True, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("count", (1, 3))
def test_gradients(count, tmp_path):
    torch.manual_seed(2)
    join = lambda a, b, x: (F.max_pool2d(torch.cat([a, b, x], 1).tanh(), 2) * a.mean()).square().mean()  # noqa: E731
    beside_eager.check(tmp_path, Joined(join), images(count), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("count", (1, 3))
def test_nothing_is_copied(count, tmp_path):
    """No section is left for the concatenation, whose parts other sections make and who reads which is another one."""
    torch.manual_seed(1)
    model, x = Joined(lambda a, b, x: torch.cat([a, b], 1).mean((2, 3)) @ torch.ones(48, 4)), images(count, 96)
    expected = model(x)
    samba.from_torch_model_(model)
    inputs = (samba.from_torch_tensor(x, name="x"),)
    config = {"output_folder": str(tmp_path), "pef_name": "m", "log_level": "error", "optim_level": "o0"}
    pef = samba.session.compile(model, inputs, inference=True, config_dict=config)
    outputs = samba.utils.trace_graph(model, inputs, pef=pef)
    (y,) = samba.session.run(inputs, outputs, section_types=["fwd"])
    torch.testing.assert_close(samba.to_torch(y), expected, rtol=1e-4, atol=1e-4)
    names = [section["name"] for section in samba.session._device.report()["sections"]]
    assert len(names) > 3 and not any("cat" in name for name in names), names
