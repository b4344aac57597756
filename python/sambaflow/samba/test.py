# SPDX-License-Identifier: Apache-2.0

"""Tests of a traced program: device against host, gradients included, and device against itself.

The gold of a comparison is the model in plain PyTorch on the host, with the weights that the device has and without
dropout. An error is the largest difference in a tensor, relative to the largest element that was expected; that of a
gradient in mixed precision is the norm of the differences, relative to the norm that was expected.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_flatten, tree_map

from sambaflow._base.files import write_whole
from sambaflow._runtime.output_gradients import gradient_of_rows
from sambaflow._tensors.tensor import SambaTensor, plain_tensor, to_torch
from sambaflow.samba import _process
from sambaflow.samba import _state as state

TestFunction = Callable[..., Sequence[tuple[str, torch.Tensor]]]

# Largest error that passes, by dtype of the device's tensor.
_RELATIVE = {torch.bfloat16: 2e-2, torch.float16: 4e-3, torch.float32: 2e-4, torch.float64: 1e-9}

# Those of a program that multiplies in bf16 what the model holds in f32. A ReLU or a maximum that decides otherwise
# moves a whole element of a gradient, as in PyTorch under autocast: norms say more than elements.
_MIXED, _MIXED_GRADIENT = 2e-2, 0.25


def is_mixed_precision() -> bool:
    """Whether the program that is loaded was compiled with --graphamp-preset mp1 or mp4."""
    facts = _process.session._bound_device().metadata.get("leat", {})
    return facts.get("arguments", {}).get("graphamp_preset") in ("mp1", "mp4")


def rounding(expected: torch.Tensor, *dtypes: torch.dtype) -> float:
    """The largest difference from `expected` that passes between values of `dtypes`: that of the coarsest."""
    return max((_RELATIVE.get(dtype, 0.0) for dtype in dtypes), default=0.0) * _largest(expected)


# ---- the gold


_MHA_DROPOUT = 10  # place of dropout_p among the arguments of F.multi_head_attention_forward


class _AsOnTheDevice(TorchFunctionMode):
    """Inside, dropout drops nothing, as on the device with hyperparameter p = 0, and dtypes may be mixed as there.

    What torch refuses for its dtypes is tried once more with floating tensors in their common dtype and integers as
    int64.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        if "dropout" in name and isinstance(args[0] if args else None, torch.Tensor):
            return args[0]
        if name == "scaled_dot_product_attention":
            kwargs = {**(kwargs or {}), "dropout_p": 0.0}
        elif name == "multi_head_attention_forward":  # what it calls is not seen here
            args = (*args[:_MHA_DROPOUT], 0.0, *args[_MHA_DROPOUT + 1 :])
        try:
            return func(*args, **(kwargs or {}))
        except (RuntimeError, IndexError):
            alike = _alike((args, kwargs or {}))
            if alike is None:
                raise
            return func(*alike[0], **alike[1])


def _alike(tree: Any) -> Any:
    """`tree` with floating tensors in their common dtype and integers as int64; None where they are so already."""
    tensors = [leaf for leaf in tree_flatten(tree)[0] if isinstance(leaf, torch.Tensor)]
    floating = {t.dtype for t in tensors if t.is_floating_point()}
    common = functools.reduce(torch.promote_types, floating) if floating else torch.float32

    def dtype_of(tensor: torch.Tensor) -> torch.dtype:
        if tensor.is_floating_point():
            return common
        return tensor.dtype if tensor.dtype == torch.bool or tensor.is_complex() else torch.int64

    if all(t.dtype == dtype_of(t) for t in tensors):
        return None
    return tree_map(lambda leaf: leaf.to(dtype_of(leaf)) if isinstance(leaf, torch.Tensor) else leaf, tree)


