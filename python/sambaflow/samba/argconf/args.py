# SPDX-License-Identifier: Apache-2.0

"""CommonArgs, CompileArgs, RunArgs: the arguments of programs that take them from a configuration file.

`session.setup(args)` hands them to the session; `CompileArgs.model_dump()` is a `config_dict` of `session.compile`.
Fields that are None were not given. Unknown fields are kept, so that a configuration written for another release
stays usable.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, field_validator

Level = Literal["o0", "o1", "o3"]


class CommonArgs(BaseModel):
    """What compile and run have in common; a run takes these from the PEF."""

    model_config = ConfigDict(extra="allow", protected_namespaces=(), validate_assignment=True)

    arch: str | None = None
    batch_size: int | None = None
    microbatch_size: int | None = None
    data_parallel: bool = False
    debug: bool = False
    inference: bool = False
    mapping: Literal["section", "spatial"] = "section"
    n_chips: int = 1
    num_tiles: int | None = None
    verbose: bool = False


class CompileArgs(CommonArgs):
    """The arguments of a compile."""

    output_folder: str | None = None
    pef_name: str | None = None
    optim_level: Level = "o3"
    # o1
    o1_experimental_opts: bool = False
    optimization_rules: str | None = None
    use_o1_default_rules: bool | None = None
    # how the compiler works
    compiler_mode: Literal["nlp"] | None = None
    compiler_configs_file: str | None = None
    all_regions_hbm: bool | None = None
    enable_coe: bool | None = None
    enable_distribution_pass: bool | None = None
    enable_hypersection: bool | None = None
    enable_mixed_precision_ops: list[str] | None = None
    enable_multi_input_broadcast: bool | None = None
    enable_pcu_scaling: bool | None = None
    enable_safe_stochastic_rounding: bool | None = None
    hbm_auto_alloc: str | None = None
    loop_conversion: bool | None = None
    optimize_concat_split: bool | None = None
    resources_scaling_factors: list[str] | None = None
    run_early_tp: bool | None = None
    skip_pnr_aware: bool | None = None
    tensor_parallel: Literal["batch", "weight"] | None = None
    tiling_accum: str | None = None
    use_air_ce: bool | None = None
    weight_grad_reduce: str | None = None
    # several processes
    world_size: int = 1
    target_sambaflow_version: str | None = None

    @field_validator("resources_scaling_factors", mode="before")
    @classmethod
    def _as_text(cls, value: Any) -> Any:
        """Factors are kept as text; numbers are accepted."""
        return [str(item) for item in value] if isinstance(value, (list, tuple)) else value


class RunArgs(CommonArgs):
    """The arguments of a run."""

    pef: str | None = None
    data_parallel_mode: str = "normal"
    reduce_on_rdu: bool = False
