# SPDX-License-Identifier: Apache-2.0
"""GPT-2 and Llama, written by hand after the published architectures, small enough to read."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional


class Gpt2Block(nn.Module):
    """Pre-norm block: causal attention and a GELU network, each added to its input."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.c_attn, self.c_proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.fc_in, self.fc_out = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """`x`: [batch, length, width]; `mask`: [length, length], 0 where a position may look, else a large negative."""
        x = x + self.c_proj(self.attend(self.c_attn(self.ln_1(x)), mask))
        return x + self.fc_out(functional.gelu(self.fc_in(self.ln_2(x)), approximate="tanh"))

    def attend(self, qkv: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        batch, length, width = qkv.shape[0], qkv.shape[1], qkv.shape[2] // 3
        q, k, v = (t.view(batch, length, self.heads, -1).transpose(1, 2) for t in qkv.split(width, dim=2))
        scores = torch.matmul(q, k.transpose(-1, -2)) / math.sqrt(width // self.heads) + mask
        mixed = torch.matmul(torch.softmax(scores, dim=-1), v)
        return mixed.transpose(1, 2).reshape(batch, length, width)


class Gpt2(nn.Module):
    """Token and position embedding, `layers` blocks, tied head, loss over the next token."""

    def __init__(
        self, vocabulary: int = 64, width: int = 32, heads: int = 4, layers: int = 2, length: int = 16
    ) -> None:
        super().__init__()
        self.wte, self.wpe = nn.Embedding(vocabulary, width), nn.Embedding(length, width)
        self.h = nn.ModuleList(Gpt2Block(width, heads) for _ in range(layers))
        self.ln_f = nn.LayerNorm(width)
        self.lm_head = nn.Linear(width, vocabulary, bias=False)
        self.lm_head.weight = self.wte.weight

    def forward(self, tokens: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        length = tokens.shape[1]
        mask = torch.full((length, length), -1e9).triu(1)
        x = self.wte(tokens) + self.wpe(torch.arange(length))
        for block in self.h:
            x = block(x, mask)
        logits = self.lm_head(self.ln_f(x))
        loss = functional.cross_entropy(logits.reshape(-1, logits.shape[-1]), targets.reshape(-1))
        return loss, logits


class RmsNorm(nn.Module):
    """x / sqrt(mean(x^2) + eps), scaled, as Llama writes it."""

    def __init__(self, width: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(width)), eps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps))


def rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Rotary position embedding of `x` [batch, heads, length, size]."""
    half = x.shape[-1] // 2
    return x * cos + torch.cat((-x[..., half:], x[..., :half]), dim=-1) * sin


class LlamaBlock(nn.Module):
    """Pre-norm block: grouped-query attention with rotary positions, and a SwiGLU network."""

    def __init__(self, width: int, heads: int, kv_heads: int) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.size = heads, kv_heads, width // heads
        self.norm_1, self.norm_2 = RmsNorm(width), RmsNorm(width)
        self.q, self.o = nn.Linear(width, width, bias=False), nn.Linear(width, width, bias=False)
        self.k = nn.Linear(width, kv_heads * self.size, bias=False)
        self.v = nn.Linear(width, kv_heads * self.size, bias=False)
        self.gate, self.up = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, 3 * width, bias=False)
        self.down = nn.Linear(3 * width, width, bias=False)

    def forward(self, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        x = x + self.o(self.attend(self.norm_1(x), cos, sin, mask))
        y = self.norm_2(x)
        return x + self.down(functional.silu(self.gate(y)) * self.up(y))

    def attend(self, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        batch, length, width = x.shape
        q = rotate(self.q(x).view(batch, length, self.heads, self.size).transpose(1, 2), cos, sin)
        k = rotate(self.k(x).view(batch, length, self.kv_heads, self.size).transpose(1, 2), cos, sin)
        v = self.v(x).view(batch, length, self.kv_heads, self.size).transpose(1, 2)
        k, v = (t.repeat_interleave(self.heads // self.kv_heads, dim=1) for t in (k, v))
        scores = torch.matmul(q, k.transpose(2, 3)) / math.sqrt(self.size) + mask
        mixed = torch.matmul(torch.softmax(scores, dim=-1), v)
        return self.o_input(mixed, batch, length, width)

    @staticmethod
    def o_input(mixed: torch.Tensor, batch: int, length: int, width: int) -> torch.Tensor:
        return mixed.transpose(1, 2).reshape(batch, length, width)


class Llama(nn.Module):
    """Token embedding, `layers` blocks, head, loss over the next token."""

    def __init__(
        self, vocabulary: int = 64, width: int = 32, heads: int = 4, kv_heads: int = 2, layers: int = 2
    ) -> None:
        super().__init__()
        self.size = width // heads
        self.embed = nn.Embedding(vocabulary, width)
        self.layers = nn.ModuleList(LlamaBlock(width, heads, kv_heads) for _ in range(layers))
        self.norm, self.head = RmsNorm(width), nn.Linear(width, vocabulary, bias=False)

    def forward(self, tokens: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        length = tokens.shape[1]
        mask = torch.full((length, length), -1e9).triu(1)
        speed = 10000.0 ** (-torch.arange(0, self.size, 2).float() / self.size)
        angle = torch.outer(torch.arange(length).float(), speed).repeat(1, 2)
        x = self.embed(tokens)
        for layer in self.layers:
            x = layer(x, angle.cos(), angle.sin(), mask)
        logits = self.head(self.norm(x))
        return functional.cross_entropy(logits.reshape(-1, logits.shape[-1]), targets.reshape(-1)), logits
