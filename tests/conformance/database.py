# SPDX-License-Identifier: Apache-2.0
"""PyTorch's databases of operators and modules, as entries of one kind.

An entry is an op in one dtype, or a module in one dtype and mode; it says which samples there are of it. Importing this
takes seconds, so that the run does it once and forks.
"""

import copy
import dataclasses
import random
import re
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy
import torch
from torch import nn

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from torch.testing._internal.common_device_type import toleranceOverride
    from torch.testing._internal.common_methods_invocations import op_db
    from torch.testing._internal.common_modules import module_db
    from torch.testing._internal.opinfo.core import DecorateInfo

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "int64": torch.int64, "bool": torch.bool}
SEED = 1


@dataclasses.dataclass
class Sample:
    """One call: `call(*args, **kwargs)`. `module` has parameters and buffers of its own, if it is not None."""

    call: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    module: nn.Module | None = None
    differentiable: Callable[[Any], Any] = lambda result: result
    differentiated: list[int] = dataclasses.field(default_factory=list)  # numbers of results with gradients
    others: list[Any] = dataclasses.field(default_factory=list)  # what the call returned beside tensors


@dataclasses.dataclass
class Entry:
    database: str
    name: str
    dtype: str
    mode: str  # of modules: "train" or "eval"
    gradient: bool
    tolerance: tuple[float, float]
    samples: Callable[[bool], Iterator[Sample]]  # whether gradients are asked for

    @property
    def key(self) -> str:
        return ".".join(filter(None, (self.database, self.name, self.dtype, self.mode)))


def seed():
    torch.manual_seed(SEED)
    numpy.random.seed(SEED)
    random.seed(SEED)


def _tolerance(decorators, dtype):
    """(rtol, atol): the widest that the entry has for its tests on CPUs, 0 where it has none."""
    rtol = atol = 0.0
    for info in decorators:
        if isinstance(info, DecorateInfo) and info.device_type in (None, "cpu"):
            for one in info.decorators:
                if isinstance(one, toleranceOverride) and dtype in one.d:
                    rtol, atol = max(rtol, one.d[dtype].rtol), max(atol, one.d[dtype].atol)
    return rtol, atol


def _samples_of_op(op, dtype):
    def samples(gradient):
        seed()
        for sample in op.sample_inputs("cpu", dtype, requires_grad=gradient):
            yield Sample(op.op, (sample.input, *sample.args), sample.kwargs, None, sample.output_process_fn_grad)

    return samples


def _samples_of_module(info, dtype, training):
    def samples(gradient):
        seed()
        for given in info.module_inputs_func(info, "cpu", dtype, gradient, training):
            if given.forward_input is None:
                continue
            module = info.module_cls(*given.constructor_input.args, **given.constructor_input.kwargs)
            module = module.to(dtype).train(training)
            yield Sample(module, given.forward_input.args, given.forward_input.kwargs, module)

    return samples


def _ops():
    for op in op_db:
        for name, dtype in DTYPES.items():
            if dtype in op.supported_dtypes("cpu"):
                gradient = op.supports_autograd and dtype in op.supported_backward_dtypes("cpu")
                tolerance = _tolerance(op.decorators, dtype)
                yield Entry("op", op.formatted_name, name, "", gradient, tolerance, _samples_of_op(op, dtype))


def _modules():
    for info in module_db:
        if info.is_lazy:  # what it becomes in its first call has an entry of its own
            continue
        for name in ("float32", "bfloat16"):
            for mode in ("train", "eval"):
                dtype = DTYPES[name]
                samples = _samples_of_module(info, dtype, mode == "train")
                yield Entry(
                    "module", info.formatted_name, name, mode, True, _tolerance(info.decorators, dtype), samples
                )


def entries(pattern=None, dtypes=None, databases=("op", "module")):
    """Entries whose names match `pattern` whole, of `dtypes` if given; in the order of the databases."""
    found = [*(_ops() if "op" in databases else ()), *(_modules() if "module" in databases else ())]
    return [
        entry
        for entry in found
        if (pattern is None or re.fullmatch(pattern, entry.name)) and (not dtypes or entry.dtype in dtypes)
    ]


def fresh(sample):
    """A copy that may be written to: tensors with strides of their own, the module with its state."""
    module = copy.deepcopy(sample.module)
    return dataclasses.replace(sample, call=module if module is not None else sample.call, module=module)
