# SPDX-License-Identifier: Apache-2.0
"""Helpers of SambaFlow programs."""

from sambaflow.samba.utils import argparser, pef_utils
from sambaflow.samba.utils.common import common_app_driver
from sambaflow.samba.utils.performance import measure_performance
from sambaflow.samba.utils.utils import (
    SNType,
    assert_close,
    get_file_dir,
    get_rank,
    get_world_size,
    is_main_process,
    set_seed,
    trace_graph,
)  # fmt: skip

__all__ = [
    "SNType", "argparser", "assert_close", "common_app_driver", "get_file_dir", "get_rank", "get_world_size",
    "is_main_process", "measure_performance", "pef_utils", "set_seed", "trace_graph",
]  # fmt: skip
