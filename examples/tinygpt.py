# SPDX-License-Identifier: Apache-2.0
"""TinyGPT: a small language model over bytes, attention written out, as a SambaFlow program.

    python tinygpt.py compile --pef-name tinygpt
    python tinygpt.py run --pef out/tinygpt/tinygpt.pef --data-file FILE -n 1000
    python tinygpt.py run --pef out/tinygpt/tinygpt.pef --data-file FILE -n 2000 --init-ckpt-path CHECKPOINT
    python tinygpt.py run --pef out/tinygpt/tinygpt.pef --data-file FILE --test --init-ckpt-path CHECKPOINT
    python tinygpt.py compile --pef-name sampler --inference -b 1
    python tinygpt.py run --pef out/sampler/sampler.pef --inference -b 1 --init-ckpt-path CHECKPOINT --prompt "ROMEO:"
    python tinygpt.py test --pef out/tinygpt/tinygpt.pef
    python tinygpt.py measure-performance --pef out/tinygpt/tinygpt.pef

Any file serves as text. The model predicts the next byte at every position of a window of --length bytes.
"""

import copy
import math
import sys

from common.options import data_options, default_text, model_options, test_options
from common.program import help_at_once, run_program
from sambaflow.samba.utils.argparser import parse_app_args

OPTIONS = {
    "common_parser_fn": model_options(batch_size=8, length=128),
    "run_parser_fn": data_options(default_text(__file__)),
    "test_parser_fn": test_options,
}
if __name__ == "__main__":
    help_at_once(**OPTIONS)

import torch
import torch.nn as nn
import torch.nn.functional as F
from common.compare import compare
from common.files import load_checkpoint
from common.language import evaluate_text, sample, train_text
from common.rule import Rule
from common.timing import measure
from sambaflow import samba
from sambaflow.samba import utils
from sambaflow.samba.utils.pef_utils import get_pefmeta

VOCABULARY = 256
BETAS = (0.9, 0.997)


class Attention(nn.Module):
    """Causal attention of several heads: product, scale, mask, softmax, product."""

    def __init__(self, width: int, heads: int, length: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.register_buffer("mask", torch.triu(torch.ones(length, length, dtype=torch.bool), diagonal=1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, length, width = x.shape
        q, k, v = (
            part.view(batch, length, self.heads, width // self.heads).transpose(1, 2)
            for part in self.qkv(x).split(width, dim=2)
        )
        scores = torch.matmul(q, k.transpose(-2, -1)) * (1.0 / math.sqrt(width // self.heads))
        scores = scores.masked_fill(self.mask, float("-inf"))
        mixed = torch.matmul(F.softmax(scores, dim=-1), v)
        return self.proj(mixed.transpose(1, 2).reshape(batch, length, width))


class Block(nn.Module):
    """Attention and a feed-forward network, each normalised before and with a connection around."""

    def __init__(self, width: int, heads: int, length: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = Attention(width, heads, length)
        self.norm2 = nn.LayerNorm(width)
        self.up = nn.Linear(width, 4 * width)
        self.gelu = nn.GELU()
        self.down = nn.Linear(4 * width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.attention(self.norm1(x))
        return x + self.down(self.gelu(self.up(self.norm2(x))))


class TinyGpt(nn.Module):
    """Embeddings of bytes and positions, blocks, a linear layer to bytes; returns loss and logits."""

    def __init__(self, layers: int = 4, width: int = 256, heads: int = 4, length: int = 128) -> None:
        super().__init__()
        self.tokens = nn.Embedding(VOCABULARY, width)
        self.positions = nn.Embedding(length, width)
        self.blocks = nn.ModuleList(Block(width, heads, length) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, VOCABULARY, bias=False)
        self.criterion = nn.CrossEntropyLoss()
        for name, parameter in self.named_parameters():
            if "norm" not in name:
                nn.init.zeros_(parameter) if name.endswith("bias") else nn.init.normal_(parameter, std=0.02)

    def forward(self, tokens: torch.Tensor, targets: torch.Tensor):
        x = self.tokens(tokens) + self.positions(torch.arange(tokens.shape[1], device=tokens.device))
        for block in self.blocks:
            x = block(x)
        logits = self.head(self.norm(x))
        return self.criterion(logits.view(-1, VOCABULARY), targets.view(-1)), logits


def build_model(args):
    """The model that the options describe."""
    if args.width % args.num_heads:
        raise ValueError(f"--width {args.width} is not a multiple of --num-heads {args.num_heads}")
    return TinyGpt(args.num_layers, args.width, args.num_heads, args.length)


def get_inputs(args):
    """Named stand-ins of the shapes that every step will have."""
    shape = (args.batch_size, args.length)
    tokens = samba.randint(VOCABULARY, shape, name="tokens", batch_dim=0)
    targets = samba.randint(VOCABULARY, shape, name="targets", batch_dim=0)
    return tokens, targets


def update_rule(max_grad_norm, length):
    """AdamW with gradient clipping, for the program and for plain PyTorch.

    Its eps is large: with a small one the first step is the sign of each gradient, however close to zero that is.
    """
    hyper = {"lr": 0.001, "eps": 1e-3, "weight_decay": 0.0}

    def make(parameters, form="fused"):
        return torch.optim.AdamW(parameters, betas=BETAS, **hyper, **{form: True})

    return Rule(make=make, hyper=hyper, max_grad_norm=max_grad_norm, unit="tokens", units=length)


def main():
    args = parse_app_args(**OPTIONS)
    utils.set_seed(args.seed)
    model = build_model(args)
    reference = copy.deepcopy(model)
    samba.from_torch_model_(model)
    inputs = get_inputs(args)
    optimizer = None
    if not args.inference:
        # Learning rate and weight decay are given to session.run in every step.
        optimizer = samba.optim.AdamW(model.parameters(), betas=BETAS, max_grad_norm=args.max_grad_norm)

    if args.command == "compile":
        samba.session.compile(
            model,
            inputs,
            optimizer,
            name="tinygpt",
            app_dir=utils.get_file_dir(__file__),
            config_dict=vars(args),
            pef_metadata=get_pefmeta(args, model),
        )
    elif args.command == "run":
        first_step = load_checkpoint(args.init_ckpt_path, model, optimizer) if args.init_ckpt_path else 0
        utils.trace_graph(model, inputs, optimizer, pef=args.pef, mapping=args.mapping)
        if args.inference:
            sample(args, model)
        elif args.test:
            evaluate_text(args, model)
        else:
            train_text(args, model, optimizer, first_step)
    elif args.command == "test":
        compare(args, model, reference, inputs, optimizer, update_rule(args.max_grad_norm, args.length))
    else:
        measure(args, model, reference, inputs, optimizer, update_rule(args.max_grad_norm, args.length))


if __name__ == "__main__":
    sys.exit(run_program(main))
