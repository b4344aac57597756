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
        elif lower not in _LENIENT and not _is_without_elements(device):
            raise InvalidArgumentError(f"{device.path} has no section of type {lower}: {_why_none(device, bit)}")
    if not bits and not _is_without_elements(device):
        raise InvalidArgumentError(f"{device.path} has no section of the types {', '.join(names)}")
    return bits


def _is_without_elements(device: Device) -> bool:
    """Whether it was compiled for training, and no gradient has an element: there is nothing to run then, and no
    mistake in asking for it."""
    gradients = device.of_kind("GRADIENT")
    return bool(gradients) and all(0 in gradient.shape for gradient in gradients)


def _why_none(device: Device, bit: int) -> str:
    if device.metadata.get("leat", {}).get("inference", True):
        return "it was compiled for inference; compile it for training to run that"
    if bit == BCKWD or not device.of_kind("GRADIENT"):
        return "none of its losses depends on a parameter or an input that takes a gradient"
    return "it was compiled without an optimizer; compile it with one to run that"
