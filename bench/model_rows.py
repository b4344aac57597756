# SPDX-License-Identifier: Apache-2.0
"""The rows of `make bench-models`: known architectures, their batches, and what is wanted of them."""

import os
from dataclasses import dataclass

import architectures

DTYPES = ("f32", "bf16")


def dtype():
    """What this process multiplies: f32, or bf16 as autocast has it."""
    return os.environ.get("MODELS_DTYPE", "f32")


@dataclass(frozen=True)
class Row:
    """What is measured: `build` of architectures.py, of so many samples, and of windows as long as `window` says where
    it is not None; how training updates is said by `optimizer`."""

    name: str
    build: str
    batch: int
    kind: str  # training | inference
    expected: float = 1.0
    window: int | None = None

    def make(self, as_it_is=False):
        """The model and its inputs; with --dtype bf16 the model under autocast, but `as_it_is`."""
        sizes = (self.batch,) if self.window is None else (self.batch, self.window)
        model, inputs = getattr(architectures, self.build)(*sizes)
        return (model if as_it_is or dtype() == "f32" else architectures.under_autocast(model)), inputs

    def optimizer(self, parameters, kind):
        """AdamW in transformers, SGD with momentum elsewhere; `kind` is torch.optim or samba.optim."""
        settings = {"fused": True} if kind.__name__.startswith("torch") else {}
        settings["lr"] = self.learning_rate
        if not self.is_transformer:
            return kind.SGD(parameters, momentum=0.9, **settings)
        return kind.AdamW(parameters, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01, **settings)

    @property
    def is_transformer(self):
        return self.name.startswith(("gpt2", "bert", "llama", "vit"))

    @property
    def learning_rate(self):
        return 1e-4 if self.is_transformer else 0.01


ROWS = {
    row.name: row
    for row in (
        Row("gpt2-training", "gpt2_loss", 4, "training"),
        Row("gpt2-training-4x256", "gpt2_loss", 4, "training", window=256),
        Row("gpt2-training-1x1024", "gpt2_loss", 1, "training", window=1024),
        Row("gpt2-training-4x1024", "gpt2_loss", 4, "training", window=1024),
        Row("gpt2-inference", "gpt2_logits", 1, "inference"),
        Row("gpt2-next-token", "gpt2_next", 1, "inference", 1.3),
        Row("bert-training", "bert_loss", 4, "training"),
        Row("bert-training-1", "bert_loss", 1, "training"),
        Row("bert-training-8", "bert_loss", 8, "training"),
        Row("bert-inference", "bert_states", 1, "inference"),
        Row("bert-inference-8", "bert_states", 8, "inference"),
        Row("llama-training", "llama_loss", 2, "training"),
        Row("vit-training", "vit_loss", 8, "training"),
        Row("vit-inference", "vit", 1, "inference"),
        Row("resnet50-training", "resnet50_loss", 4, "training"),
        Row("resnet50-inference", "resnet50", 1, "inference"),
        Row("resnet50-inference-4", "resnet50", 4, "inference"),
        Row("resnet50-inference-8", "resnet50", 8, "inference"),
        Row("mobilenet-training", "mobilenet_loss", 8, "training"),
        Row("mobilenet-inference", "mobilenet", 1, "inference"),
        Row("unet-training", "unet_loss", 1, "training"),
        Row("unet-inference", "unet", 1, "inference"),
        Row("volumes-training", "volumes_loss", 1, "training"),
        Row("volumes-inference", "volumes", 1, "inference"),
        Row("denoiser-training", "denoiser_loss", 8, "training"),
        Row("waves-training", "waves_loss", 32, "training"),
        Row("waves-inference", "waves", 1, "inference"),
        Row("lstm-training", "lstm_loss", 16, "training"),
        Row("lstm-inference", "lstm", 16, "inference"),
        Row("gru-training", "gru_loss", 16, "training"),
        Row("braggnn-training", "braggnn_loss", 256, "training"),
        Row("braggnn-inference", "braggnn", 256, "inference"),
        Row("lenet-training", "lenet_loss", 32, "training", 1.2),
    )
}


def chosen(words):
    """The rows that are called so, or whose names contain a word that is no row's name; all where there are none."""
    if not words:
        return list(ROWS.values())
    return [
        row
        for row in ROWS.values()
        if any(word == row.name or (word not in ROWS and word in row.name) for word in words)
    ]
