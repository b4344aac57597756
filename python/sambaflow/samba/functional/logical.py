# SPDX-License-Identifier: Apache-2.0

"""Comparisons and logic."""

from __future__ import annotations

import torch

from sambaflow.samba.functional._names import export

__all__ = export(
    globals(),
    torch,
    "bitwise_and bitwise_not bitwise_or bitwise_xor eq ge gt isfinite isinf isnan le logical_and logical_not "
    "logical_or logical_xor lt ne where",
)
