# SPDX-License-Identifier: Apache-2.0
"""What the optimizers of the SDK share.

They are torch optimizers, so that state dicts, parameter groups and host steps work as usual. The update of a traced
program runs on the device; `session.to_cpu` brings the state here, `load_state_dict` sends it there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    _Base = torch.optim.Optimizer
else:
    _Base = object


class DeviceOptimizer(_Base):
    """Mixed into torch's optimizers."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """As torch's; state in use on the device is replaced there too."""
        from sambaflow import samba

        super().load_state_dict(state_dict)
        samba.session.optimizer_loaded(self)

    def cpu(self) -> None:
        """Brings the state of this optimizer from the device."""
        from sambaflow import samba

        samba.session.optimizer_to_cpu(self)
