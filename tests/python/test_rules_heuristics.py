# SPDX-License-Identifier: Apache-2.0
"""What heuristics decide: sections and tiles of their groups, and nothing of the results."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch
from rule_support import compile_o1, run_forward
from sambaflow import samba
from sambaflow._trace.program import Program, trace
from torch import nn

RULE = """
block:
  priority: 1
  heuristic: {heuristic}
  pattern:
    first: {{op_type: linear, child: act}}
    act: {{op_type: gelu, child: second}}
    second: {{op_type: linear, child: out}}
    out: {{op_type: relu}}
"""


def _program(rows: int = 1024, width: int = 64) -> Program:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, width), nn.ReLU())
    samba.from_torch_model_(model)
    return trace(model, (samba.from_torch_tensor(torch.randn(rows, width), name="x"),), inference=True)


def _sections(folder: Path, heuristic: str, program: Program) -> list[dict[str, str]]:
    compile_o1(program, folder, rules=RULE.format(heuristic=heuristic), inference=True)
    with (folder / "sections.csv").open() as file:
        return [row for row in csv.DictReader(file) if row["type"] == "fwd"]


def test_rows_of_a_tile_are_bounded_by_the_heuristic(tmp_path: Path) -> None:
    program = _program()
    names = ("GEMM", "SAFE_GEMM", "SAFE_INFERENCE_GEMM")
    tiles = {name: int(_sections(tmp_path, name, program)[0]["tile_rows"]) for name in names}
    assert tiles["SAFE_GEMM"] <= 256 < tiles["SAFE_INFERENCE_GEMM"] <= 512 < tiles["GEMM"]


def test_fwd_num_sections_cuts_the_forward(tmp_path: Path) -> None:
    program = _program()
    one = _sections(tmp_path, "{name: SDPA, fwd_num_sections: 1}", program)
    two = _sections(tmp_path, "{name: SDPA, fwd_num_sections: 2}", program)
    assert (len(one), len(two)) == (1, 2)
    assert "fwd_num_sections" in two[1]["why"]


def test_spatial_split_degree_makes_tiles(tmp_path: Path) -> None:
    program = _program(rows=64)
    whole = _sections(tmp_path, "MHA", program)[0]
    split = _sections(tmp_path, "{name: MHA, spatial_split_degree: 4}", program)[0]
    assert int(whole["tile_rows"]) == 64
    assert int(split["tile_rows"]) == 16


@pytest.mark.parametrize(
    "heuristic", ["SAFE_GEMM", "GPT2_QKV", "{name: MHA, fwd_num_sections: 3, spatial_split_degree: 3}"]
)
def test_results_are_those_of_the_default_mapping(tmp_path: Path, heuristic: str) -> None:
    program, results = _program(rows=100), []
    for chosen in ("GEMM", heuristic):
        _sections(tmp_path, chosen, program)
        results.append(run_forward(program, tmp_path)[0])
    assert torch.equal(*results)
