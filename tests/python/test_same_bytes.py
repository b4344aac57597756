# SPDX-License-Identifier: Apache-2.0
"""The compiler writes the bytes that it wrote when the newest golden files were made.

What changes them on purpose makes the golden files of a new release beside the old ones (tests/data/make_pef.py).
"""

import sys
from pathlib import Path

import pytest

pytest.importorskip("sambaflow._leat")

DATA = Path(__file__).parents[1] / "data"
sys.path.insert(0, str(DATA))

import make_pef  # noqa: E402

NEWEST = max((DATA / "pef").iterdir(), key=lambda folder: [int(part) for part in folder.name.split(".")])


@pytest.mark.parametrize("name", make_pef.PROGRAMS)
def test_a_program_compiles_to_the_bytes_of_the_newest_golden_file(name):
    *_, pef = make_pef.load(name)
    assert Path(pef).read_bytes() == (NEWEST / name / "program.pef").read_bytes()
