# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: E501
"""The table of the op suite: importing this package fills cases.ROWS."""

from . import binary, convolution, custom, indexing, losses, products, recurrent, reductions, shapes, unary  # noqa: F401
