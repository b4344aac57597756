# SPDX-License-Identifier: Apache-2.0
"""Optimizers whose update is part of the compiled program."""

from sambaflow.samba.optim.adam import Adam, AdamW, SparseAdamW
from sambaflow.samba.optim.sgd import SGD

__all__ = ["SGD", "Adam", "AdamW", "SparseAdamW"]
