# SPDX-License-Identifier: Apache-2.0

"""The report of a program's accuracy."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import torch

from sambaflow._base.files import write_json
from sambaflow.samba._at_end import report_made


class AccuracyReport:
    """Accuracy of a validation, to be saved as JSON.

    With the option --acc-report-json a report is saved to that file when it is made; the last one stays.
    """

    def __init__(
        self,
        val_metrics: Mapping[str, Any] | None = None,
        val_accuracy: Any = None,
        batch_size: int | None = None,
        num_iterations: int | None = None,
        **more: Any,
    ) -> None:
        """`val_metrics` maps names to numbers; `val_accuracy` is short for one metric, `acc`."""
        if val_metrics is None and val_accuracy is None:
            raise ValueError("AccuracyReport needs val_metrics or val_accuracy")
        metrics = dict(val_metrics or {})
        if val_accuracy is not None:
            metrics["acc"] = val_accuracy
        self.val_metrics = {name: _number(value) for name, value in metrics.items()}
        self.val_accuracy = self.val_metrics.get("acc")
        self.batch_size, self.num_iterations = batch_size, num_iterations
        self.more = {name: _number(value) for name, value in more.items()}
        report_made("acc_report_json")
        path = _asked_path()
        if path:
            self.save(path)

    def to_dict(self) -> dict[str, Any]:
        """What `save` writes: val_metrics, val_accuracy, batch_size, num_iterations, and the further arguments."""
        return {
            "val_metrics": self.val_metrics, "val_accuracy": self.val_accuracy, "batch_size": self.batch_size,
            "num_iterations": self.num_iterations, **self.more,
        }  # fmt: skip

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the report as JSON."""
        write_json(path, self.to_dict())


def _asked_path() -> str | None:
    """The file of --acc-report-json, unless the program defined that option anew."""
    from sambaflow import samba

    args = samba.session.args
    return None if "acc_report_json" in getattr(args, "program_options", ()) else getattr(args, "acc_report_json", None)


def _number(value: Any) -> Any:
    """Tensors and numpy numbers of one element as Python numbers."""
    if isinstance(value, torch.Tensor) or hasattr(value, "item"):
        return value.item()
    return value
