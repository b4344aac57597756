# SPDX-License-Identifier: Apache-2.0
"""Fusion rules on traced programs: the two published example rules, op names as the program spells them, messages."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from rule_support import compile_o1
from sambaflow import samba
from sambaflow._trace.program import Program, trace
from torch import nn
from torch.nn import functional

# After "How to use tensor parallel mode": RMS norm in front of three products; product, residual and RMS norm.
LLAMA_RULES = """
llama2_qkv:
  priority: 4
  heuristic:
    name: SAFE_GEMM
    tensor parallel_dim: [M|K]
  pattern:
    to_8: {op_type: to, child: ln_pow_9, required: false}
    ln_pow_9: {op_type: pow, child: ln_mean_10}
    ln_mean_10: {op_type: mean, child: ln_add_11}
    ln_add_11: {op_type: add, child: ln_rsqrt_12}
    ln_rsqrt_12: {op_type: rsqrt, child: ln_mul_13}
    ln_mul_13: {op_type: mul, child: ln_mul_15}
    ln_mul_15: {op_type: mul, children: [q_cast, k_cast, v_cast]}
    linear_q_16: {op_type: linear}
    linear_k_17: {op_type: linear}
    linear_v_18: {op_type: linear}
    q_cast: {op_type: type_, child: linear_q_16, required: false}
    k_cast: {op_type: type_, child: linear_k_17, required: false}
    v_cast: {op_type: type_, child: linear_v_18, required: false}
llama2_self_attn_proj:
  priority: 3
  heuristic:
    name: SAFE_GEMM
    tensor parallel_dim: K
  pattern:
    attn_output_cast: {op_type: type_, required: false, child: linear_48}
    linear_48: {op_type: linear, child: post_linear_cast}
    post_linear_cast: {op_type: type_, required: false, child: add_49}
    add_49: {op_type: add, child: pre_rmsnorm_cast}
    pre_rmsnorm_cast: {op_type: to, required: false, children: [ln_pow_50, ln_mul_54]}
    ln_pow_50: {op_type: pow, child: ln_mean_51}
    ln_mean_51: {op_type: mean, child: ln_add_52}
    ln_add_52: {op_type: add, child: ln_rsqrt_53}
    ln_rsqrt_53: {op_type: rsqrt, child: ln_mul_54}
    ln_mul_54: {op_type: mul, child: post_rmsnorm_cast}
    post_rmsnorm_cast: {op_type: to, required: false, child: ln_mul_56}
    ln_mul_56: {op_type: mul}
"""


class RmsNorm(nn.Module):
    """In fp32, whatever comes in."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        wide = x.to(torch.float32)
        return self.weight * (wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + 1e-6))


