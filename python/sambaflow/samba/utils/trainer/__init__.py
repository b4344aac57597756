# SPDX-License-Identifier: Apache-2.0

"""Training loops, on the device (`samba`) and on the host (`torch`), with one signature."""

from sambaflow.samba.utils.trainer import samba, torch

__all__ = ["samba", "torch"]
