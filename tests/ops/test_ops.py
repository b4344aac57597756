# SPDX-License-Identifier: Apache-2.0
"""The op suite: one test a row, and coverage of the table. `python -m tests.ops.report ROW` shows a row in detail."""

import os
import re
from pathlib import Path

import pytest
import torch

from . import coverage, table  # noqa: F401 - table fills ROWS
from .cases import ROWS
from .checks import Reference, check_row
from .engine import Program

TRACED_OPS = Path(__file__).resolve().parents[2] / "src" / "ir" / "traced.def"
# Statements and leaves that no function makes; random rows have tests of their own (test_random.py).
NOT_IN_TABLE = {"output", "update", "optimizer", "symbol", "rand", "randn", "dropout"}


@pytest.mark.parametrize("name", sorted(ROWS))
def test_row(name, tmp_folder, suite_count):
    count, messages = check_row(ROWS[name], tmp_folder)
    suite_count.add(name, count)
    shown = "\n  ".join(messages[:12])
    assert not messages, f"{len(messages)} failures in {count} cases of {name}:\n  {shown}"


def test_products_run_at_the_level_of_the_process(tmp_folder):
    """With kernels that are generated for it, in a build that has them: none at the level portable."""
    reference = Reference(next(case for case in ROWS["matmul"].cases if not case.params), torch.float32)
    report = Program(reference.trace(), os.path.join(tmp_folder, "level.pef")).report()
    level = os.environ.get("LEAT_ISA") or report["isa"]
    assert report["isa"] == level
    assert level != "portable" or "kernels" not in report


def test_every_traced_op_has_a_row():
    names = set(re.findall(r'^TRACED\(\w+, +"(\w+)"', TRACED_OPS.read_text(), re.MULTILINE))
    assert names - NOT_IN_TABLE == set(ROWS)


def test_every_row_has_eight_cases():
    assert {name: len(row.cases) for name, row in ROWS.items() if len(row.cases) < 8} == {}


def test_the_usual_shapes_are_there():
    """0-d or size-1 tensors, and inputs that are not contiguous."""
    for name, row in ROWS.items():
        inputs = [spec for case in row.cases for spec in case.inputs]
        assert any(spec.shape == () or 1 in spec.shape for spec in inputs), name
        assert any(spec.layout != "plain" for spec in inputs), name


@pytest.mark.parametrize("operator, rows", sorted({**coverage.FREQUENT, **coverage.DOCUMENTED}.items()))
def test_operator_is_covered(operator, rows):
    """The most frequent operators of public models and the documented ones have rows."""
    assert set(rows) <= set(ROWS) | NOT_IN_TABLE, operator