def host_gold(model: nn.Module, inputs: Any, outputs: Sequence[SambaTensor]) -> dict[str, torch.Tensor]:
    """What PyTorch on the host makes of `inputs` with the device's weights.

    Keys: the names of `outputs`, and `<parameter>.grad` for each parameter where the program trains. Gradients start
    from the outputs that are losses, with their `sn_grad` where that is set, else ones.
    """
    host = _host_copy(model)
    named = isinstance(inputs, Mapping)
    plain = {k: _plain(v) for k, v in inputs.items()} if named else [_plain(v) for v in inputs]
    with _AsOnTheDevice():
        result = host(**plain) if named else host(*plain)
    found = [leaf for leaf in tree_flatten(result)[0] if isinstance(leaf, torch.Tensor)]
    if len(found) != len(outputs):
        raise ValueError(f"the model returns {len(found)} tensors on the host, {len(outputs)} when traced")
    gold = {str(t.sn_name): to_torch(value).detach() for t, value in zip(outputs, found, strict=True)}
    if _trains():
        losses = [(value, t) for value, t in zip(found, outputs, strict=True) if _is_loss(t)]
        torch.autograd.backward([value for value, _ in losses], [_seed(t, v) for v, t in losses])
        for name, parameter in host.named_parameters():
            if parameter.grad is not None:
                gold[f"{name}.grad"] = to_torch(parameter.grad)
    return gold


def _host_copy(model: nn.Module) -> nn.Module:
    """`model` with the device's weights and buffers, in the mode that it was compiled for."""
    outputs = model.__dict__.pop("output_tensors", None)
    try:
        host = copy.deepcopy(model)
    finally:
        if outputs is not None:
            model.output_tensors = outputs  # type: ignore[assignment]
    device = _process.session._bound_device()
    state.read_tensors(device, _process.session._named_tensors(host))
    if device.metadata.get("leat", {}).get("inference"):
        return host.eval()
    return host


def _plain(value: Any) -> Any:
    return to_torch(value).detach().clone() if isinstance(value, torch.Tensor) else value


def _is_loss(output: SambaTensor) -> bool:
    """Whether backward starts from `output`."""
    return getattr(output._binding, "seed", "zero") != "zero"


def _seed(output: SambaTensor, value: torch.Tensor) -> torch.Tensor:
    """The gradient that backward starts from at `output`, of which this run made `value`."""
    grad = output._binding.grad
    return torch.ones_like(value) if grad is None else gradient_of_rows(plain_tensor(grad), value.shape).to(value.dtype)


def _trains() -> bool:
    """Whether the loaded program has a backward pass to compare."""
    return bool(_process.session._runner is not None and "bckwd" in _process.session._runner.section_names)


@contextlib.contextmanager
def kept_device_state() -> Iterator[None]:
    """Parameters, buffers, optimizer and random state, gradients and hyperparameters are afterwards as before."""
    device, runner = _process.session._bound_device(), _process.session._runner
    hyperparameters = {s.name: float(device.read(s)) for s in device.of_kind("HYPERPARAMETER")}
    kept = [(s, device.read(s)) for kind in ("PARAMETER", "BUFFER", "STATE", "GRADIENT") for s in device.of_kind(kind)]
    try:
        yield
    finally:
        for symbol, value in kept:
            device.write(symbol, value)
        if runner is not None:
            runner.set_hyperparameters(hyperparameters)


# ---- comparisons


@dataclass
class Comparison:
    """One tensor against its gold. `error` is relative to the largest expected element, or to the expected norm."""

    name: str
    error: float
    allowed: float
    place: tuple[int, ...]
    found: float
    expected: float

    @property
    def passed(self) -> bool:
        return self.error <= self.allowed

    def __str__(self) -> str:
        verdict = "ok  " if self.passed else "FAIL"
        return (
            f"{verdict} {self.name:40} error {self.error:.2e} (allowed {self.allowed:.0e}), worst at "
            f"{list(self.place)}: samba {self.found:.7g}, gold {self.expected:.7g}"
        )


