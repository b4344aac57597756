# SPDX-License-Identifier: Apache-2.0
"""What `sambaflow.samba` holds. The package loads it when one of its names is first asked for."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from sambaflow._tensors.tensor import DimInfo, SambaTensor, from_torch_tensor, to_torch
from sambaflow.samba import (
    directives,
    env,
    functional,
    graph,
    lazy_param,
    materialize,
    nn,
    optim,
    parallel_patterns,
    profiler,
    sambaloader,
    sambatensor,
    sn_private,
    test,
    utils,
)  # fmt: skip
from sambaflow.samba._process import session  # noqa: F401 - `samba.session` reads it anew each time
from sambaflow.samba.convert import *  # noqa: F403
from sambaflow.samba.functional import *  # noqa: F403

__all__ = [
    "DimInfo", "SambaTensor", "directives", "env", "from_torch_tensor", "functional", "graph", "lazy_param",
    "materialize", "nn", "optim", "parallel_patterns", "profiler", "sambaloader", "sambatensor", "session",
    "sn_private", "test", "to_torch", "utils",
]  # fmt: skip


def is_internal() -> bool:
    """Whether this is a build for its makers alone: no."""
    return False


@contextlib.contextmanager
def patched_torch() -> Iterator[None]:
    """Torch is never patched outside tracing, so a reference computed inside is plain torch."""
    yield
