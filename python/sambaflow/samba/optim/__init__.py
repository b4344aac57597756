# SPDX-License-Identifier: Apache-2.0
"""Optimizers whose update is part of the compiled program."""

from sambaflow.samba.optim.adam import AdamW
from sambaflow.samba.optim.sgd import SGD

__all__ = ["SGD", "AdamW"]
