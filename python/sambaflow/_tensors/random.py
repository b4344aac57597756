# SPDX-License-Identifier: Apache-2.0
"""Random generators that materializers of parameters are given."""

from __future__ import annotations

import threading
from collections.abc import Iterable

import torch


class MultithreadedRNG:
    """A random generator that several threads may share."""

    def __init__(self, seed: int) -> None:
        self._generator = torch.Generator().manual_seed(seed)
        self._lock = threading.Lock()

    def normal(self, mean: float, std: float, shape: Iterable[int], dtype: torch.dtype = torch.float32) -> torch.Tensor:
        """Normally distributed numbers, drawn in float32 and rounded once."""
        with self._lock:
            drawn = torch.empty(tuple(shape)).normal_(mean, std, generator=self._generator)
        return drawn.to(dtype)

    def uniform(
        self, low: float, high: float, shape: Iterable[int], dtype: torch.dtype = torch.float32
    ) -> torch.Tensor:
        """Uniformly distributed numbers in [low, high), drawn in float32 and rounded once."""
        with self._lock:
            drawn = torch.empty(tuple(shape)).uniform_(low, high, generator=self._generator)
        return drawn.to(dtype)


class RNGProvider:
    """Gives the random generator of one reproducible stream."""

    def __init__(self, seed: int) -> None:
        self._rng = MultithreadedRNG(seed)

    def __call__(self) -> MultithreadedRNG:
        return self._rng


class RNGProviderFactory:
    """Builds providers; each has a stream of its own, which depends on torch's seed and on the order of building."""

    _lock = threading.Lock()
    _built = 0

    def build_provider(self) -> RNGProvider:
        """The next provider."""
        with RNGProviderFactory._lock:
            RNGProviderFactory._built += 1
            return RNGProvider((torch.initial_seed() + 0x9E3779B9 * RNGProviderFactory._built) % 2**63)
