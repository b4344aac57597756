# SPDX-License-Identifier: Apache-2.0
"""Recurrent layers whose weights are computed: spectral_norm, weight_norm, parametrizations of one's own."""

import pytest
from against_eager import X, differences
from torch import nn
from torch.nn.utils import parametrizations, parametrize

pytest.importorskip("sambaflow._leat")


class Half(nn.Module):
    def forward(self, weight):
        return weight * 0.5


WRAPPERS = {
    "spectral": lambda layer: parametrizations.spectral_norm(layer, "weight_hh_l0"),
    "spectral_hook": lambda layer: nn.utils.spectral_norm(layer, "weight_hh_l0"),
    "weight": lambda layer: parametrizations.weight_norm(layer, "weight_ih_l0"),
    "own": lambda layer: parametrize.register_parametrization(layer, "weight_hh_l0", Half()),
}


class Net(nn.Module):
    def __init__(self, kind, wrapper):
        super().__init__()
        self.layer = kind(3, 4, batch_first=True)
        WRAPPERS[wrapper](self.layer)
        self.head = nn.Linear(4, 2)

    def forward(self, x):
        states, _ = self.layer(x)
        return self.head(states[:, -1]).square().mean()


@pytest.mark.parametrize("wrapper", WRAPPERS)
@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_computed_weights_follow_eager(kind, wrapper, tmp_path):
    batches = [(X(2, 9, 3) + step,) for step in range(3)]
    assert not differences(lambda: Net(kind, wrapper), batches, tmp_path, train=True)
