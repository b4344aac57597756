# SPDX-License-Identifier: Apache-2.0
"""Runs rows of the op suite outside pytest and prints every failure.

usage: python -m tests.ops.report [ROW...] [--brief]
"""

import argparse
import tempfile
import time

import torch

from . import table  # noqa: F401 - fills ROWS
from .cases import ROWS
from .checks import check_row
from .engine import scratch_folder


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("rows", nargs="*", metavar="ROW")
    parser.add_argument("--brief", action="store_true", help="at most two failures a row")
    args = parser.parse_args()
    torch.set_num_threads(1)
    start, cases, failures, bad_rows = time.monotonic(), 0, 0, 0
    with tempfile.TemporaryDirectory(dir=scratch_folder()) as folder:
        for name in args.rows or sorted(ROWS):
            count, messages = check_row(ROWS[name], folder)
            cases, failures, bad_rows = cases + count, failures + len(messages), bad_rows + bool(messages)
            print(f"{name:32} {count:4} cases {len(messages):4} failures", flush=True)
            for message in messages[:2] if args.brief else messages:
                print(f"    {message}")
    rows = len(args.rows or ROWS)
    print(f"rows {rows}, cases {cases}; {bad_rows} rows with {failures} failures; {time.monotonic() - start:.0f} s")


if __name__ == "__main__":
    main()
