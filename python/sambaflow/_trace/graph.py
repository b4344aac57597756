# SPDX-License-Identifier: Apache-2.0
"""The graph under construction, and its text form (docs/graph-text.md).

A `Value` is one result of one op. The text is a function of the traced program alone: numbers are given in order
of creation, attributes are written in the order of the op's schema, constants are numbered in order of first use.
"""

from __future__ import annotations

import hashlib
import json
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch

from sambaflow._trace.regions import Group, Regions

# dtype of torch -> name in text (src/ir/dtype.def).
DTYPE_NAMES: dict[torch.dtype, str] = {
    torch.float32: "f32",
    torch.float64: "f64",
    torch.bfloat16: "bf16",
    torch.float16: "f16",
    torch.int8: "i8",
    torch.uint8: "u8",
    torch.int16: "i16",
    torch.int32: "i32",
    torch.int64: "i64",
    torch.bool: "bool",
}

# A full or arange attribute is a double: integers beyond this are stored as constants.
EXACT_INTEGER = 2**53

Attr = int | float | str | bool | Sequence[int] | torch.dtype
Type = tuple[torch.dtype, tuple[int, ...]]
Origin = tuple[str, str, str]  # module path, source line, torch function


@dataclass(eq=False, slots=True)
class Value:
    """A result: its number in the text, its type, and the op that made it."""

    number: int
    dtype: torch.dtype
    shape: tuple[int, ...]
    op: Op
    needs_gradient: bool = False  # as eager training has it

    @property
    def type(self) -> Type:
        return self.dtype, self.shape


@dataclass(eq=False, slots=True)
class Op:
    """A recorded op."""

    name: str
    operands: tuple[Value | None, ...]
    attrs: Mapping[str, Attr]
    detached: bool = False
    origin: Origin | None = None
    group: int = 0
    exact: bool = False
    results: list[Value] = field(default_factory=list)

    def add_results(self, types: Sequence[Type], first: int = -1) -> list[Value]:
        """Gives the op results of `types`, numbered from `first`."""
        self.results = [Value(first + i, dtype, tuple(shape), self) for i, (dtype, shape) in enumerate(types)]
        return self.results


def format_attr(value: Attr) -> str:
    """An attribute value as text."""
    if isinstance(value, torch.dtype):
        return DTYPE_NAMES[value]
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, str):
        return json.dumps(value)
    return "[" + ",".join(str(int(v)) for v in value) + "]"


def format_type(dtype: torch.dtype, shape: Sequence[int]) -> str:
    return f"{DTYPE_NAMES[dtype]}[{','.join(map(str, shape))}]"


def tensor_bytes(tensor: torch.Tensor) -> bytes:
    """The contiguous bytes of `tensor`."""
    flat = tensor.detach().contiguous().as_strided((tensor.numel(),), (1,))  # one element may have any stride
    return flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b""


