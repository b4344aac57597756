# SPDX-License-Identifier: Apache-2.0
"""What `sambaflow.samba.utils` holds. The package loads it when one of its names is first asked for."""

from sambaflow.samba.utils import (
    argparser,
    benchmark_acc,
    checkpoint,
    common,
    dataset,
    pef_utils,
    tensorboard_debug,
    trainer,
)
from sambaflow.samba.utils.benchmark_acc import AccuracyReport
from sambaflow.samba.utils.common import common_app_driver, compile, set_output_grads
from sambaflow.samba.utils.dataset.files import load_dataset
from sambaflow.samba.utils.performance import measure_performance, measure_sections
from sambaflow.samba.utils.utils import (
    SNType,
    assert_close,
    create_mac_resource_report,
    fix_rdu_affinity,
    get_file_dir,
    get_rank,
    get_world_size,
    init_output_grads,
    is_main_process,
    set_seed,
    trace_graph,
    trace_multigraph,
)  # fmt: skip
from sambaflow.samba.utils.weight_norm import weight_norm_

__all__ = [
    "AccuracyReport", "SNType", "argparser", "assert_close", "benchmark_acc", "checkpoint", "common",
    "common_app_driver", "compile", "create_mac_resource_report", "dataset", "fix_rdu_affinity", "get_file_dir",
    "get_rank", "get_world_size", "init_output_grads", "is_main_process", "load_dataset", "measure_performance",
    "measure_sections", "pef_utils", "set_output_grads", "set_seed", "tensorboard_debug", "trace_graph",
    "trace_multigraph", "trainer", "weight_norm_",
]  # fmt: skip
