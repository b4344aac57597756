# SPDX-License-Identifier: Apache-2.0
"""torch.nn under SambaFlow's name, and SambaParameter."""

from typing import Any

from torch import nn as _nn

from sambaflow.samba.nn import parameter
from sambaflow.samba.nn.parameter import SambaParameter

__all__ = ["SambaParameter", "parameter"]


def __getattr__(name: str) -> Any:
    return getattr(_nn, name)
