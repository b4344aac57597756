# SPDX-License-Identifier: Apache-2.0

"""Models whose parameters get their data late.

Inside `lazy_param()` modules are made without data: parameters are empty SambaParameters, each with a materializer
that computes what the module would have put there. `materialize(model)`, `parameter.rdu()` and `session.to_device()`
call it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import nn

from sambaflow._tensors.random import MultithreadedRNG, RNGProvider, RNGProviderFactory
from sambaflow._tensors.tensor import SambaTensor
from sambaflow.samba._deferred import OnMeta, Recorder
from sambaflow.samba.nn.parameter import SambaParameter

__all__ = ["MultithreadedRNG", "RNGProvider", "RNGProviderFactory", "lazy_param"]

_disabled = False
_quantized = 0  # depth of lazy_param(quantized=True)


def is_quantized() -> bool:
    """Whether layers with quantised weights are made without their integers now."""
    return _quantized > 0 and not _disabled


def disable() -> None:
    """From here on `lazy_param()` changes nothing: modules are made with data."""
    global _disabled
    _disabled = True


@contextlib.contextmanager
def lazy_param(quantized: bool = False) -> Iterator[None]:
    """Modules made inside have parameters without data; buffers have theirs.

    Each parameter's random numbers come from a stream of its own, seeded from torch's generator, so they do not depend
    on the order in which parameters are materialized (and are not those of the same model made with data). With
    `quantized`, layers with quantised weights (frameworks.quantized) made inside know shape, dtype and scale of their
    weights, and compute the integers when they are needed.
    """
    global _quantized
    if _disabled:
        yield
        return
    _quantized += quantized
    try:
        with _without_data():
            yield
    finally:
        _quantized -= quantized


@contextlib.contextmanager
def _without_data() -> Iterator[None]:
    recorder = Recorder()
    owners: list[nn.Module] = []

    def registered(module: nn.Module, name: str, value: object) -> None:
        if not owners or owners[-1] is not module:
            owners.append(module)

    hooks = [
        nn.modules.module.register_module_parameter_registration_hook(registered),
        nn.modules.module.register_module_buffer_registration_hook(registered),
    ]
    try:
        with OnMeta(), recorder:
            yield
    finally:
        for hook in hooks:
            hook.remove()
    _replace(list(dict.fromkeys(owners)), recorder)


def _replace(modules: list[nn.Module], recorder: Recorder) -> None:
    """Puts empty SambaParameters, and buffers with data, in place of meta tensors; tied ones stay tied."""
    made: dict[int, SambaParameter] = {}
    for module in modules:
        for name, parameter in list(module._parameters.items()):
            if parameter is None or not recorder.made(parameter):
                continue
            if id(parameter) not in made:
                made[id(parameter)] = _lazy(parameter, recorder)
            setattr(module, name, made[id(parameter)])  # not _parameters: nn.LSTM keeps a list beside it
        for name, buffer in list(module._buffers.items()):
            if buffer is not None and recorder.made(buffer):
                module._buffers[name] = recorder.replay(buffer)


def _lazy(parameter: torch.Tensor, recorder: Recorder) -> SambaParameter:
    template = parameter.detach()
    template.requires_grad_(False)

    def materializer(_: SambaTensor) -> torch.Tensor:
        return recorder.replay(template)

    return SambaParameter(
        shape=parameter.shape, dtype=parameter.dtype, requires_grad=parameter.requires_grad, materializer=materializer
    )
