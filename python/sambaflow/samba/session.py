# SPDX-License-Identifier: Apache-2.0
"""The session: compile a model, load its PEF, run it. (Weights between host and device: _weights.py.)

There is one session in a process, `samba.session`. (As an attribute of the package the name means that object; the
module is still importable: `from sambaflow.samba.session import SambaSession`.)
"""

from __future__ import annotations

import argparse
import contextlib
import os
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from sambaflow._base.library import (
    InvalidArgumentError,
    MismatchError,
    NotFoundError,
    UnsupportedError,
    from_command_line,
)
from sambaflow._runtime.compiler import fingerprint
from sambaflow._runtime.device import Device, Symbol
from sambaflow._runtime.other_rows import OtherRows
from sambaflow._runtime.runner import Runner, ports_of
from sambaflow._runtime.section_types import FWD, OPT
from sambaflow._tensors.binding import OutputBinding
from sambaflow._tensors.paged import page_out, runs_until
from sambaflow._tensors.tensor import DimInfo, SambaTensor, binding_of, plain_tensor, wrap
from sambaflow._trace.microbatch import micro_batch, tracing_part
from sambaflow._trace.optimizers import Statement, statements
from sambaflow._trace.port import Port
from sambaflow._trace.program import Program, trace
from sambaflow._trace.tracer import current
from sambaflow.logging import is_verbose, samba_logger
from sambaflow.samba import _artifacts as artifacts
from sambaflow.samba import _at_end
from sambaflow.samba import _state as state
from sambaflow.samba._extras import SessionExtras
from sambaflow.samba._finite import FiniteGuard
from sambaflow.samba._keywords import check_keywords, other_name
from sambaflow.samba._weights import SessionWeights

# What a session holds of the model in use; those of others are put aside.
_OF_A_MODEL = (
    "_device", "_runner", "_other_rows", "_program", "_statements", "_finite", "_runs_to_paging", "optim_dict",
    "buffer_dict",
)  # fmt: skip


