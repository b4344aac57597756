# SPDX-License-Identifier: Apache-2.0
"""Methods of the session beside compile, load and run: profiles, several graphs in one PEF, memory settings."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NoReturn

from sambaflow._base.library import UnsupportedError
from sambaflow.samba import profiles

if TYPE_CHECKING:
    import torch

    from sambaflow._runtime.device import Device
    from sambaflow._runtime.runner import Runner
    from sambaflow._tensors.tensor import SambaTensor
    from sambaflow._trace.program import Program


class SessionExtras:
    """Mixed into SambaSession."""

    _host_profile: profiles.HostProfile | None = None
    _profiled: Device | None = None

    if TYPE_CHECKING:
        args: argparse.Namespace | None
        profiler: Any
        _runner: Runner | None
        _program: Program | None

        def _runner_of(self, outputs: Any) -> Runner | None: ...

        def _bound_device(self) -> Device: ...

        def run(self, *arguments: Any, **more: Any) -> tuple[SambaTensor, ...]: ...

    def run_again(self, section_types: Iterable[str] | None = None) -> None:
        """Repeats the sections of `section_types` on the memory that the last `run` bound: the graph alone. Of several
        batches in that run, the last one."""
        if self._runner is None:
            raise RuntimeError("nothing has run yet: call session.run first")
        with self._runner.device.turn:
            self._runner.run_again(section_types)

    def run_aside(
        self, inputs: Any, outputs: Any, hyperparameters: Mapping[str, float], section_types: Iterable[str]
    ) -> tuple[SambaTensor, ...]:
        """As `run`, but gradients that are summed up for an update stay as they are."""
        runner = self._runner_of(outputs)
        if runner is None:
            raise RuntimeError("nothing is loaded: call samba.utils.trace_graph first")
        with runner.device.turn:
            return runner.run_aside(inputs, outputs, hyperparameters, section_types)

    def traced_inputs(self) -> tuple[torch.Tensor, ...]:
        """The inputs that `trace_graph` was given, in the order of the program."""
        return () if self._program is None else tuple(self._program.input_tensors.values())

    def traced_outputs(self) -> tuple[SambaTensor, ...]:
        """The stand-ins for the outputs that `trace_graph` gave; none before."""
        return () if self._runner is None else tuple(self._runner.traced)

    # ---- profiles

    def start_runtime_profile(self) -> None:
        """From here on every section is timed; a profile that was begun before starts anew.

        Sections then run one by one, each ended by a barrier, so that a whole step takes a little longer.
        """
        self._profiled = self._bound_device()
        self._profiled.set_profile(True)

    def end_runtime_profile(self, filename: str | os.PathLike[str] | None = None) -> list[dict[str, Any]]:
        """Stops timing and writes `filename` (runtime_profile.log): a table, or JSON where it ends in .json."""
        device = self._profiled
        if device is None:
            raise RuntimeError("no runtime profile was begun: call session.start_runtime_profile() after trace_graph")
        path = profiles.require_file(filename, "runtime_profile.log")
        self._profiled = None
        try:
            return profiles.write_runtime_profile(device, path)
        finally:
            device.set_profile(False)

    @property
    def is_runtime_profiled(self) -> bool:
        """Whether a runtime profile is being taken."""
        return self._profiled is not None

    @property
    def is_host_profiled(self) -> bool:
        """Whether a samba profile is being taken."""
        return self._host_profile is not None

    def start_samba_profile(self) -> None:
        """From here on every `session.run` and every event of `session.profiler` is recorded with its time."""
        if self._host_profile is None:
            profile = self._host_profile = profiles.HostProfile()
            # In front of the method only while a profile is taken: runs without one cost nothing.
            self.run = profile.timed("session.run", self.run)  # type: ignore[method-assign]
            self.profiler.listeners.append(profile.add)

    def end_samba_profile(self, filename: str | os.PathLike[str] | None = None) -> None:
        """Stops recording and writes `filename` (samba_profile.json), a trace for Perfetto or chrome://tracing."""
        profile = self._host_profile
        if profile is None:
            raise RuntimeError("no samba profile was begun: call session.start_samba_profile() first")
        path = profiles.require_file(filename, "samba_profile.json")
        self._host_profile = None
        del self.run
        self.profiler.listeners.remove(profile.add)
        profile.write(path)

    # ---- several graphs in one PEF

    def add_graph(self, graph: Any) -> None:
        """Not supported yet: several graphs in one PEF."""
        refuse_multigraph("session.add_graph")

    def compile_multigraph(self, *_: Any, **__: Any) -> str:
        """Not supported yet: several graphs in one PEF."""
        refuse_multigraph("session.compile_multigraph")

    def init_multigraph_runtime(self, pef: str = "") -> None:
        """Not supported yet: several graphs in one PEF."""
        refuse_multigraph("session.init_multigraph_runtime")

    def load_dynamic_dims_config(self, *_: Any, **__: Any) -> None:
        """Not supported: the shapes of a PEF are fixed."""
        _refuse_dynamic("session.load_dynamic_dims_config")

    def create_dynamic_dim(self, *_: Any, **__: Any) -> None:
        """Not supported: the shapes of a PEF are fixed."""
        _refuse_dynamic("session.create_dynamic_dim")

    # ---- memory

    @property
    def enabled_pinned_memory(self) -> bool:
        """False: host and device memory are one, so there is nothing to pin."""
        return False

    def disable_pinned_memory(self) -> None:
        """Memory is never pinned here, so nothing changes."""

    @staticmethod
    def disable_lazy_param() -> None:
        """From here on `lazy_param()` makes parameters at once, with data."""
        from sambaflow.samba import lazy_param

        lazy_param.disable()


def refuse_multigraph(what: str) -> NoReturn:
    raise UnsupportedError(
        f"{what}: several graphs in one PEF are not supported yet; compile each graph into a PEF of its own with "
        "session.compile, and load the one to run with utils.trace_graph"
    )


def _refuse_dynamic(what: str) -> NoReturn:
    raise UnsupportedError(
        f"{what}: shapes are fixed when a PEF is compiled; compile one PEF for each size, or pad to the largest"
    )
