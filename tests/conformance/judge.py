# SPDX-License-Identifier: Apache-2.0
"""One sample in eager mode and in Leat: are values, or gradients, the same?

They are where they are within the database's tolerance of eager mode's, or of what eager mode gives in double precision
and as far from that as eager mode itself: where rounding decides, eager mode is no better a witness than Leat.
"""

import contextlib
import dataclasses
import io
import os
import shutil
import tempfile
import warnings
from unittest import mock

import database
import sambaflow._trace.dispatch  # noqa: F401 - what a compile and a run load, before processes fork
import torch
import torch._decomp
from sambaflow import samba
from sambaflow.samba import session  # noqa: F401
from torch import nn
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten

KINDS = ("equal", "refused", "wrong", "crash", "hang")  # from good to bad
# (rtol, atol) that PyTorch's comparisons have for results of a dtype, where an entry of the database says no more.
TOLERANCES = {
    torch.float64: (1e-7, 1e-7),
    torch.float32: (1.3e-6, 1e-5),
    torch.float16: (1e-3, 1e-5),
    torch.bfloat16: (1.6e-2, 1e-5),
    torch.complex64: (1.3e-6, 1e-5),
    torch.complex128: (1e-7, 1e-7),
}
INSIDE = ("graph text:", "was not settled", "damaged", "internal error", "was compiled from another program")


@dataclasses.dataclass
class Verdict:
    """`kind`: of KINDS, or eager: eager mode fails itself, or gives no tensor, and nothing is compared."""

    kind: str
    text: str = ""


class Program(nn.Module):
    """The call of a sample as a model. Tensors with gradients are parameters, others inputs, in order."""

    def __init__(self, sample, gradient):
        super().__init__()
        self.sample, self.module, self.gradient = sample, sample.module, gradient
        self.leaves, self.spec = tree_flatten((sample.args, sample.kwargs))
        self.inputs, self.learned = [], {}
        for place, leaf in enumerate(self.leaves):
            if isinstance(leaf, torch.Tensor) and gradient and leaf.requires_grad:
                self.learned[place] = f"leaf{place}"
                self.register_parameter(f"leaf{place}", nn.Parameter(own(leaf)))
            elif isinstance(leaf, torch.Tensor):
                self.inputs.append(place)

    def forward(self, *given):
        leaves = list(self.leaves)
        for place, tensor in zip(self.inputs, given, strict=True):
            leaves[place] = tensor
        for place, name in self.learned.items():
            leaves[place] = getattr(self, name)
        args, kwargs = tree_unflatten(leaves, self.spec)
        result = self.sample.call(*args, **kwargs)
        if not self.gradient:
            found = tree_flatten(result)[0]
            self.sample.others[:] = [leaf for leaf in found if not isinstance(leaf, torch.Tensor)]
            return tuple(leaf for leaf in found if isinstance(leaf, torch.Tensor))
        parts = tensors(self.sample.differentiable(result))
        return sum((part.float() * cotangent(part)).sum() for part in self.differentiable(parts))

    def differentiable(self, parts):
        """Those of the results that eager mode, which comes first, has gradients of."""
        places = self.sample.differentiated
        if not places:
            places += [i for i, t in enumerate(parts) if t.is_floating_point() and t.requires_grad]
            if not places:
                raise NotDifferentiable
        return [parts[i] for i in places]

    def values(self):
        return [own(self.leaves[place]) for place in self.inputs]


class NotDifferentiable(Exception):
    """No result of a sample has a gradient."""


def own(tensor):
    """The elements of `tensor` with its strides, in memory of their own."""
    tensor = tensor.detach()
    return tensor.clone(memory_format=torch.preserve_format)


def tensors(result):
    return [leaf for leaf in tree_flatten(result)[0] if isinstance(leaf, torch.Tensor)]


def cotangent(part):
    """What the gradient of a result is multiplied by: numbers that every float dtype has, none of them 0."""
    count = 1
    for size in part.shape:
        count *= size
    return torch.tensor([((7 * i) % 13 - 6.5) / 4 for i in range(count)]).reshape(part.shape)


# ---- eager mode


def eager(sample, gradient, dtype=None):
    """Names to results: values, buffers of a module and Python objects; or gradients."""
    sample = database.fresh(sample)
    if dtype is not None:
        convert = lambda x: x.to(dtype) if isinstance(x, torch.Tensor) and x.is_floating_point() else x  # noqa: E731
        args, kwargs = tree_map(lambda x: _keeping(x, convert(x)), (sample.args, sample.kwargs))
        sample = dataclasses.replace(sample, args=args, kwargs=kwargs)
        if sample.module is not None:
            sample.module.to(dtype)
    program = Program(sample, gradient)
    database.seed()
    if not gradient:
        with torch.no_grad():
            found = program(*program.values())
        return named(found, program, sample.module)
    program(*program.values()).double().backward()
    return {name: _gradient(p) for name, p in program.named_parameters()}


def _keeping(before, after):
    if isinstance(before, torch.Tensor) and before.requires_grad and after is not before:
        return after.detach().requires_grad_()
    return after


def _gradient(parameter):
    own_gradient = parameter.grad
    return torch.zeros_like(parameter) if own_gradient is None else own_gradient.detach().clone()


def named(found, program, module):
    results = {f"result {i}": t.detach().clone() for i, t in enumerate(found)}
    results.update({f"object {i}": item for i, item in enumerate(program.sample.others)})
    if module is not None:
        results.update({f"buffer {name}": b.detach().clone() for name, b in module.named_buffers()})
    return results