def compare(
    name: str,
    found: Any,
    expected: Any,
    rtol: float | None = None,
    threshold: float | None = None,
    scale: float = 1e-30,
    by_norm: bool = False,
) -> Comparison:
    """`found` against `expected`. `rtol` is the relative error that passes, `threshold` an absolute difference.

    Errors are relative to the largest expected element, or to `scale` where that is larger. `by_norm`: the norm of the
    differences, relative to the norm of what is expected, or of `scale` everywhere.
    """
    a, b = to_torch(found).detach(), to_torch(expected).detach()
    if a.numel() != b.numel():
        raise AssertionError(f"{name}: samba has shape {list(a.shape)}, gold has {list(b.shape)}")
    allowed = _RELATIVE.get(a.dtype, 0.0) if rtol is None else rtol
    if a.numel() == 0:
        return Comparison(name, 0.0, allowed, (), 0.0, 0.0)
    a64, b64 = a.double().reshape(b.shape), b.double()
    difference = (a64 - b64).abs()
    difference[difference.isnan() & ~(a64.isnan() & b64.isnan())] = torch.inf
    difference[a64.isnan() & b64.isnan()] = 0.0
    difference[(a64 == b64)] = 0.0
    worst = int(difference.argmax())
    largest = float(difference.reshape(-1)[worst])
    if threshold is not None and largest <= threshold:
        error = 0.0
    elif by_norm:
        error = float(difference.norm()) / max(float(b64.norm()), scale * b64.numel() ** 0.5)
    else:
        error = largest / max(_largest(b64), scale)
    place = tuple(int(i) for i in torch.unravel_index(torch.tensor(worst), b.shape)) if b.dim() else ()
    return Comparison(name, error, allowed, place, float(a64.reshape(-1)[worst]), float(b64.reshape(-1)[worst]))


def _largest(tensor: torch.Tensor) -> float:
    """Largest finite magnitude."""
    return float(tensor.double().abs().nan_to_num(0, 0, 0).max()) if tensor.numel() else 0.0


# A gradient that is zero in exact arithmetic, as that of a bias before batch norm, is rounding noise of the others:
# errors of gradients are relative to at least this share of the model's largest one.
_GRADIENT_SHARE = 0.01


def compare_with_host(
    model: nn.Module,
    inputs: Any,
    outputs: Sequence[SambaTensor] | None = None,
    rtol: float | None = None,
    threshold: float | None = None,
) -> list[Comparison]:
    """Runs one step on the device and on the host: outputs, and gradients where the program trains.

    The device's state is the same afterwards. Raises AssertionError with all tensors that differ too much.
    """
    traced = list(model.output_tensors if outputs is None else outputs)  # type: ignore[arg-type]
    gold = host_gold(model, inputs, traced)
    found = {name: value for name, value in device_results(model, inputs, traced).items() if name in gold}
    comparisons = compare_all(found, gold, rtol, threshold)
    check(comparisons)
    return comparisons


def device_results(model: nn.Module, inputs: Any, outputs: Sequence[SambaTensor]) -> dict[str, torch.Tensor]:
    """Outputs of one step on the device, and gradients where the program trains, by the names of `host_gold`.

    The device's state is the same afterwards; so are gradients that wait for their update.
    """
    with kept_device_state():
        found = _process.session.run_aside(inputs, outputs, {"p": 0.0}, ["fwd", "bckwd"] if _trains() else ["fwd"])
        results = {str(t.sn_name): value for t, value in zip(outputs, found, strict=True)}
        for name, parameter in model.named_parameters() if _trains() else ():
            gradient = parameter.sn_grad if isinstance(parameter, SambaTensor) else None
            if gradient is not None:
                results[f"{name}.grad"] = gradient
    return results


def compare_all(
    results: Mapping[str, torch.Tensor],
    gold: Mapping[str, torch.Tensor],
    rtol: float | None = None,
    threshold: float | None = None,
) -> list[Comparison]:
    """Each of `results` against the gold of its name, by the rounding of the program unless tolerances are given."""
    floor = _GRADIENT_SHARE * max([_largest(value) for name, value in gold.items() if name.endswith(".grad")] + [0.0])
    mixed = rtol is None and is_mixed_precision()

    def compared(name: str, value: torch.Tensor) -> Comparison:
        is_gradient = name.endswith(".grad")
        allowed = (_MIXED_GRADIENT if is_gradient else _MIXED) if mixed else rtol
        return compare(
            name, value, gold[name], allowed, threshold, floor if is_gradient else 1e-30, mixed and is_gradient
        )

    return [compared(name, value) for name, value in results.items()]


