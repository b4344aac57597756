# SPDX-License-Identifier: Apache-2.0
"""Encoders of transformers with a padding mask: in inference padded places are 0 where eager mode makes them so."""

import beside_eager as eager
import pytest
import torch
from torch import nn

RIGHT = torch.tensor([[False, False, True, True], [False] * 4, [False, False, False, True]])
LEFT = RIGHT.flip(1)
NONE = torch.zeros_like(RIGHT)


class Encoder(nn.Module):
    def __init__(self, norm=False, causal=False, **options):
        super().__init__()
        torch.manual_seed(6)
        layer = nn.TransformerEncoderLayer(8, 2, 16, 0.0, batch_first=True, norm_first=options.pop("norm_first", False))
        self.encoder = nn.TransformerEncoder(layer, 2, nn.LayerNorm(8) if norm else None, **options)
        if norm:
            nn.init.normal_(self.encoder.norm.bias)
        self.causal = causal

    def forward(self, x, mask):
        options = {"mask": nn.Transformer.generate_square_subsequent_mask(4), "is_causal": True} if self.causal else {}
        y = self.encoder(x, src_key_padding_mask=mask, **options)
        return (y.square().mean(), y) if self.training else y


KINDS = {
    "plain": {},
    "a norm at the end": {"norm": True},
    "without nested tensors": {"enable_nested_tensor": False},
    "norm first": {"norm_first": True},
    "without a check of the mask": {"mask_check": False},
    "causal": {"causal": True},
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mask", [RIGHT, LEFT, NONE])
def test_padded_places_of_an_inference(tmp_path, kind, mask):
    if kind == "without a check of the mask" and mask is LEFT:
        pytest.skip("the caller promises padding on the right")
    if kind == "causal" and mask is LEFT:
        pytest.skip("the first place sees nothing: eager mode gives NaN or 0, with and without gradients")
    model, x = Encoder(**KINDS[kind]), torch.randn(3, 4, 8)
    norm = model.encoder.norm
    eager.check(tmp_path, model, x, mask, inference=True)
    assert model.encoder.norm is norm and nn.TransformerEncoder.forward.__module__ == "torch.nn.modules.transformer"


def test_padded_places_of_a_training_are_computed(tmp_path):
    eager.check(tmp_path, Encoder(norm=True), torch.randn(3, 4, 8), RIGHT)


class Attention(nn.Module):
    """What is written through a reshape of its result reaches that where it is laid out batch by batch."""

    def __init__(self, batch_first=True, heads=2, **options):
        super().__init__()
        torch.manual_seed(7)
        self.attention = nn.MultiheadAttention(8, heads, batch_first=batch_first, **options)

    def forward(self, x, mask=None):
        y = self.attention(x, x, x, attn_mask=mask)[0]
        y.reshape(-1)[:1].add_(1.0)
        return (y.square().mean(), y) if self.training else y


ATTENTION = {
    "fast": {},
    "sequence first": {"batch_first": False},
    "one head": {"heads": 1},
    "another bias": {"add_bias_kv": True},
    "a place of zeros": {"add_zero_attn": True},
}


@pytest.mark.parametrize("inference", [True, False])
@pytest.mark.parametrize("kind", ATTENTION)
def test_writes_through_a_reshape_of_attention(tmp_path, kind, inference):
    eager.check(tmp_path, Attention(**ATTENTION[kind]), torch.randn(3, 4, 8), inference=inference)


@pytest.mark.parametrize("mask", [torch.eye(4) > 0, torch.eye(4)])
def test_writes_through_a_reshape_of_attention_with_a_mask(tmp_path, mask):
    eager.check(tmp_path, Attention(), torch.randn(3, 4, 8), mask, inference=True)