class Block(nn.Module):
    """A Llama block whose products are in `dtype` and whose norms are in fp32."""

    def __init__(self, width: int, dtype: torch.dtype) -> None:
        super().__init__()
        self.q, self.k, self.v, self.o = (nn.Linear(width, width, bias=False) for _ in range(4))
        self.gate, self.up = nn.Linear(width, 2 * width, bias=False), nn.Linear(width, 2 * width, bias=False)
        self.down = nn.Linear(2 * width, width, bias=False)
        self.to(dtype)
        self.norm_1, self.norm_2 = RmsNorm(width), RmsNorm(width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.norm_1(x)
        q, k, v = self.q(h.type_as(x)), self.k(h.type_as(x)), self.v(h.type_as(x))
        scores = torch.softmax(torch.matmul(q, k.transpose(1, 2)) / 4, -1)
        x = x + self.o(torch.matmul(scores, v))
        h = self.norm_2(x).type_as(x)
        return x + self.down(functional.silu(self.gate(h)) * self.up(h))


def _traced(model: nn.Module, *tensors: torch.Tensor) -> Program:
    model.eval()
    samba.from_torch_model_(model)
    named = tuple(samba.from_torch_tensor(t, name=f"x{i}") for i, t in enumerate(tensors))
    return trace(model, named, inference=True)


def _modules(report: dict, rule: str) -> list[dict[str, str]]:
    """For each match of a rule: entry -> last part of the module path."""
    found = next(r for r in report["rules"] if r["name"] == rule)
    return [{e: op["module"].rpartition(".")[2] for e, op in match.items()} for match in found["matches"]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_published_llama_rules(tmp_path: Path, dtype: torch.dtype) -> None:
    """Found once a block, with the casts that the program makes and without those it does not."""
    program = _traced(nn.Sequential(Block(16, dtype), Block(16, dtype)), torch.randn(2, 4, 16, dtype=dtype))
    report = compile_o1(program, tmp_path, rules=LLAMA_RULES, inference=True)
    qkv, proj = _modules(report, "llama2_qkv"), _modules(report, "llama2_self_attn_proj")
    assert len(qkv) == len(proj) == 2
    mixed = dtype == torch.bfloat16
    for match in qkv:
        assert {match[e] for e in ("linear_q_16", "linear_k_17", "linear_v_18")} == {"q", "k", "v"}
        casts = {"to_8", "q_cast", "k_cast", "v_cast"}
        assert casts & set(match) == (casts if mixed else set())
    for match in proj:
        assert (match["linear_48"], match["ln_mul_56"]) == ("o", "norm_2")
        assert ("pre_rmsnorm_cast" in match) == mixed


class Spelled(nn.Module):
    """Ops as people spell them: operators, slices, methods, in-place forms."""

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        a = (1.0 - x) ** 2
        b = a[..., :2] / y[..., :2]
        b += 1.0
        c, d = b.chunk(2, dim=-1)
        e = torch.cat([-d, c], dim=-1)
        f = torch.nn.functional.conv1d(e.unsqueeze(1), torch.ones(1, 1, 1)).squeeze(1)
        return f.masked_fill(y[..., :2] > 1.5, 0.0).type_as(x.double()).view(-1)


SPELLED_RULE = """
spelled:
  priority: 1
  pattern:
    minus: {op_type: rsub, child: square}
    square: {op_type: pow, child: slice}
    slice: {op_type: getitem, child: ratio}
    ratio: {op_type: div, child: sum}
    sum: {op_type: add, child: parts}
    parts: {op_type: split, children: [negated, joined]}
    negated: {op_type: neg, child: joined}
    joined: {op_type: cat, child: wide}
    wide: {op_type: unsqueeze, child: filter}
    filter: {op_type: conv1d, child: narrow}
    narrow: {op_type: squeeze, child: filled}
    filled: {op_type: masked_fill, child: cast}
    cast: {op_type: type_, child: flat}
    flat: {op_type: view}
"""


def test_ops_are_named_as_programs_spell_them(tmp_path: Path) -> None:
    program = _traced(Spelled(), torch.rand(3, 4), torch.rand(3, 4) + 1)
    report = compile_o1(program, tmp_path, rules=SPELLED_RULE, inference=True)
    assert len(_modules(report, "spelled")) == 1, report["rules"][0]["misses"]


def test_a_near_miss_names_entry_op_module_and_line(tmp_path: Path) -> None:
    rules = LLAMA_RULES.replace("linear_v_18: {op_type: linear}", "linear_v_18: {op_type: addmm}")
    report = compile_o1(_traced(Block(16, torch.float32), torch.randn(2, 4, 16)), tmp_path, rules=rules, inference=True)
    rule = next(r for r in report["rules"] if r["name"] == "llama2_qkv")
    assert not rule["matches"]
    why = rule["misses"][0]["why"]
    assert "linear_v_18" in why and "addmm" in why and "block." in why and "test_rules.py:" in why


def test_a_broken_rule_file_stops_the_compile(tmp_path: Path) -> None:
    program = _traced(Block(16, torch.float32), torch.randn(2, 4, 16))
    with pytest.raises(Exception, match=r"rules\.yaml:3:3: unknown key 'heuristik' .*did you mean 'heuristic'"):
        compile_o1(program, tmp_path, rules="r:\n  priority: 1\n  heuristik: GEMM\n", inference=True)
    assert not (tmp_path / "o1.pef").exists()
