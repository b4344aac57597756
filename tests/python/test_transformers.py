# SPDX-License-Identifier: Apache-2.0
"""Small architectures of transformers as they are shipped: outputs and gradients of all parameters beside eager."""

import beside_eager as eager
import pytest
import torch
from torch import nn
from torch.utils._pytree import tree_leaves

transformers = pytest.importorskip("transformers")

GENERATOR = torch.Generator().manual_seed(3)
IDS = torch.randint(3, 99, (2, 10), generator=GENERATOR)
MASK = torch.ones(2, 10, dtype=torch.long)
MASK[1, 7:] = 0
TEXT = {"input_ids": IDS, "attention_mask": MASK}
IMAGE = {"pixel_values": torch.randn(2, 3, 32, 32, generator=GENERATOR)}
SMALL = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
    "intermediate_size": 48, "max_position_embeddings": 32, "vocab_size": 99, "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0, "attention_dropout": 0.0, "pad_token_id": 0, "bos_token_id": 1,
    "eos_token_id": 2, "use_cache": False,
}  # fmt: skip
SEEN = {"image_size": 32, "patch_size": 8, "num_channels": 3}

# family: (prefix of configuration and model, model, further settings, inputs)
FAMILIES = {
    "masks of a decoder": ("Llama", "ForCausalLM", {}, TEXT),
    "sliding window": ("Mistral", "ForCausalLM", {"sliding_window": 4}, TEXT),
    "experts": ("Mixtral", "ForCausalLM", {"num_local_experts": 4, "num_experts_per_tok": 2}, TEXT),
    "encoder": ("Bert", "ForMaskedLM", {}, TEXT),
    "encoder and decoder": (
        "T5", "ForConditionalGeneration",
        {"d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4, "dropout_rate": 0.0,
         "decoder_start_token_id": 0},
        {**TEXT, "decoder_input_ids": IDS[:, :6].clone()},
    ),
    "interpolated positions": ("Dinov2", "Model", SEEN, IMAGE),
    "sizes computed with torch": (
        "MobileViT", "Model",
        {"image_size": 32, "patch_size": 2, "hidden_sizes": [16, 16, 16],
         "neck_hidden_sizes": [8, 8, 16, 16, 16, 16, 32],
         "num_attention_heads": 2},
        IMAGE,
    ),
}  # fmt: skip


class Model(nn.Module):
    """All tensors that a model of transformers gives; in training one loss of them."""

    def __init__(self, model, names):
        super().__init__()
        self.model, self.names = model, names

    def forward(self, *inputs):
        tensors = tree_leaves(dict(self.model(**dict(zip(self.names, inputs, strict=True)))))
        tensors = [t for t in tensors if isinstance(t, torch.Tensor)]
        return sum(t.square().mean() for t in tensors if t.is_floating_point()) if self.training else tuple(tensors)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("inference", [True, False])
@pytest.mark.parametrize("family", FAMILIES)
def test_architectures(tmp_path, family, inference):
    prefix, kind, settings, inputs = FAMILIES[family]
    kind_of_configuration = getattr(transformers, f"{prefix}Config")
    renamed = getattr(kind_of_configuration, "attribute_map", {})
    shared = {key: value for key, value in SMALL.items() if renamed.get(key) not in settings}
    torch.manual_seed(0)
    model = getattr(transformers, f"{prefix}{kind}")(kind_of_configuration(**{**shared, **settings}))
    eager.check(tmp_path, Model(model, list(inputs)), *inputs.values(), inference=inference, rtol=2e-3, atol=2e-4)
