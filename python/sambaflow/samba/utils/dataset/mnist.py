# SPDX-License-Identifier: Apache-2.0

"""The transform of MNIST images."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

MEAN, STD = 0.1307, 0.3081


def dataset_transform(args: Mapping[str, Any] | argparse.Namespace | None = None) -> Callable[[Any], torch.Tensor]:
    """A callable from an image (PIL, numpy or tensor; 0..255 or 0..1) to a normalised float32 vector.

    The vector has `num_features` elements (784 unless `args` says otherwise). It serves as `transform=` of
    torchvision's MNIST, and needs no torchvision itself.
    """
    options = vars(args) if isinstance(args, argparse.Namespace) else dict(args or {})
    features = int(options.get("num_features") or 784)

    def transform(image: Any) -> torch.Tensor:
        if isinstance(image, torch.Tensor):
            pixels = image.detach().clone()
        else:
            pixels = torch.from_numpy(np.array(image))
        scaled = pixels.to(torch.float32) / (255.0 if not pixels.is_floating_point() else 1.0)
        if scaled.numel() != features:
            raise ValueError(
                f"dataset_transform: an image of shape {list(scaled.shape)} has {scaled.numel()} pixels, but "
                f"num_features is {features}"
            )
        return ((scaled - MEAN) / STD).reshape(features)

    return transform
