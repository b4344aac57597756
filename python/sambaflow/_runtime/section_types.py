# SPDX-License-Identifier: Apache-2.0
"""Section types of a program: their bits, and what names of them mean for a program that may lack some."""

from __future__ import annotations

from collections.abc import Sequence

from sambaflow._base.library import InvalidArgumentError, enumeration
from sambaflow._runtime.device import Device

SECTION_TYPES = {name: bit for name, bit in enumeration("LEAT_SECTIONS_").items() if name != "all"}
FWD, BCKWD, OPT = (SECTION_TYPES[name] for name in ("fwd", "bckwd", "opt"))
# Those a program may ask for though the PEF has none of them.
_LENIENT = {"gradnorm", "reduce", "gather"}


def bits_of(device: Device, names: Sequence[str]) -> int:
    """The types that the program on `device` has of those named. InvalidArgumentError: unknown, or not in it."""
    bits = 0
    for name in names:
        lower = str(name).lower()
        if lower not in SECTION_TYPES:
            raise InvalidArgumentError(f"unknown section type {name!r}; there are {', '.join(SECTION_TYPES)}")
        bit = SECTION_TYPES[lower]
        if bit & device.section_types:
            bits |= bit
        elif bit == BCKWD and device.drops_gradients:
            if "opt" not in (str(other).lower() for other in names):
                raise InvalidArgumentError(
                    f"{device.path} was compiled with --drop-grads: backward runs together with the updates, "
                    "which use its gradients up; name opt, too, or compile without it"
                )
        elif lower not in _LENIENT:
            raise InvalidArgumentError(
                f"{device.path} has no section of type {lower}: it was compiled for inference or without an "
                "optimizer; compile it for training to run that"
            )
    if not bits:
        raise InvalidArgumentError(f"{device.path} has no section of the types {', '.join(names)}")
    return bits
