# SPDX-License-Identifier: Apache-2.0
"""What eager mode refuses is refused while a model is traced, also where torch's functions for shapes let it pass."""

import beside_eager as eager
import pytest
import torch
import torch.nn.functional as F
from beside_eager import Function


def written(x, mask):
    copy = x.clone()
    copy[mask] = 0.0
    return copy


X = torch.arange(12.0).view(3, 4)
PICTURE, WEIGHT = torch.ones(1, 1, 4, 4), torch.ones(1, 1, 2, 2)
INDEX = torch.tensor([0, 2])
REFUSED = {
    "batch_norm of one dim": (lambda x: F.batch_norm(x[0], None, None, training=True), X),
    "conv2d, negative padding": (lambda x: F.conv2d(x, WEIGHT, padding=-1), PICTURE),
    "conv2d, negative dilation": (lambda x: F.conv2d(x, WEIGHT, dilation=-1), PICTURE),
    "conv2d, stride of 0": (lambda x: F.conv2d(x, WEIGHT, stride=0), PICTURE),
    "cov of three dims": (lambda x: torch.cov(x[None]), X),
    "cov, weights of two dims": (lambda x: torch.cov(x, aweights=torch.ones(1, 4)), X),
    "cov, too few weights": (lambda x: torch.cov(x, aweights=torch.ones(3)), X),
    "gaussian_nll_loss, reduction": (lambda x: F.gaussian_nll_loss(x, x, x + 1, reduction="abc"), X),
    "index_add, source of fewer dims": (lambda x: torch.index_add(x.T, 0, INDEX, x.flatten()[:2]), X),
    "index_add, source of other size": (lambda x: torch.index_add(x, 0, INDEX, x), X),
    "kthvalue": (lambda x: torch.kthvalue(x, 5), X),
    "kthvalue of one element": (lambda x: torch.kthvalue(x.sum(), 2), X),
    "mask of another size, written": (lambda x: written(x, x[:1, 0] > 0), X),
    "mask of another size, a constant": (lambda x: written(x, torch.tensor([True])), X),
    "mask of another size, read": (lambda x: x[torch.tensor([True, False])], X),
    "mask of another size behind a slice, read": (lambda x: x[:, torch.tensor([True, False])], X),
    "mask of more dims": (lambda x: written(x, x[None] > 0), X),
    "max_unpool2d, indices": (lambda x: F.max_unpool2d(x, torch.zeros(1, 1, 4, 2, dtype=torch.int64), 2), PICTURE),
    "rrelu": (lambda x: F.rrelu(x, 0.3, 0.1), X),
    "softshrink": (lambda x: F.softshrink(x, -0.5), X),
}


@pytest.mark.parametrize("name", REFUSED)
def test_arguments_that_eager_mode_refuses(name):
    """The message names the line of the program."""
    op, x = REFUSED[name]
    with pytest.raises((RuntimeError, ValueError, IndexError)):
        op(x)
    with pytest.raises(Exception, match="test_refused_arguments.py:"):
        eager.traced(Function(lambda self, x: op(x)), x, inference=True)
