# SPDX-License-Identifier: Apache-2.0
"""The rows of the benchmark, and what is expected of them: best peer over Leat."""

import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WINDOW_SHAPE = (128,)  # of tinygpt


@dataclass(frozen=True)
class ModelRow:
    """A training step, or the forward pass, of an example model."""

    model: str
    batch: int
    kind: str  # training | inference
    expected: float

    @property
    def name(self):
        return f"{self.model}-{self.batch}-{self.kind}"

    @property
    def slow(self):
        """Whether fewer turns must do."""
        return self.model == "tinygpt"


@dataclass(frozen=True)
class GemmRow:
    """[m,k] x [k,n]; weights packed, activations row-major."""

    m: int
    k: int
    n: int

    kind = "gemm"

    @property
    def name(self):
        return f"gemm-{self.m}x{self.k}x{self.n}"

    @property
    def slow(self):
        return self.flops > 1e10

    @property
    def flops(self):
        return 2 * self.m * self.k * self.n

    def expected_share(self, threads):
        """Share of the peak that is expected; 0: none."""
        if threads == 1:
            return 0.90
        return 0.0 if self.m == 128 else 0.85


_EXPECTED = {
    ("logreg", 1): 4.0,
    ("logreg", 32): 4.0,
    ("lenet", 32): 3.0,
    ("lenet", 256): 2.0,
    ("resffn", 32): 1.8,
    ("resffn", 256): 1.2,
}
MODEL_ROWS = [
    ModelRow(model, batch, kind, expected)
    for kind in ("training", "inference")
    for (model, batch), expected in _EXPECTED.items()
]
MODEL_ROWS.append(ModelRow("tinygpt", 8, "training", 1.2))
GEMM_ROWS = [GemmRow(128, 768, 768), GemmRow(512, 768, 3072), GemmRow(1024, 1024, 1024), GemmRow(2048, 2048, 2048)]
ROWS = {row.name: row for row in (*MODEL_ROWS, *GEMM_ROWS)}


def add_paths():
    """Makes the example models importable."""
    folder = str(ROOT / "examples")
    if folder not in sys.path:
        sys.path.insert(0, folder)


def build_model(name):
    """(model in plain PyTorch, shape of one image or window)"""
    import torch

    add_paths()
    torch.manual_seed(0)
    if name == "logreg":
        from logreg import LogReg

        return LogReg(784, 10), (784,)
    if name == "resffn":
        from resffn import ResFFN

        return ResFFN(784, 512, 10), (784,)
    if name == "tinygpt":
        from tinygpt import TinyGpt

        return TinyGpt(), WINDOW_SHAPE
    from lenet import IMAGE_SHAPE, LeNet

    return LeNet(10), IMAGE_SHAPE


def batch_of(row, shape):
    """One random batch: images and labels, or windows of bytes and their targets."""
    import torch

    generator = torch.Generator().manual_seed(1)
    if row.model == "tinygpt":
        return tuple(torch.randint(256, (row.batch, *shape), generator=generator) for _ in range(2))
    images = torch.randn(row.batch, *shape, generator=generator)
    return images, torch.randint(10, (row.batch,), generator=generator)


def rule_of(row):
    """How a training step of the row updates parameters (examples/common/rule.py)."""
    add_paths()
    if row.model == "tinygpt":
        from tinygpt import update_rule

        return update_rule(max_grad_norm=1.0, length=WINDOW_SHAPE[0])
    from common.rule import sgd_rule

    return sgd_rule(0.01)
