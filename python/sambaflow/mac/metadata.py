# SPDX-License-Identifier: Apache-2.0

"""Metadata of a compile that concerns the mapping to a chip."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar


class ConvTilingMetadata:
    """The size of an image before it was cut into tiles, for `session.compile(metadata={ConvTilingMetadata.key: ...})`.

    CPUs need no tiling of images: the program computes the same with and without.
    """

    key: ClassVar[str] = "conv_tiling_metadata"

    def __init__(self, original_size: Iterable[int] = ()) -> None:
        self.original_size = tuple(int(size) for size in original_size)

    def __repr__(self) -> str:
        return f"ConvTilingMetadata(original_size={self.original_size})"
