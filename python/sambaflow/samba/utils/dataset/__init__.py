# SPDX-License-Identifier: Apache-2.0

"""Data sets that programs read from disk."""

from sambaflow.samba.utils.dataset import mnist
from sambaflow.samba.utils.dataset.files import load_dataset

__all__ = ["load_dataset", "mnist"]
