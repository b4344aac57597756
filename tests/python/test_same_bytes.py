# SPDX-License-Identifier: Apache-2.0
"""The compiler writes the bytes that were recorded: a change of them is a decision.

What changes them on purpose records them again, in the same commit: `tests/data/make_pef.py --bytes`.
"""

import sys
from pathlib import Path

import pytest

pytest.importorskip("sambaflow._leat")

DATA = Path(__file__).parents[1] / "data"
sys.path.insert(0, str(DATA))

import make_pef  # noqa: E402


@pytest.mark.parametrize("name", make_pef.PROGRAMS)
def test_a_program_compiles_to_the_bytes_that_were_recorded(name):
    assert make_pef.checksum(name) == make_pef.recorded()[name], "tests/data/make_pef.py --bytes records them again"
