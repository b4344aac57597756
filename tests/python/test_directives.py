# SPDX-License-Identifier: Apache-2.0
"""Directives: regions of a program become groups, and ops whose dtypes stay."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from rule_support import compile_o1
from sambaflow import samba
from sambaflow._base.library import InvalidArgumentError
from sambaflow._trace.program import Program, trace
from torch import nn
from torch.nn import functional


def _traced(forward: object) -> Program:
    class Model(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return forward(x)

    model = Model()
    samba.from_torch_model_(model)
    return trace(model, (samba.from_torch_tensor(torch.randn(2, 4), name="x"),), inference=True)


def _groups(program: Program) -> dict[str, list[str]]:
    """The ops of each group: "1 name" -> names of ops; "" holds those without one."""
    names = {}
    found: dict[str, list[str]] = {}
    for line in program.text.splitlines():
        if line.startswith("group "):
            number, name = line.split()[1:3]
            names[number] = f"{number} {name.strip(chr(34))}"
        elif " = " in line and "symbol" not in line and "full" not in line:
            flags = [part for part in line.split() if part.startswith("!group=")]
            key = names.get(flags[0].removeprefix("!group="), "?") if flags else ""
            found.setdefault(key, []).append(line.split(" = ")[1].partition("(")[0])
    return found


def test_a_region_is_a_group_and_can_be_entered_again() -> None:
    region = samba.directives.op_fusion(func_name="encoder")

    def forward(x: torch.Tensor) -> torch.Tensor:
        for _ in range(2):
            with region:
                x = torch.relu(x) * 2
            x = torch.exp(x)
        return x

    program = _traced(forward)
    assert _groups(program) == {"1 encoder": ["relu", "mul"], "2 encoder": ["relu", "mul"], "": ["exp", "exp"]}


def test_reuse_last_id_goes_on_in_the_last_group() -> None:
    def forward(x: torch.Tensor) -> torch.Tensor:
        with samba.directives.op_fusion(func_name="cls"):
            x = torch.relu(x)
        with samba.directives.op_fusion(func_name="cls", reuse_last_id=True):
            x = torch.exp(x)
        return x

    assert _groups(_traced(forward)) == {"1 cls": ["relu", "exp"]}


def test_directives_of_the_session() -> None:
    """opfusion_id makes a group an entry; the id of a hyperfunction is one group wherever it is entered."""

    def forward(x: torch.Tensor) -> torch.Tensor:
        with samba.session._add_directives({"opfusion_id": "q_proj"}):
            assert "opfusion_id" in samba.session._context_directives
            x = torch.relu(x)
        for _ in range(2):
            with samba.session._add_directives({"id": "h0", "func_name": "block", "user_annotated": True}):
                x = torch.exp(x)
        with samba.session._add_directives(None):
            return torch.tanh(x)

    program = _traced(forward)
    assert _groups(program) == {"1 q_proj": ["relu"], "2 block": ["exp", "exp"], "": ["tanh"]}
    assert not samba.session._context_directives


def test_the_older_form_marks_a_module() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList(nn.Sequential(nn.Linear(4, 4), nn.ReLU()) for _ in range(2))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            for layer in self.layers:
                x = layer(x)
            return torch.exp(x)

    model = Model()
    for layer in model.layers:
        samba.directives.op_fusion(layer, "Encoder")
    samba.from_torch_model_(model)
    program = trace(model, (samba.from_torch_tensor(torch.randn(2, 4), name="x"),), inference=True)
    assert _groups(program) == {"1 Encoder": ["linear", "relu"], "2 Encoder": ["linear", "relu"], "": ["exp"]}


def test_groups_of_the_program_go_before_rules(tmp_path: Path) -> None:
    def forward(x: torch.Tensor) -> torch.Tensor:
        with samba.directives.op_fusion(func_name="mine", heuristic="GEMM", heuristic_params={"fwd_num_sections": 1}):
            y = torch.relu(x)
        return torch.exp(torch.relu(y) + 1)

    rules = "r: {priority: 1, pattern: {a: {op_type: relu}}}"
    report = compile_o1(_traced(forward), tmp_path, rules=rules, inference=True)
    assert report["annotated_groups"] == 1
    assert len(report["rules"][0]["matches"]) == 1


def test_a_heuristic_nobody_knows_is_an_error(tmp_path: Path) -> None:
    def forward(x: torch.Tensor) -> torch.Tensor:
        with samba.directives.op_fusion(func_name="mine", heuristic="GEMMM"):
            return torch.relu(x)

    with pytest.raises(InvalidArgumentError, match="'mine': heuristic 'GEMMM' is not known.* SAFE_GEMM"):
        compile_o1(_traced(forward), tmp_path, inference=True)


@pytest.mark.parametrize("heuristic", ["kLlama3_8B_Encoder_SPMD", {"distribution": "spmd", "tiling": "t"}])
def test_a_heuristic_of_a_plugin_is_said_to_be_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], heuristic: object
) -> None:
    def forward(x: torch.Tensor) -> torch.Tensor:
        with samba.directives.op_fusion(func_name="encoder", heuristic=heuristic, plugins=f"lib{type(heuristic)}.so"):
            return torch.relu(x)

    program = _traced(forward)
    assert "which is not loaded here; the group gets the default mapping" in capsys.readouterr().out
    compile_o1(program, tmp_path, inference=True)


def test_ops_under_disable_graphamp_are_exact() -> None:
    def forward(x: torch.Tensor) -> torch.Tensor:
        with samba.session.disable_graphamp():
            x = torch.relu(x)
        with samba.directives.sdpa_directives({"sdp_mixed_p": False, "sdp_block_size": None}):
            x = functional.scaled_dot_product_attention(x[None], x[None], x[None])
        with samba.directives.sdpa_directives({"sdp_mixed_p": True}):
            return torch.exp(x)

    lines = _traced(forward).text.splitlines()
    exact = {line.split(" = ")[1].partition("(")[0] for line in lines if "!exact" in line}
    assert "relu" in exact and "scaled_dot_product_attention" in exact and "exp" not in exact
