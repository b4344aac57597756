# SPDX-License-Identifier: Apache-2.0
"""What a program stores in its PEF, and reads back."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from sambaflow._base.library import from_command_line
from sambaflow.samba._artifacts import plain

# Arguments that say where files are, not what the program is: equal programs give equal PEFs.
_NOT_OF_THE_PROGRAM = {
    "acc_report_json", "bench_report_json", "compiled_stats_json", "json", "log_dir", "output_folder", "pef",
    "pef_name", "resource_report_path",
}  # fmt: skip


def get_pefmeta(args: argparse.Namespace, model: nn.Module) -> dict[str, Any]:
    """Metadata from parsed arguments: all of them but names of files."""
    return get_pefmeta_dict({k: v for k, v in vars(args).items() if k not in _NOT_OF_THE_PROGRAM}, model)


def get_pefmeta_dict(values: Mapping[str, Any], model: nn.Module) -> dict[str, Any]:
    """Metadata from a dict. Sets and other objects are stored as their text."""
    result: dict[str, Any] = plain(values)
    result.setdefault("model_class", type(model).__name__)
    return result


@dataclass
class PefInfoStruct:
    """A field to read, and its value where there is no device."""

    mock_value: Any = None


def get_pef_info(pef_path: str | os.PathLike[str], fields: Mapping[str, PefInfoStruct]) -> dict[str, Any]:
    """The named fields of a PEF's metadata; ValueError names those that were not stored."""
    from sambaflow._runtime.device import Device
    from sambaflow.samba.env import use_mock_samba_runtime

    if use_mock_samba_runtime():
        return {name: field.mock_value for name, field in fields.items()}
    with from_command_line():
        stored = Device(os.fspath(pef_path)).metadata.get("app", {})
    missing = [name for name in fields if name not in stored]
    if missing:
        raise ValueError(
            f"{pef_path} does not hold {', '.join(missing)}; it holds {', '.join(sorted(stored)) or 'nothing'}"
        )
    return {name: stored[name] for name in fields}
