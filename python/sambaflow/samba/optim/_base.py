# SPDX-License-Identifier: Apache-2.0
"""What the optimizers of the SDK share.

They are torch optimizers, so that state dicts, parameter groups and host steps work as usual. The update of a traced
program runs on the device; `session.to_cpu` brings the state here, `load_state_dict` sends it there.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import torch

from sambaflow.samba import _process

if TYPE_CHECKING:
    _Base = torch.optim.Optimizer
else:
    _Base = object


class DeviceOptimizer(_Base):
    """Mixed into torch's optimizers."""

    # torch's own is wrapped: its first call imports torch._dynamo, which takes a second.
    add_param_group = inspect.unwrap(torch.optim.Optimizer.add_param_group)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """As torch's; state in use on the device is replaced there too."""
        super().load_state_dict(state_dict)
        self._keep_dtypes(state_dict)
        _process.session.optimizer_loaded(self)

    def _keep_dtypes(self, state_dict: dict[str, Any]) -> None:
        """torch casts state to the dtype of its parameter; the state of a bf16 parameter may be fp32."""
        indices = [index for group in state_dict["param_groups"] for index in group["params"]]
        parameters = [parameter for group in self.param_groups for parameter in group["params"]]
        for index, parameter in zip(indices, parameters, strict=True):
            for key, value in state_dict["state"].get(index, {}).items():
                kept = self.state[parameter].get(key)
                if isinstance(value, torch.Tensor) and kept is not None and kept.dtype != value.dtype:
                    self.state[parameter][key] = value.detach().clone()

    def __getattr__(self, name: str) -> Any:
        """What torch.amp.GradScaler asks before a step: on the device there is nothing left to scale."""
        if name != "_step_supports_amp_scaling":
            raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")
        if all(parameter.grad is None for group in self.param_groups for parameter in group["params"]):
            raise RuntimeError(
                "GradScaler: no parameter has a gradient on the host, since session.run makes updates by itself. bf16 "
                "has the exponents of fp32, so that losses need no scaling: pass enabled=False, or leave it out"
            )
        return False

    def cpu(self) -> None:
        """Brings the state of this optimizer from the device."""
        _process.session.optimizer_to_cpu(self)
