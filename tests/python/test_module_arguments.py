# SPDX-License-Identifier: Apache-2.0
"""Each constructor argument of each module of torch.nn is honoured, in training and inference, or refused by name."""

import copy

import beside_eager as eager
import module_arguments as table
import pytest
import torch
from sambaflow._trace.errors import TraceError
from torch import nn

# What is refused, and the words that say so.
REFUSED = {
    "EmbeddingBag(scale_grad_by_freq)": "scale_grad_by_freq",
    "AdaptiveLogSoftmaxWithLoss": "depends on values",
}
# Layers that draw random numbers when they train.
RANDOM = {"RReLU", "Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "AlphaDropout", "FeatureAlphaDropout"}


class Layer(nn.Module):
    """A module of torch.nn on inputs that hang on a parameter; in training with a loss of all its results."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer
        self.w = nn.Parameter(torch.ones(()))

    def forward(self, *inputs):
        # the first floating input gets a gradient
        places = [index for index, item in enumerate(inputs) if item.is_floating_point()]
        given = [item * self.w if index in places[:1] else item for index, item in enumerate(inputs)]
        results = [t for t in torch.utils._pytree.tree_leaves(self.layer(*given)) if isinstance(t, torch.Tensor)]
        if not self.training:
            return tuple(results)
        loss = sum((t * torch.linspace(0.5, 1.5, t.numel()).view(t.shape)).sum() for t in results if t.requires_grad)
        return (loss + self.w, *[t.detach() for t in results])


class Unpooled(nn.Module):
    """The inverse of a max pooling, of what that gives."""

    def __init__(self, layer, rank):
        super().__init__()
        self.layer = layer
        self.pool = getattr(nn, f"MaxPool{rank}d")(2, return_indices=True)

    def forward(self, x):
        values, places = self.pool(x)
        return self.layer(values, places)


def made(name, options):
    torch.manual_seed(2)
    layer = getattr(nn, name)(**copy.deepcopy(options))
    if not name.startswith("MaxUnpool"):
        return Layer(layer)
    return Layer(Unpooled(layer, int(name[9])))


def inputs_of(name, inputs):
    return inputs or (torch.randn(2, 3, *[4] * int(name[9])),)


CASES = list(table.cases())


def _label(case):
    value = case[2].get(case[1])
    shown = f"tensor{list(value.shape)}" if isinstance(value, torch.Tensor) else getattr(value, "__name__", value)
    return f"{case[0]}-{case[1]}={shown}".replace(" ", "")[:70] if case[1] else case[0]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", CASES, ids=_label)
def test_arguments_of_modules(tmp_path, case):
    name, argument, options, inputs = case
    model, inputs = made(name, options), inputs_of(name, inputs)
    words = REFUSED.get(name) or REFUSED.get(f"{name}({argument})")
    for inference in [True] if name in RANDOM else [True, False]:
        if words is not None:
            with pytest.raises(TraceError, match=words):
                eager.traced(copy.deepcopy(model), *inputs, inference=inference)
        else:
            (tmp_path / str(inference)).mkdir()
            eager.check(tmp_path / str(inference), copy.deepcopy(model), *inputs, inference=inference, atol=1e-4)


def test_every_module_and_every_argument_has_a_case():
    """A new module or argument of torch wants a line in the table."""
    missing = [name for name in table.layers() if name not in table.BASES]
    missing += [
        f"{name}({argument})"
        for name in table.layers()
        if name in table.BASES
        for argument in table.arguments(name)
        if table.values_of(name, argument) is None
    ]
    assert not missing, missing