def check(comparisons: Sequence[Comparison]) -> None:
    """AssertionError that lists the comparisons that failed, if any."""
    failed = [str(c) for c in comparisons if not c.passed]
    if failed:
        lines = "\n".join(failed)
        raise AssertionError(f"{len(failed)} of {len(comparisons)} tensors differ from the gold:\n{lines}")


# ---- decorators


def consistency_test(rtol: float = 0.0, threshold: float = 0.0) -> Callable[[TestFunction], TestFunction]:
    """Decorates `test(args, model, inputs, outputs)`, which returns [(name, tensor), ...].

    The test runs twice from the same state of the device and must give the same tensors (the same bits, unless
    tolerances are given). With `args.gold_file_path` they are also compared with that file, which is written if it
    does not exist.
    """

    def decorate(test: TestFunction) -> TestFunction:
        @functools.wraps(test)
        def run(args: Any, model: nn.Module, inputs: Any, outputs: Any) -> Sequence[tuple[str, torch.Tensor]]:
            with kept_device_state():
                first = _copies(test(args, model, inputs, outputs))
            second = dict(_copies(test(args, model, inputs, outputs)))
            if set(dict(first)) != set(second):
                raise AssertionError(f"the test returned {list(dict(first))} at first and {list(second)} then")
            check([compare(name, second[name], value, rtol, threshold) for name, value in first])
            path = getattr(args, "gold_file_path", None)
            if path:
                check_gold_file(path, dict(first), rtol, threshold)
            return first

        return run

    return decorate


def check_gold_file(
    path: str | os.PathLike[str], results: Mapping[str, torch.Tensor], rtol: float = 0.0, threshold: float = 0.0
) -> None:
    """Compares `results` with the gold file at `path`, or writes it where there is none."""
    if not os.path.exists(path):
        write_whole(os.fspath(path), lambda file: torch.save({name: to_torch(t) for name, t in results.items()}, file))
        return
    gold = read_gold_file(path, results)
    check([compare(name, value, gold[name], rtol, threshold) for name, value in results.items()])