class Graph:
    """Ops in the order they were recorded, and the bytes of the constants they use."""

    def __init__(self) -> None:
        self.ops: list[Op] = []
        self.blobs: list[bytes] = []
        self.regions = Regions()
        self.tensors: list[weakref.ref[torch.Tensor]] = []  # the traced tensors that hold its values
        self._constants: dict[object, Value] = {}
        self._count = 0

    def living(self) -> list[torch.Tensor]:
        """The traced tensors that something still holds."""
        return [tensor for reference in self.tensors if (tensor := reference()) is not None]

    def add(
        self,
        name: str,
        operands: Sequence[Value | None] = (),
        attrs: Mapping[str, Attr] | None = None,
        types: Sequence[Type] = (),
        *,
        detached: bool = False,
        origin: Origin | None = None,
        group: int = 0,
        exact: bool = False,
    ) -> list[Value]:
        """Records one op with results of `types`."""
        op = Op(name, tuple(operands), dict(attrs or {}), detached, origin, group, exact)
        op.add_results(types, self._count)
        _mark_needs(op)
        self._count += len(types)
        self.ops.append(op)
        return op.results

    def full(self, value: float | int | bool, dtype: torch.dtype, shape: Sequence[int] = ()) -> Value:
        """A splat. Integers that a double does not hold exactly become constants."""
        if isinstance(value, int) and abs(value) > EXACT_INTEGER:
            return self.constant(torch.full(tuple(shape), value, dtype=dtype))
        key = ("full", repr(float(value)), dtype, tuple(shape))
        if key not in self._constants:
            self._constants[key] = self.add("full", (), {"value": float(value)}, [(dtype, tuple(shape))])[0]
        return self._constants[key]

    def constant(self, tensor: torch.Tensor) -> Value:
        """A constant; equal bytes are stored once, splats and arithmetic sequences not at all."""
        dtype, shape = tensor.dtype, tuple(tensor.shape)
        splat = _splat(tensor)
        if splat is not None:
            return self.full(splat, dtype, shape)
        data = tensor_bytes(tensor)
        key = (hashlib.sha256(data).digest(), dtype, shape)
        if key not in self._constants:
            sequence = _sequence(tensor)
            if sequence is not None:
                attrs: dict[str, Attr] = {"value": sequence[0], "scale": sequence[1]}
                self._constants[key] = self.add("arange", (), attrs, [(dtype, shape)])[0]
            else:
                self.blobs.append(data)
                attrs = {"index": len(self.blobs) - 1}
                self._constants[key] = self.add("constant", (), attrs, [(dtype, shape)])[0]
        return self._constants[key]

    def text(self) -> str:
        """The graph as text; deterministic."""
        used = {op.group for op in self.ops}
        groups = [_format_group(group) for group in self.regions.groups if group.number in used]
        return "\n".join(["leat.graph 1", *groups, *map(_format_op, self.ops), ""])


def _mark_needs(op: Op) -> None:
    """A result requires a gradient where an operand does and nothing cuts it, and where a symbol asks for one."""
    operands = () if op.detached or op.name == "detach" else op.operands
    needs = bool(op.attrs.get("requires_grad")) or any(v is not None and v.needs_gradient for v in operands)
    for result in op.results[: 1 if op.name == "batch_norm" else None]:  # its others are running statistics
        result.needs_gradient = needs and result.dtype.is_floating_point


def _format_op(op: Op) -> str:
    text = f"{op.name}({', '.join('none' if v is None else f'%{v.number}' for v in op.operands)})"
    if op.results:
        text = ", ".join(f"%{v.number}" for v in op.results) + " = " + text
    if op.attrs:
        text += " {" + ", ".join(f"{key}={format_attr(value)}" for key, value in op.attrs.items()) + "}"
    if op.results:
        text += " : " + ", ".join(format_type(*v.type) for v in op.results)
    if op.detached:
        text += " !detached"
    if op.exact:
        text += " !exact"
    if op.group:
        text += f" !group={op.group}"
    if op.origin:
        module, source, call = op.origin
        text += f" @ {json.dumps(module)} {json.dumps(source)}"
        if call and call != op.name:
            text += f" {json.dumps(call)}"
    return text


def _format_group(group: Group) -> str:
    text = f"group {group.number} {json.dumps(group.name)}"
    if group.heuristic or group.parameters:
        text += f" {json.dumps(group.heuristic)}"
    if group.parameters:
        text += f" {json.dumps(group.parameters)}"
    return text


def _splat(tensor: torch.Tensor) -> float | int | None:
    """The one value of all elements, where a double holds it exactly."""
    if tensor.numel() == 0:
        return 0
    first = tensor.reshape(-1)[0]
    value = first.item()
    if isinstance(value, int) and abs(value) > EXACT_INTEGER:
        return None
    if value != value or (value == 0 and tensor.is_floating_point() and bool(torch.signbit(tensor).any())):
        return None
    return value if bool((tensor == first).all()) else None


def _sequence(tensor: torch.Tensor) -> tuple[float, float] | None:
    """(value, scale) where the elements are value + scale * i, exactly, and zeros have the same sign."""
    if tensor.dim() != 1 or tensor.numel() < 3 or tensor.dtype == torch.bool:
        return None
    wide = tensor.double()
    if not bool(torch.isfinite(wide).all()) or float(wide.abs().max()) > EXACT_INTEGER:
        return None
    value, scale = float(wide[0]), float(wide[1] - wide[0])
    line = (value + scale * torch.arange(tensor.numel(), dtype=torch.float64)).to(tensor.dtype)
    same = torch.equal(line, tensor) and torch.equal(line.signbit(), tensor.signbit())
    return (value, scale) if same else None
