# SPDX-License-Identifier: Apache-2.0
"""SambaTensor and its companions, under SambaFlow's module name."""

from sambaflow._tensors.tensor import DimInfo, SambaTensor, from_torch_tensor, to_torch

__all__ = ["DimInfo", "SambaTensor", "from_torch_tensor", "to_torch"]
