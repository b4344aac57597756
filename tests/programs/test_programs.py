# SPDX-License-Identifier: Apache-2.0
"""Whole programs in the ways that SambaFlow programs are written; each checks itself and ends with `passed`."""

from pathlib import Path

import pytest
from support import run_python

HERE = Path(__file__).resolve().parent
# Program, and options of its own that both commands get.
PROGRAMS = {"outputs_first": ["-b", "24"], "host_backward": [], "odd_inputs": ["--h", "9", "-bs", "100"]}


@pytest.mark.parametrize("name", list(PROGRAMS))
def test_program(name, tmp_path):
    (tmp_path / "results").mkdir()
    options = ["--output-folder", "results", "--pef-name", f"{name}.pef"]
    compiled = run_python(HERE / f"{name}.py", "compile", *options, *PROGRAMS[name], cwd=tmp_path)
    assert compiled.returncode == 0, compiled.stdout + compiled.stderr
    pef = tmp_path / "results" / name / f"{name}.pef"
    assert pef.is_file(), "a PEF name that ends in .pef loses that ending"
    done = run_python(HERE / f"{name}.py", "run", "--pef", pef, *PROGRAMS[name], cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.rstrip().endswith("passed")
