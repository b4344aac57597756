# SPDX-License-Identifier: Apache-2.0
"""The SambaFlow SDK on Leat."""

__version__ = "0.1.0"


def is_demo() -> bool:
    """Whether this is a demonstration build: no."""
    return False
