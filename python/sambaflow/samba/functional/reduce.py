# SPDX-License-Identifier: Apache-2.0

"""Reductions, sorting, softmax."""

from __future__ import annotations

import torch

from sambaflow.samba.functional._names import export

__all__ = export(
    globals(),
    torch,
    "all amax amin any argmax argmin argsort log_softmax logsumexp max mean min norm prod softmax sort std sum "
    "topk var",
)
