# SPDX-License-Identifier: Apache-2.0
"""Element types by the names that programs give them."""

from __future__ import annotations

import enum

import torch


class SNType(enum.Enum):
    """Element types of the device."""

    BF16 = "bf16"
    FP16 = "fp16"
    FP32 = "fp32"
    FP64 = "fp64"
    INT8 = "int8"
    UINT8 = "uint8"
    INT16 = "int16"
    UINT16 = "uint16"
    INT32 = "int32"
    INT64 = "int64"
    BOOL = "bool"

    @staticmethod
    def to_torch_reference_type(kind: SNType | torch.dtype) -> torch.dtype:
        """The torch dtype that holds every value of `kind`."""
        return kind if isinstance(kind, torch.dtype) else _TORCH_TYPES[kind]


_TORCH_TYPES = {
    SNType.BF16: torch.bfloat16, SNType.FP16: torch.float16, SNType.FP32: torch.float32, SNType.FP64: torch.float64,
    SNType.INT8: torch.int8, SNType.UINT8: torch.uint8, SNType.INT16: torch.int16, SNType.UINT16: torch.int32,
    SNType.INT32: torch.int32, SNType.INT64: torch.int64, SNType.BOOL: torch.bool,
}  # fmt: skip
