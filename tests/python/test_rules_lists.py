# SPDX-License-Identifier: Apache-2.0
"""The built-in rule lists on the architectures they are for, built with `transformers` from small configurations."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from rule_support import compile_o1, run_forward
from sambaflow import samba
from sambaflow._trace.program import Program, trace

transformers = pytest.importorskip("transformers")
LAYERS = 2
SIZES = {"vocab_size": 64, "hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 4}


def _gpt2(attention: str) -> Any:
    config = transformers.GPT2Config(
        vocab_size=64, n_embd=32, n_layer=LAYERS, n_head=4, n_positions=32, bos_token_id=1, eos_token_id=2,
        attn_implementation=attention)  # fmt: skip
    return transformers.GPT2LMHeadModel(config)


def _bloom(attention: str) -> Any:
    config = transformers.BloomConfig(
        vocab_size=64, hidden_size=32, n_layer=LAYERS, n_head=4, attn_implementation=attention
    )
    return transformers.BloomForCausalLM(config)


def _neox(attention: str) -> Any:
    config = transformers.GPTNeoXConfig(
        **SIZES, num_hidden_layers=LAYERS, max_position_embeddings=32, attn_implementation=attention)  # fmt: skip
    return transformers.GPTNeoXForCausalLM(config)


def _neox_fast_gelu(attention: str) -> Any:
    config = transformers.GPTNeoXConfig(
        **SIZES, num_hidden_layers=LAYERS, max_position_embeddings=32, attn_implementation=attention,
        hidden_act="gelu_fast", use_parallel_residual=False)  # fmt: skip
    return transformers.GPTNeoXForCausalLM(config)


def _llama(attention: str) -> Any:
    config = transformers.LlamaConfig(
        **SIZES, num_hidden_layers=LAYERS, max_position_embeddings=32, attn_implementation=attention)  # fmt: skip
    return transformers.LlamaForCausalLM(config)


def _bert(attention: str) -> Any:
    config = transformers.BertConfig(
        **SIZES, num_hidden_layers=LAYERS, max_position_embeddings=32, attn_implementation=attention)  # fmt: skip
    return transformers.BertForSequenceClassification(config)


def traced(model: Any, inference: bool, label_shape: tuple[int, ...] = (2, 8)) -> Program:
    """`model` on a batch of two sequences of eight tokens; with labels unless for inference."""
    samba.from_torch_model_(model)
    inputs = {"input_ids": samba.from_torch_tensor(torch.zeros(2, 8, dtype=torch.long), name="input_ids")}
    if not inference:
        inputs["labels"] = samba.from_torch_tensor(torch.zeros(label_shape, dtype=torch.long), name="labels")
    return trace(model, inputs, inference=inference)


def matches(report: dict[str, Any]) -> dict[str, int]:
    """How often each rule matched; rules without a match are left out."""
    return {rule["name"]: len(rule["matches"]) for rule in report["rules"] if rule["matches"]}


GPT2_BLOCK = "qkv_split {attention} projection ffn0_tanh_gelu ffn1"
# List, architecture, attention, inference, what is found once and what once a layer.
CASES = [
    ("gpt2", _gpt2, "eager", False, "embedding cross_entropy classification", GPT2_BLOCK.format(attention="mha")),
    ("gpt2", _gpt2, "sdpa", False, "embedding cross_entropy classification", GPT2_BLOCK.format(attention="sdpa")),
    ("gpt2", _gpt2, "eager", True, "embedding classification", GPT2_BLOCK.format(attention="mha")),
    ("bloom", _bloom, "eager", True, "embedding_alone classification",
     "bloom_qkv bloom_mha projection bloom_ffn0 ffn1"),
    ("bloom", _bloom, "eager", False, "embedding_alone cross_entropy classification",
     "bloom_qkv bloom_mha projection bloom_ffn0 ffn1 attention_mask"),
    ("gpt_neox_inference", _neox_fast_gelu, "eager", True, "embedding_alone classification",
     "neox_qkv neox_rotary mha projection ffn0_fast_gelu ffn1"),
    ("gpt-neox-training", _neox, "eager", False, "embedding_alone cross_entropy classification",
     "neox_qkv neox_rotary mha projection ffn0 ffn1"),
    ("gpt-neox-training", _neox, "sdpa", False, "embedding_alone cross_entropy classification",
     "neox_qkv neox_rotary sdpa projection ffn0 ffn1"),
    ("gpt_neox_inference", _neox, "eager", True, "embedding_alone classification",
     "neox_qkv neox_rotary mha projection ffn0 ffn1"),
    ("gpt_neox_inference", _neox, "sdpa", True, "embedding_alone classification",
     "neox_qkv neox_rotary sdpa projection ffn0 ffn1"),
    ("nlp", _llama, "eager", False, "embedding_alone cross_entropy classification_rms_norm",
     "qkv_rms_norm rotary mha projection ffn0_gated_rms_norm ffn1"),
    ("nlp", _llama, "sdpa", True, "embedding_alone classification_rms_norm",
     "qkv_rms_norm rotary sdpa projection ffn0_gated_rms_norm ffn1"),
    ("nlp", _bert, "eager", False, "embedding cross_entropy classification_pooled", "qkv mha projection ffn0 ffn1"),
    ("nlp", _bert, "sdpa", False, "embedding cross_entropy classification_pooled", "qkv sdpa projection ffn0 ffn1"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("rule_list", "build", "attention", "inference", "once", "each"), CASES,
    ids=[f"{c[0]}-{c[1].__name__[1:]}-{c[2]}-{'inference' if c[3] else 'training'}" for c in CASES],
)  # fmt: skip
def test_named_groups_are_found_once_a_layer(
    tmp_path: Path, rule_list: str, build: Any, attention: str, inference: bool, once: str, each: str
) -> None:
    program = traced(build(attention), inference, (2,) if build is _bert else (2, 8))
    report = compile_o1(program, tmp_path, rule_list=rule_list, inference=inference)
    assert matches(report) == {**dict.fromkeys(once.split(), 1), **dict.fromkeys(each.split(), LAYERS)}
    for rule in report["rules"]:
        layers = [_layer(match) for match in rule["matches"]]
        assert len(set(layers)) == len(layers), f"{rule['name']} twice in one layer"


def _layer(match: dict[str, Any]) -> str:
    """The layer that most ops of a match stand in: the part of the module path up to its number."""
    modules = [entry["module"].split(".") for entry in match.values()]
    prefixes = [".".join(m[: i + 1]) for m in modules for i, part in enumerate(m) if part.isdigit()]
    return max(set(prefixes), key=prefixes.count) if prefixes else modules[-1][-1]


def test_the_lists_of_gpt_neox_lay_products_out_for_what_they_are_for(tmp_path: Path) -> None:
    found = {}
    for rule_list, inference in (("gpt_neox_inference", True), ("gpt-neox-training", False)):
        report = compile_o1(traced(_neox("eager"), inference), tmp_path, rule_list=rule_list, inference=inference)
        found[rule_list] = {rule["heuristic"] for rule in report["rules"]} - {""}
    assert found["gpt_neox_inference"] == {"SAFE_INFERENCE_GEMM", "MHA", "SDPA"}
    assert found["gpt-neox-training"] == {"SAFE_GEMM", "MHA", "SDPA"}


def test_default_list_finds_attention(tmp_path: Path) -> None:
    report = compile_o1(traced(_gpt2("eager"), True), tmp_path, inference=True)
    assert matches(report)["mha"] == LAYERS
    assert json.loads((tmp_path / "fusion.json").read_text()) == report


@pytest.mark.parametrize(
    ("rule_list", "build", "attention"),
    [("gpt2", _gpt2, "eager"), ("gpt2", _gpt2, "sdpa"), ("bloom", _bloom, "eager"), ("nlp", _llama, "eager"),
     ("gpt_neox_inference", _neox, "eager"), ("nlp", _bert, "sdpa")],
)  # fmt: skip
def test_groups_compute_what_the_model_computes(tmp_path: Path, rule_list: str, build: Any, attention: str) -> None:
    torch.manual_seed(0)
    model = build(attention).eval()
    expected = model(input_ids=torch.zeros(2, 8, dtype=torch.long)).logits.detach()
    program = traced(model, True)
    compile_o1(program, tmp_path, rule_list=rule_list, inference=True)
    torch.testing.assert_close(run_forward(program, tmp_path)[0], expected, rtol=1e-4, atol=1e-4)
