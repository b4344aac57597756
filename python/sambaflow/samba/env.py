# SPDX-License-Identifier: Apache-2.0
"""Switches that programs ask for."""

import os


def use_mock_samba_runtime() -> bool:
    """Whether the program runs without device: SAMBA_MOCK_RUNTIME=1."""
    return os.environ.get("SAMBA_MOCK_RUNTIME", "0") not in ("", "0")


def enable_conv_grad_accum_stoc() -> bool:
    """Stochastic rounding is not used: gradients accumulate in their own precision."""
    return False


def enable_addbias_grad_accum_stoc() -> bool:
    """See enable_conv_grad_accum_stoc."""
    return False


def disable_sgd_stoc() -> bool:
    """SGD rounds to nearest."""
    return True
