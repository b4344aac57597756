# SPDX-License-Identifier: Apache-2.0
"""What a trace records: ops with their place in the program, what is unsupported, names of results.

Knows values and traced tensors, not how they come about (tracer.py) nor what torch calls (dispatch.py).
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch.utils._pytree import tree_flatten, tree_map

from sambaflow._base.library import library
from sambaflow._tensors.binding import active_trace
from sambaflow._trace.errors import ComplexError, TraceError, Unsupported, UnsupportedOpsError
from sambaflow._trace.graph import DTYPE_NAMES, Attr, Graph, Op, Type, Value
from sambaflow._trace.origins import Origins
from sambaflow._trace.scope import Scope
from sambaflow._trace.tensor import Memory, TracedTensor, View


def public_name(name: str) -> str:
    """`add` for `__iadd__`, `relu` for `relu_`: how a call is named in the SambaFlow scheme."""
    stripped = name.strip("_")
    if name.startswith("__") and stripped[:1] in ("r", "i") and f"__{stripped[1:]}__" in dir(torch.Tensor):
        return stripped[1:]
    return stripped


class Recorder:
    """The graph of one program, and how ops get into it."""

    def __init__(self, graph: Graph, scope: Scope, *, inference: bool = False) -> None:
        self.graph = graph
        self.scope = scope
        self.inference = inference
        self.origins = Origins()
        self.dequantized: dict[str, tuple[str, str]] = {}  # names of results: the symbols of integers and scale
        self.recurrent_rows = True  # False: recurrent layers and cells are taken apart, as by earlier releases
        self.op_depth = 0  # 1: an op that the program called; more: parts of one
        self._unsupported: Counter[Unsupported] = Counter()
        self._streams = 0
        self._stand_ins = 0
        self._call_name: str | None = None
        self._call: str = ""
        self._depth = 0
        self._value_names: dict[int, tuple[str, Value]] = {}

    @property
    def is_current(self) -> bool:
        """False in other threads than that which traces."""
        return active_trace.get() is self

    @contextlib.contextmanager
    def untraced(self) -> Iterator[None]:
        """Runs torch for real, on real tensors."""
        with (
            torch._C._DisableTorchDispatch(),
            torch._C.DisableTorchFunction(),
            torch.utils._python_dispatch._disable_current_modes(),
        ):
            yield

    # ---- ops and values

    def emit(
        self, row: str, operands: Sequence[Value | None], attrs: Mapping[str, Attr], types: Sequence[Type]
    ) -> list[Value]:
        """Records one traced op, with its place in the program."""
        if any(dtype.is_complex for dtype, _ in types):
            self.refuse_complex(self._call or row)
        deepest = max((len(shape) for _, shape in types), default=0)
        most = library().lib.LEAT_MAX_RANK
        if deepest > most:
            self.unsupported(self._call or row, f"makes {deepest} dims; at most {most} dims can be compiled")
            return self.undefined(types)
        if self._call_name is None and self._call:
            self._call_name = self.scope.call_name(self._call)
        self._check_defined(operands)
        detached = not torch.is_grad_enabled()
        origin = (self.scope.module, self.scope.source(), self._call if self._depth else "")
        regions = self.graph.regions
        return self.graph.add(
            row, operands, attrs, types, detached=detached, origin=origin, group=regions.group, exact=regions.exact
        )

    def cast(self, value: Value, dtype: torch.dtype) -> Value:
        if value.dtype == dtype:
            return value
        return self.emit("to", [value], {"dtype": dtype}, [(dtype, value.shape)])[0]

    def constant(self, tensor: torch.Tensor, dtype: torch.dtype | None = None) -> Value:
        """The elements of a plain tensor as a constant of `dtype`, that of the tensor unless given."""
        if tensor.device.type == "meta":
            raise TraceError(
                f"{self.scope.source()}: a constant of shape {tuple(tensor.shape)} has no data (device meta)"
            )
        if tensor.is_complex():
            self.refuse_complex("a constant")
        if tensor.dtype not in DTYPE_NAMES or tensor.layout != torch.strided:
            raise TraceError(
                f"{self.scope.source()}: a constant of type {tensor.dtype}, {tensor.layout} cannot be compiled"
            )
        name = self.origins.of(tensor) or (None if self.inference else self.origins.differentiated(tensor))
        if name is not None:
            raise TraceError(
                f"{self.scope.source()}: a tensor of shape {tuple(tensor.shape)} was computed from {name!r} where it "
                "was not traced (before forward, through a view made there, or in another thread), and would become a "
                "constant: compute it in forward, from the tensor itself"
            )
        with self.untraced():
            return self.graph.constant(tensor.detach().cpu().to(dtype or tensor.dtype))

    def next_stream(self) -> int:
        """A number for one random draw of the program."""
        self._streams += 1
        return self._streams - 1

    def stand_in(self, like: torch.Tensor) -> TracedTensor:
        """A tensor that stands for the gradient of `like` in a backward that is traced."""
        self._stand_ins += 1
        kind = (like.dtype, tuple(like.shape))
        return self.wrap(self.emit("cotangent", [], {"index": self._stand_ins - 1}, [kind])[0])

    def wrap(self, value: Value) -> TracedTensor:
        """A new tensor of the program that holds `value`."""
        return self.tensor(torch.empty(value.shape, dtype=value.dtype, device="meta"), value)

    def tensor(self, meta: torch.Tensor, value: Value, view_of: View | None = None) -> TracedTensor:
        return TracedTensor(meta, Memory(value, view_of), self.graph)

    # ---- calls by name

    @contextlib.contextmanager
    def calling(self, name: str) -> Iterator[None]:
        """Inside, ops belong to the call of the torch function `name`; inner calls belong to the outermost."""
        self._depth += 1
        if self._depth == 1:
            self._call, self._call_name = public_name(name), None
        try:
            yield
        finally:
            self._depth -= 1

    def name_results(self, result: Any) -> Any:
        """Remembers that the results of the outermost call go by its name."""
        if self._depth == 1 and self._call_name is not None:
            index = 0
            for leaf in tree_flatten(result)[0]:
                if isinstance(leaf, TracedTensor):
                    name = f"{self._call_name}__outputs__{index}"
                    self._value_names.setdefault(id(leaf.value), (name, leaf.value))
                    index += 1
        return result

    def call_name_of(self, value: Value) -> str | None:
        """The name of the call that returned `value`: `lenet__conv1__conv2d__outputs__0`."""
        found = self._value_names.get(id(value))
        return found[0] if found else None

    # ---- what cannot be had

    def check(self, error: Exception | None = None) -> None:
        """Raises the list of everything unsupported that was met.

        `error` is what ended the program meanwhile: with results that cannot be had it may be of no account.
        """
        if self._unsupported and not isinstance(error, UnsupportedOpsError):
            raise UnsupportedOpsError(self._unsupported, error) from error

    def refuse_complex(self, what: str) -> None:
        raise ComplexError(what, self.scope.module, self.scope.source())

    def unsupported(self, op: str, reason: str = "") -> None:
        self._unsupported[Unsupported(op, reason, self.scope.module, self.scope.source())] += 1

    def undefined(self, types: Sequence[Type], op: str = "", reason: str = "") -> list[Value]:
        """Stand-ins for results that cannot be had, so that tracing goes on and finds the others.

        With `op`, the use of such a result is what is unsupported, and is reported where it happens.
        """
        attrs: dict[str, Attr] = {"op": op, "reason": reason} if op else {}
        return Op("unsupported", (), attrs, results=[]).add_results(types)

    def undefined_like(self, out: Any) -> Any:
        """Traced tensors without a value, of the shapes of the meta tensors in `out`."""
        return tree_map(
            lambda t: (
                self.tensor(t, self.undefined([(t.dtype, tuple(t.shape))])[0]) if isinstance(t, torch.Tensor) else t
            ),
            out,
        )

    def _check_defined(self, operands: Sequence[Value | None]) -> None:
        for value in operands:
            if value is not None and value.op.name == "unsupported" and value.op.attrs:
                self.unsupported(str(value.op.attrs["op"]), str(value.op.attrs["reason"]))

    def is_defined(self, value: Value) -> bool:
        """False for stand-ins; notes the use of one."""
        self._check_defined([value])
        return value.op.name != "unsupported"