# ---- Leat


def leat(sample, gradient):
    """The same from Leat."""
    sample = database.fresh(sample)
    program = Program(sample, gradient)
    values = program.values()
    samba.from_torch_model_(program)
    given = [samba.from_torch_tensor(t, name=f"x{i}", batch_dim=None) for i, t in enumerate(values)]
    folder = tempfile.mkdtemp(dir=scratch())
    inference = not gradient and not (sample.module is not None and sample.module.training)
    config = {"output_folder": folder, "pef_name": "p", "inference": inference, "log_level": "error"}
    try:
        loss = {"loss_indices": [0]} if gradient else {}
        pef = samba.session.compile(program, given, None, name="p", inference=inference, config_dict=config, **loss)
        outputs = samba.utils.trace_graph(program, given, None, pef=pef, **loss)
        types = None if gradient else ["fwd"]
        found = samba.session.run(input_tensors=given, output_tensors=outputs, section_types=types)
        found = [samba.to_torch(t).clone() for t in (found if isinstance(found, (list, tuple)) else [found])]
        if not gradient:
            if sample.module is not None:
                samba.session.to_cpu(program)
            return named(found, program, sample.module)
        return {name: _of_device(p) for name, p in program.named_parameters()}
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _of_device(parameter):
    gradient = parameter.sn_grad
    return torch.zeros(parameter.shape, dtype=parameter.dtype) if gradient is None else samba.to_torch(gradient).clone()


def scratch():
    """Where PEFs of samples go: memory, if the machine has a file system for it."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


# ---- the verdict


def judge(sample, tolerance, gradient, unwritten=False):
    """The verdict on one sample. `unwritten`: only shapes and dtypes are known."""
    quiet = io.StringIO()
    with warnings.catch_warnings(), contextlib.redirect_stdout(quiet), contextlib.redirect_stderr(quiet):
        warnings.simplefilter("ignore")
        try:
            expected = eager(sample, gradient)
        except Exception as error:
            return Verdict("eager", f"{type(error).__name__}: {error}")
        if not any(isinstance(item, torch.Tensor) for item in expected.values()):
            return Verdict("eager", "no result is a tensor")
        try:
            found = leat(sample, gradient)
        except Exception as error:
            return Verdict(kind_of(error), f"{type(error).__name__}: {error}")
        text = difference(sample, gradient, expected, found, tolerance, unwritten)
    return Verdict("wrong", text) if text else Verdict("equal")


def kind_of(error):
    """Whether an error was meant for the user."""
    ours = any(kind.__module__.startswith("sambaflow") for kind in type(error).__mro__)
    return "refused" if ours and not any(text in str(error) for text in INSIDE) else "crash"


def difference(sample, gradient, expected, found, tolerance, unwritten):
    """What differs, or None."""
    if list(expected) != list(found):
        return f"results {list(found)} and not {list(expected)}"
    exact, checked = None, False
    for name, right in expected.items():
        mine = found[name]
        if not isinstance(right, torch.Tensor):
            if mine != right:
                return f"{name}: {mine!r} and not {right!r}"
            continue
        if mine.shape != right.shape or mine.dtype != right.dtype:
            return f"{name}: {mine.dtype}{list(mine.shape)} and not {right.dtype}{list(right.shape)}"
        if unwritten or not far(mine, right, tolerance).any():
            continue
        if not checked:
            exact, checked = in_double(sample, gradient), True
            if is_drawn(sample, gradient, expected):
                unwritten = True
                continue
        bad = far(mine, right, tolerance, None if exact is None else exact.get(name))
        if bad.any():
            place = tuple(int(i) for i in bad.nonzero()[0])
            count = f"{int(bad.sum())} of {bad.numel()}"
            return f"{name}{list(place)}: {mine[place].item()} and not {right[place].item()} ({count})"
    return None


def in_double(sample, gradient):
    try:
        return eager(sample, gradient, torch.float64)
    except Exception:
        return None


def is_drawn(sample, gradient, expected):
    """Whether eager mode gives other results with another seed, whoever sets it."""
    set_seed = torch.manual_seed
    with mock.patch("torch.manual_seed", lambda seed: set_seed(seed + 1)):
        try:
            again = eager(sample, gradient)
        except Exception:
            return False
    pairs = [(t, again[name]) for name, t in expected.items() if isinstance(t, torch.Tensor)]
    return any(a.shape == b.shape and not torch.equal(a.nan_to_num(), b.nan_to_num()) for a, b in pairs)


def far(mine, right, tolerance, exact=None):
    """Where an element is not what it should be. `exact`: the result in double precision, if there is one."""
    rtol, atol = map(max, tolerance, TOLERANCES.get(right.dtype, (0.0, 0.0)))
    if not right.is_floating_point() and not right.is_complex():
        return mine != right
    wide = torch.complex128 if right.is_complex() else torch.float64
    a, b = mine.to(wide), right.to(wide)
    bad = ~torch.isclose(a, b, rtol=rtol, atol=atol, equal_nan=True)
    if exact is None or exact.shape != right.shape or not bad.any():
        return bad
    exact = exact.to(wide)
    rounding = (b - exact).abs().nan_to_num(0.0, 0.0, 0.0)
    near = (a - exact).abs() <= atol + rtol * exact.abs() + 2 * rounding
    return bad & ~near & ~torch.isclose(a, exact.to(right.dtype).to(wide), rtol=rtol, atol=atol, equal_nan=True)