class SambaSession(SessionExtras, SessionWeights):
    """Compiles, loads and runs programs."""

    def __init__(self, pef_path: str = "") -> None:
        self.args: argparse.Namespace | None = None
        self.seed: int | None = None
        self.optim_dict: dict[str, SambaTensor] = {}
        self.buffer_dict: dict[str, SambaTensor] = {}
        self.dynamic_dims: dict[str, DimInfo] = {}
        self.profiler: Any = None
        self._context_directives: dict[str, Any] = {}
        self._aux: dict[str, torch.Tensor] = {}
        self._converted: weakref.WeakValueDictionary[str, torch.Tensor] = weakref.WeakValueDictionary()
        self._app_dir: str | None = None
        self._device: Device | None = None
        self._runner: Runner | None = None
        self._program: Program | None = None
        self._other_rows: OtherRows | None = None
        self._finite: FiniteGuard | None = None  # made by the first run that asks for it
        self._statements: list[Statement] = []
        self._runs_to_paging = 0  # 0: they were, or there are none
        self._verbose, self._runs = False, 0  # whether runs are told, and how many were
        self._pending = state.RunState()  # from a checkpoint that was loaded before trace_graph
        self._model: weakref.ref[nn.Module] | None = None  # the one that the attributes above belong to
        self._in_use: nn.Module | None = None  # the same: it is traced again for a smaller batch
        self._others: weakref.WeakKeyDictionary[nn.Module, dict[str, Any]] = weakref.WeakKeyDictionary()
        self._switching = threading.RLock()
        if pef_path:
            self._open(pef_path)

    def _open(self, pef: str) -> None:
        """Loads a PEF without the program that it was compiled from; parameters are zeros until they are written."""
        device = Device(os.fspath(pef))
        inputs, outputs = ports_of(device)
        traced = tuple(self._traced_output(port) for port in outputs)
        self._device, self._runner = device, Runner(device, inputs, outputs, traced, device.section_types)
        self._other_rows = None
        self.optim_dict = state.state_tensors(device)
        state.seed_random(device, self.seed)

    # ---- compile

    def compile(
        self,
        model: nn.Module,
        inputs: Any,
        optimizers: Any = None,
        name: str | None = None,
        app_dir: str | None = None,
        squeeze_bs_dim: bool = False,
        config_dict: Mapping[str, Any] | None = None,
        pef_metadata: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
        init_output_grads: bool = True,
        inference: bool | None = None,
        loss_indices: Sequence[Any] | None = None,
        **others: Any,
    ) -> str:
        """Traces `model` on `inputs`, compiles it with its optimizers, and returns the path of the PEF.

        `others` are keywords of other releases: see `_keywords`.
        """
        optimizers = other_name("session.compile", "optimizers", optimizers, others)
        check_keywords("session.compile", others)
        config = artifacts.configuration(self.args, config_dict)
        forward_only = bool(config.get("inference")) if inference is None else inference
        self._app_dir = app_dir or self._app_dir
        chosen = [] if forward_only else statements(optimizers)
        microbatch = config.get("microbatch_size")
        with artifacts.compile_job(self.args, config) as job:
            program = self._trace(model, inputs, chosen, forward_only, loss_indices, init_output_grads, microbatch)
            job.narrow(program)
            remembered = artifacts.metadata(config, job.given, pef_metadata, forward_only, bool(chosen))
            job.compile(program, inference=forward_only, metadata=remembered)
        return job.path

    def _trace(
        self,
        model: nn.Module,
        inputs: Any,
        chosen: Sequence[Statement],
        inference: bool,
        loss_indices: Sequence[Any] | None,
        init_output_grads: bool,
        microbatch: int | None = None,
    ) -> Program:
        traced = self._tracing(chosen, inference, loss_indices, init_output_grads)
        return traced(model, inputs, micro_batch(inputs, microbatch))

    def _tracing(
        self,
        chosen: Sequence[Statement],
        inference: bool,
        loss_indices: Sequence[Any] | None,
        init_output_grads: bool,
        *,
        recurrent_rows: bool = True,
    ) -> Callable[[nn.Module, Any, Any], Program]:
        """The program of a model on inputs, and on those of a micro-batch where they are not None."""
        aux = dict(self._aux)

        def traced(model: nn.Module, taken: Any) -> Program:
            return trace(
                model,
                taken,
                chosen,
                inference=inference,
                app_dir=self._app_dir or artifacts.script_dir(),
                loss_indices=loss_indices,
                init_output_grads=init_output_grads,
                aux=aux,
                recurrent_rows=recurrent_rows,
            )

        def whole(model: nn.Module, inputs: Any, part: Any) -> Program:
            program = traced(model, inputs)
            if part is not None:
                with tracing_part(model, inputs, part):
                    program.part = traced(model, part)
            return program

        return whole

    # ---- load

    def load(
        self,
        model: nn.Module,
        inputs: Any,
        optimizers: Any = None,
        *,
        pef: str,
        init_output_grads: bool = True,
        loss_indices: Sequence[Any] | None = None,
        mapping: str | None = None,
        transfer_device: bool = True,
    ) -> tuple[SambaTensor, ...]:
        """What `utils.trace_graph` does: loads `pef`, traces again, compares, and moves the weights."""
        with from_command_line():
            if not pef:
                raise InvalidArgumentError("no PEF was given: pass --pef (-p) or pef=...")
            device = Device(os.fspath(pef))
            compiled = device.metadata.get("leat", {})
            artifacts.check_agreement(self.args, mapping, compiled, pef)
        inference = bool(compiled.get("inference", False))
        asked = bool(artifacts.configuration(self.args, None).get("inference"))
        chosen = [] if inference and asked else statements(optimizers)
        if inference and chosen:
            raise InvalidArgumentError(
                f"{pef} was compiled for inference and cannot train: compile it without --inference, or pass no "
                "optimizer"
            )
        microbatch = compiled.get("arguments", {}).get("microbatch_size")
        tracing = self._tracing(
            chosen, inference, loss_indices, init_output_grads, recurrent_rows=device.fingerprint[0] > 1
        )
        program = tracing(model, inputs, micro_batch(inputs, microbatch))
        with from_command_line():
            _check_fingerprint(program, device, pef, training=bool(chosen))
        self._put_aside(model)
        traced = tuple(self._traced_output(port) for port in program.outputs)
        types = device.section_types
        if types & OPT and not chosen:
            types = FWD
        self._device, self._program, self._statements = device, program, chosen
        self._runs_to_paging = runs_until(program.parameters.values())
        self._runner = Runner(device, program.inputs, program.outputs, traced, types)
        self._finite = None
        self._other_rows = OtherRows(device, model, inputs, program, tracing)
        self._runner.other_rows = self._other_rows
        self.buffer_dict = {name: wrap(plain_tensor(b), name) for name, b in program.buffers.items()}
        self.optim_dict = state.state_tensors(device)
        state.seed_random(device, self.seed)
        self._own(program)
        self._apply(self._pending)
        self._pending = state.RunState()
        device.unwritten = {*program.parameters, *program.buffers}
        if transfer_device:
            state.write_tensors(device, {**program.parameters, **program.buffers})
            state.write_optimizers(device, chosen)
        model.output_tensors = traced  # type: ignore[assignment]
        _at_end.begin(self)
        self._verbose = is_verbose()
        if self._verbose:
            for line in device.description():
                samba_logger.debug(line)
        return traced

    def _traced_output(self, port: Port) -> SambaTensor:
        """A stand-in for an output: name and shape, no data of its own."""
        tensor = SambaTensor(shape=port.shape, dtype=port.dtype, name=port.name)
        binding = OutputBinding(tensor._binding.plain, port.name, port.seed)
        binding.has_data = False
        binding.session, binding.model = weakref.ref(self), self._model
        tensor._binding = binding
        return tensor

    def _own(self, program: Program) -> None:
        """The tensors of `program` ask this session for what the device holds of them."""
        me = weakref.ref(self)
        tensors = (*program.parameters.values(), *program.input_tensors.values(), *self.buffer_dict.values())
        for tensor in (*tensors, *self.optim_dict.values()):
            if isinstance(tensor, SambaTensor):
                binding_of(tensor).session, binding_of(tensor).model = me, self._model

    # ---- several models

    def _put_aside(self, model: nn.Module) -> None:
        """Begins to load `model`: what is loaded of another one stays, and is used when that one is asked for."""
        with self._switching:
            self._keep()
            self._others.pop(model, None)
            self._model, self._in_use = weakref.ref(model), model

    def _keep(self) -> None:
        current = None if self._model is None else self._model()
        if current is not None and self._device is not None:
            self._others[current] = {name: getattr(self, name) for name in _OF_A_MODEL}

    def _use(self, model: nn.Module | None) -> None:
        """From here on `model` is the one that is loaded; nothing changes where it never was."""
        with self._switching:
            kept = None if model is None else self._others.get(model)
            if kept is None or model is None:
                return
            self._keep()
            del self._others[model]
            self._model, self._in_use = weakref.ref(model), model
            for name, value in kept.items():
                setattr(self, name, value)

    @contextlib.contextmanager
    def using(self, model: nn.Module) -> Iterator[None]:
        """Inside, `model` is the one that is loaded, if it was traced."""
        before = None if self._model is None else self._model()
        self._use(model)
        try:
            yield
        finally:
            self._use(before)

    def _using_optimizer(self, optimizer: torch.optim.Optimizer) -> contextlib.AbstractContextManager[None]:
        """Inside, the model that `optimizer` was traced with is the one that is loaded."""
        for model, kept in list(self._others.items()):
            if any(statement.optimizer is optimizer for statement in kept["_statements"]):
                return self.using(model)
        return contextlib.nullcontext()

    def _runner_of(self, outputs: Any) -> Runner | None:
        """The runner of the model that `outputs` were traced with, which is the one in use from here on."""
        first = outputs[0] if type(outputs) in (tuple, list) and outputs else outputs
        model = getattr(getattr(first, "_binding", None), "model", None)
        if model is not None and model is not self._model:
            self._use(model())
        return self._runner

    def _device_of(self, tensor: SambaTensor) -> Device | None:
        """Where `tensor` was traced last."""
        model = binding_of(tensor).model
        if model is None or model is self._model:
            return self._device
        return self._others.get(model(), {}).get("_device", self._device) if model() is not None else self._device

    # ---- run

    def run(
        self,
        input_tensors: Any = None,
        output_tensors: Any = None,
        hyperparam_dict: Mapping[str, float] | None = None,
        section_types: Iterable[str] | None = None,
        data_parallel: bool = False,
        reduce_on_rdu: bool = False,
        grad_of_outputs: Sequence[torch.Tensor] | None = None,
        graph_name: str | None = None,
        section_ids: Iterable[int] | None = None,
        stop_on_nan: bool | None = None,
        **others: Any,
    ) -> tuple[SambaTensor, ...]:
        """Runs one step and returns the values of `output_tensors` (all outputs unless given), in order.

        `section_ids` runs single sections by their number (`leat info --sections`) instead of types. `stop_on_nan`
        (the option --stop-on-nan unless given): a loss or gradient that is NaN or infinite raises NotFiniteError, which
        names the op that made it, before anything is updated. `others` are keywords of other releases: see `_keywords`.
        """
        if others:
            check_keywords("session.run", others)
        runner = self._runner_of(output_tensors)
        if runner is None:
            raise RuntimeError("nothing is loaded: call samba.utils.trace_graph(model, inputs, ..., pef=...) first")
        if data_parallel or graph_name is not None:
            _refuse_transport(data_parallel)
        inputs = () if input_tensors is None else input_tensors
        if runner.device.unwritten:
            runner.device.check_written()
        if self._verbose:
            self._say_run(runner, section_types, section_ids)
        with runner.device.turn:
            if self._runs_to_paging:
                self._page_out_weights()
            if section_ids is not None:
                return runner.run_sections(inputs, output_tensors, hyperparam_dict, section_ids, grad_of_outputs)
            run = runner.run
            if stop_on_nan is None:  # the attribute first: nearly every run ends there
                given = getattr(self.args, "stop_on_nan", False)
                stop_on_nan = given and artifacts.standard_value(self.args, "stop_on_nan")
            if stop_on_nan:
                if runner.device.drops_gradients:
                    raise InvalidArgumentError(
                        "stop_on_nan looks at gradients before anything is updated, and --drop-grads keeps none: "
                        "compile without it"
                    )
                run = self._guard().run
            return run(inputs, output_tensors, hyperparam_dict, section_types, grad_of_outputs)

    def _page_out_weights(self) -> None:
        self._runs_to_paging -= 1
        if self._runs_to_paging == 0 and self._program is not None:
            paged = page_out(self._program.parameters.values())
            samba_logger.debug(f"{paged} bytes of host weights paged out")

    def _say_run(self, runner: Runner, section_types: Any, section_ids: Any) -> None:
        self._runs += 1
        what = runner.section_names if section_types is None else section_types
        what = (
            [what] if isinstance(what, str) else what if section_ids is None else [f"section {i}" for i in section_ids]
        )
        samba_logger.debug(f"run {self._runs}: {', '.join(what)}")

    def _guard(self) -> FiniteGuard:
        if self._finite is None:
            assert self._device is not None and self._runner is not None
            programs = {} if self._other_rows is None else self._other_rows.programs
            self._finite = FiniteGuard(self._runner, programs)
        return self._finite

    # ---- tracing and set-up

    @property
    def tracing(self) -> bool:
        """Whether a model is being traced. Programs that leave tracing by hand may set what it is already."""
        return current() is not None

    @tracing.setter
    def tracing(self, value: bool) -> None:
        if bool(value) and not self.tracing:
            raise UnsupportedError("session.tracing = True: tracing is begun by session.compile and utils.trace_graph")
        if self.tracing and not value:
            raise UnsupportedError(
                "session.tracing = False inside forward: the model is being traced, so its tensors have no values yet; "
                "compute with plain torch tensors, or after the trace"
            )

    def use_static_functional(self) -> bool:
        """True while functional ops are recorded instead of computed."""
        return self.tracing

    def setup(self, args: Any) -> None:
        """Takes the arguments of an app that does not use `parse_app_args`."""
        values = args.model_dump() if hasattr(args, "model_dump") else vars(args)
        self.args = argparse.Namespace(**values)

    def add_aux_tensor(self, tensor: torch.Tensor, name: str) -> None:
        """Gives a constant tensor a name, under which it is kept on the device. Repeating it changes nothing."""
        self._aux.setdefault(name, tensor)

    def is_valid_aux_tensor_name(self, name: str) -> bool:
        return name in self._aux

    @contextlib.contextmanager
    def _add_directives(self, directives: Mapping[str, Any] | None) -> Iterator[None]:
        """Compile directives for the ops recorded inside."""
        before = dict(self._context_directives)
        self._context_directives.update(directives or {})
        tracer = current()
        try:
            with tracer.graph.regions.entered(directives or {}) if tracer else contextlib.nullcontext():
                yield
        finally:
            self._context_directives.clear()
            self._context_directives.update(before)

    @contextlib.contextmanager
    def disable_graphamp(self) -> Iterator[None]:
        """Ops recorded inside keep the dtypes that the program gave them, whatever preset it is compiled with."""
        with self._add_directives({"graphamp": False}):
            yield

    def remember_converted(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Called by `from_torch_model_`: the newest parameter or buffer of each name."""
        self._converted.update(tensors)

    def atexit_register(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        import atexit

        atexit.register(function, *args, **kwargs)

    # ---- single tensors

    def gradient_of(self, tensor: SambaTensor) -> torch.Tensor | None:
        """A copy of the gradient of a parameter or input; None where the program computes none."""
        symbol = self._gradient_symbol(tensor)
        if symbol is None and self._drops_gradient(tensor):
            raise InvalidArgumentError(
                f"{tensor.sn_name} has no gradient on the device: the program was compiled with --drop-grads, which "
                "lets updates use them up; compile without it to read sn_grad"
            )
        return None if symbol is None else wrap(self._value(symbol, self._device_of(tensor)))

    def has_gradient(self, tensor: SambaTensor) -> bool:
        """Whether the program that is loaded computes a gradient of `tensor`."""
        return self._gradient_symbol(tensor) is not None or self._drops_gradient(tensor)

    def _drops_gradient(self, tensor: SambaTensor) -> bool:
        """Whether the program that is loaded uses the gradient of a parameter up."""
        device = self._device_of(tensor)
        name = tensor.sn_name
        return device is not None and name is not None and device.drops_gradients and bool(device.states_of(name))

    def _gradient_symbol(self, tensor: SambaTensor) -> Symbol | None:
        device = self._device_of(tensor)
        return None if device is None or tensor.sn_name is None else device.of(tensor.sn_name, "grad")

    def holds(self, tensor: SambaTensor) -> bool:
        """Whether the tensor is on the device."""
        return self.device_symbol(tensor) is not None

    def device_symbol(self, tensor: SambaTensor) -> Symbol | None:
        name, device = tensor.sn_region_name, self._device_of(tensor)
        return None if device is None or name is None else device.symbols.get(name)

    def write_tensor(self, tensor: SambaTensor) -> None:
        """Copies the host's value of one tensor to its symbol."""
        symbol = self.symbol_of(tensor)
        state.write_value(self._device_of(tensor) or self._bound_device(), symbol, plain_tensor(tensor))

    def read_tensor(self, tensor: SambaTensor) -> torch.Tensor:
        """A copy of the device's value of one tensor."""
        symbol = self.symbol_of(tensor)
        return self._value(symbol, self._device_of(tensor))

    def symbol_of(self, tensor: SambaTensor) -> Symbol:
        """As `device_symbol`; NotFoundError where there is none."""
        symbol = self.device_symbol(tensor)
        if symbol is None:
            raise NotFoundError(f"{tensor.sn_name or 'an unnamed tensor'} is not on the device: trace the model first")
        return symbol


def _check_fingerprint(program: Program, device: Device, pef: str, *, training: bool) -> None:
    version, expected = device.fingerprint
    found = fingerprint(program, version)
    for index, part in enumerate(("forward pass differs", "losses differ", "optimizers differ")):
        if found[index] != expected[index] and (index == 0 or training):
            hint = {
                0: "model, inputs (shapes, dtypes, names) and batch size must be those of the compile command",
                1: "pass the same loss_indices and init_output_grads as when compiling",
                2: "pass the same optimizers, over the same parameters, as when compiling",
            }[index]
            raise MismatchError(f"{pef} was compiled from another program: its {part} from this one's; {hint}")


def _refuse_transport(data_parallel: bool) -> None:
    what = "data_parallel=True" if data_parallel else "graph_name (several graphs in one PEF)"
    raise UnsupportedError(f"{what} is not supported yet; run a single process on a single graph")