def read_gold_file(path: str | os.PathLike[str], results: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors of a gold file; AssertionError where their names are not those of `results`."""
    gold: dict[str, torch.Tensor] = torch.load(path, weights_only=True)
    missing = sorted(set(results) ^ set(gold))
    if missing:
        raise AssertionError(f"{os.fspath(path)} and the results do not have the same names: {', '.join(missing)}")
    return gold


class TestWithGold:
    """Compares a traced program with a gold, in one of two forms.

    `TestWithGold(args, name, model, inputs, optimizer).test()` compares outputs and gradients of one step. The gold is
    the file `args.gold_file_path` (`<name>.pt` in it where that is a folder), which is written by the first test, else
    PyTorch on the host. `inputs` are those of the trace unless given; a model that was not traced yet is traced with
    `args.pef`. A program whose weights or inputs are random seeds them, so that they equal those of the file.

    `@TestWithGold(gold=...)` decorates `test(args, model, inputs, outputs)`, which returns [(name, tensor), ...]. The
    gold is `gold(model, inputs)`, a dict of tensors by name or a sequence in the order of the results; without that,
    the host's outputs by their names or places, and gradients as `<parameter>.grad`.

    Tolerances are `rtol` and `threshold`, else `args.relative_numeric_threshold` and `args.absolute_numeric_threshold`.
    """

    __test__ = False  # not a test case for pytest

    def __init__(
        self,
        args: Any = None,
        name: str | None = None,
        model: nn.Module | None = None,
        inputs: Any = None,
        optimizer: Any = None,
        *,
        gold: Callable[..., Any] | None = None,
        rtol: float | None = None,
        threshold: float | None = None,
    ) -> None:
        if callable(args):
            args, gold = None, args
        self.args, self.name, self.model, self.inputs, self.optimizer = args, name, model, inputs, optimizer
        self.gold, self.rtol, self.threshold = gold, rtol, threshold

    def test(self) -> list[Comparison]:
        """Compares, prints a line for each tensor, and raises AssertionError where one differs too much."""
        if self.model is None:
            raise TypeError("TestWithGold(args, name, model, ...).test() needs the model")
        if getattr(self.model, "output_tensors", None) is None:
            optimizer = None if getattr(self.args, "inference", False) else self.optimizer
            _process.session.load(self.model, self.inputs, optimizer, pef=self.args.pef)
        with _process.session.using(self.model):
            inputs = _process.session.traced_inputs() if self.inputs is None else self.inputs
            comparisons = self._compared(self.model, inputs, list(self.model.output_tensors))  # type: ignore[arg-type]
        print("\n".join(map(str, comparisons)), flush=True)
        check(comparisons)
        return comparisons

    def _compared(self, model: nn.Module, inputs: Any, outputs: list[SambaTensor]) -> list[Comparison]:
        rtol = self._tolerance(self.args, self.rtol, "relative_numeric_threshold")
        threshold = self._tolerance(self.args, self.threshold, "absolute_numeric_threshold")
        results = device_results(model, inputs, outputs)
        path = self._gold_file()
        if path is not None and os.path.exists(path):
            return compare_all(results, read_gold_file(path, results), rtol, threshold)
        gold = host_gold(model, inputs, outputs)
        comparisons = compare_all({name: results[name] for name in gold if name in results}, gold, rtol, threshold)
        check(comparisons)
        if path is not None:
            os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
            check_gold_file(path, results)
            print(f"[info ] gold file {path} written", flush=True)
        return comparisons

    def _gold_file(self) -> str | None:
        path = getattr(self.args, "gold_file_path", None)
        if not path:
            return None
        is_folder = os.path.isdir(path) or not os.path.splitext(path)[1]
        return os.path.join(path, f"{self.name or 'gold'}.pt") if is_folder else os.fspath(path)

    def __call__(self, test: TestFunction) -> TestFunction:
        @functools.wraps(test)
        def run(args: Any, model: nn.Module, inputs: Any, outputs: Any) -> Sequence[tuple[str, torch.Tensor]]:
            gold = self._gold_of(model, inputs, outputs)
            results = _copies(test(args, model, inputs, outputs))
            rtol = self._tolerance(args, self.rtol, "relative_numeric_threshold")
            threshold = self._tolerance(args, self.threshold, "absolute_numeric_threshold")
            comparisons = [
                compare(name, value, _expected(gold, name, index), rtol, threshold)
                for index, (name, value) in enumerate(results)
            ]
            print("\n".join(str(c) for c in comparisons), flush=True)
            check(comparisons)
            return results

        return run

    def _gold_of(self, model: nn.Module, inputs: Any, outputs: Sequence[SambaTensor]) -> Any:
        if self.gold is None:
            return host_gold(model, inputs, outputs)
        given = self.gold(model, inputs)
        return given if isinstance(given, Mapping) else {i: tensor for i, tensor in enumerate(given)}

    @staticmethod
    def _tolerance(args: Any, own: float | None, option: str) -> float | None:
        value = getattr(args, option, None) if own is None else own
        return None if value is None else float(value)


def _expected(gold: Mapping[Any, torch.Tensor], name: str, index: int) -> torch.Tensor:
    """The gold called `name`, else the one in the place `index`."""
    if name in gold:
        return gold[name]
    listed = list(gold.values())
    if index < len(listed):
        return listed[index]
    raise AssertionError(f"there is no gold for {name}; there is {', '.join(map(str, gold))}")


def _copies(results: Sequence[tuple[str, torch.Tensor]]) -> list[tuple[str, torch.Tensor]]:
    """The results of a test, safe from later runs."""
    return [(name, to_torch(tensor).detach().clone()) for name, tensor in results]
