# SPDX-License-Identifier: Apache-2.0

"""Switches that programs ask for. Each is a function without arguments that returns a bool.

A switch is set by the environment variable SAMBA_<NAME> (1 or 0), read when it is asked for. What a switch does here:

| switch | default | effect |
|---|---|---|
| use_mock_samba_runtime | off | get_pef_info gives the mock values of its fields; SAMBA_MOCK_RUNTIME=1 sets it too |
| enable_conv_grad_accum_stoc | off | none: gradients round to nearest |
| enable_addbias_grad_accum_stoc | off | none: gradients round to nearest |
| disable_sgd_stoc | on | none: SGD rounds to nearest |
"""

from __future__ import annotations

import os

SWITCHES = {
    "use_mock_samba_runtime": False,
    "enable_conv_grad_accum_stoc": False,
    "enable_addbias_grad_accum_stoc": False,
    "disable_sgd_stoc": True,
}


def _is_set(name: str) -> bool:
    variable = f"SAMBA_{name.upper()}"
    text = os.environ.get(variable)
    if text is None:
        return SWITCHES[name]
    if text.lower() not in ("0", "1", "true", "false", ""):
        raise ValueError(f"{variable}={text!r}: expected 0 or 1")
    return text.lower() in ("1", "true")


def use_mock_samba_runtime() -> bool:
    """Whether the program runs without device."""
    return _is_set("use_mock_samba_runtime") or os.environ.get("SAMBA_MOCK_RUNTIME", "0") not in ("", "0")


def enable_conv_grad_accum_stoc() -> bool:
    """Whether stochastic rounding was asked for in the gradients of convolutions."""
    return _is_set("enable_conv_grad_accum_stoc")


def enable_addbias_grad_accum_stoc() -> bool:
    """Whether stochastic rounding was asked for in the gradients of biases."""
    return _is_set("enable_addbias_grad_accum_stoc")


def disable_sgd_stoc() -> bool:
    """Whether SGD was asked not to round stochastically."""
    return _is_set("disable_sgd_stoc")
