# SPDX-License-Identifier: Apache-2.0
"""Scratch folder and counts of the op suite; the last lines of a run say how many rows and cases there were."""

import tempfile

import pytest
import torch

from .engine import scratch_folder


class SuiteCount:
    def __init__(self):
        self.rows = {}

    def add(self, row, cases):
        self.rows[row] = cases


_COUNT = SuiteCount()


@pytest.fixture(scope="session")
def suite_count():
    return _COUNT


@pytest.fixture(scope="session")
def tmp_folder():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(dir=scratch_folder()) as folder:
        yield folder
    torch.set_num_threads(before)


def pytest_terminal_summary(terminalreporter):
    if _COUNT.rows:
        terminalreporter.write_line(f"op suite: rows {len(_COUNT.rows)}, cases {sum(_COUNT.rows.values())}")
