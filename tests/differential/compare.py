# SPDX-License-Identifier: Apache-2.0
"""One program in eager mode and in Leat: are all numbers the same, or is there a message?

Numbers are equal within what rounding may do: eager mode runs again with its inputs and parameters changed by a few
units in the last place, and so with what its sums, products, normalisations and all ops on narrow floats read; what it
changes by then is allowed, several times over. It also runs in double precision, where what should be equal is. NaN and
infinities are where eager mode has them, unless those come and go with the last place, too. What differs by then is
looked at once more with changes that leave equal elements equal: whether the norm of equal elements is 0 is chance.

oneDNN's approximations are off in eager mode: it has them for some sizes of a tensor and not for others.
"""

import contextlib
import dataclasses
import io
import linecache
import re
import shutil
import sys
import tempfile
import warnings
import zlib

import torch
from torch.utils._python_dispatch import TorchDispatchMode

STEPS, RATE = 3, 0.05
APART, TOGETHER = range(1, 5), range(5, 13)  # seeds of changes of each element, and of all elements of a tensor alike
EXACT = {5: 0.0, 6: -0.0, 7: 1e-7, 8: -1e-7}  # what norms of equal elements are, and sums of what cancels, in addition
HUGE = 1e15  # what norms are not asked of: eager mode adds up squares in double precision
LAST_PLACE, FACTOR = {torch.bfloat16: 1e-2, torch.float16: 1e-3}, 30.0  # of other dtypes: 3e-7
RELATIVE, ABSOLUTE = {torch.bfloat16: (3e-2, 1e-2), torch.float16: (4e-3, 1e-3)}, (2e-4, 2e-5)


@dataclasses.dataclass
class Verdict:
    """`kind`: equal, refused, WRONG, CRASH, or INTERNAL for a message that no user could act on; eager: eager mode
    itself fails, nothing is compared."""

    kind: str
    text: str = ""


def flat(item):
    """The tensors of a result, in order."""
    if isinstance(item, torch.Tensor):
        return [item]
    if dataclasses.is_dataclass(item):
        return [t for f in dataclasses.fields(item) for t in flat(getattr(item, f.name))]
    if isinstance(item, dict):
        return [t for value in item.values() for t in flat(value)]
    return [t for value in item for t in flat(value)] if isinstance(item, (list, tuple)) else []


def load(source):
    """The names of a program. Its text is a file, so that messages can name lines."""
    name = f"program_{zlib.crc32(source.encode()):08x}.py"
    linecache.cache[name] = (len(source), None, source.splitlines(True), name)
    space = {"__name__": "program"}
    exec(compile(source, name, "exec"), space)
    return space


class Rounding(TorchDispatchMode):
    """Changes what ops that add up read, by units in the last place; `exact`: what norms give near 0 and sums whose
    elements cancel, if so."""

    ops = re.compile(
        r"aten::.*(sum|mean|var|std|norm|prod|mm|conv|softmax|dot|cdist|mv|loss|pool|upsample|rnn|lstm|gru)"
    )

    norms = re.compile(r"aten::native_(batch|layer|group)_norm$|aten::_native_batch_norm_legit")
    sums = re.compile(
        r"aten::(sum|mean|cumsum|mm|bmm|addmm|baddbmm|mv|addmv|dot|convolution|(_?adaptive_)?avg_pool\dd|upsample_\w+)$"
    )

    def __init__(self, shake, exact):
        super().__init__()
        self.shake, self.exact = shake, exact

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func._schema.is_mutable and func._schema.name.endswith("_"):
            for other in args[1:]:
                if isinstance(other, torch.Tensor) and overlaps(args[0], other):
                    raise ValueError(f"{func}: what is written is read, in an order that PyTorch leaves open")
        if args and isinstance(args[0], torch.Tensor) and args[0].is_floating_point():
            if self.ops.match(func._schema.name) or args[0].dtype in LAST_PLACE and not func._schema.is_mutable:
                args = (self.shake(args[0]), *args[1:])
        is_norm = self.norms.match(func._schema.name)
        if is_norm and bool((args[0].abs().nan_to_num(0, 0) > HUGE).any()):
            raise ValueError(f"{func}: squares of what is read may be infinite")
        found = func(*args, **(kwargs or {}))
        if is_norm and self.exact is not None:
            found = (found[0].where(found[0].abs() > 1e-3, self.exact), *found[1:])
        if self.sums.match(func._schema.name) and self.exact is not None and found.is_floating_point():
            size = func(*[magnitude(item) for item in args], **(kwargs or {}))
            found = found.where((found.abs() > 1e-6 * size) | (size == 0), self.exact * size)
        return found


def magnitude(item):
    return item.abs() if isinstance(item, torch.Tensor) and item.is_floating_point() else item


def overlaps(written, read):
    """Whether two tensors share some of their elements, but not each with its own."""
    with torch._C.DisableTorchFunction():
        kinds = [(t.untyped_storage()._cdata, t.storage_offset(), t.shape, t.stride()) for t in (written, read)]
        if kinds[0][0] != kinds[1][0] or kinds[0][1:] == kinds[1][1:] or not written.numel() or not read.numel():
            return False
        every = torch.arange(written.untyped_storage().nbytes() // written.element_size())
        first, second = (every.as_strided(shape, stride, offset) for _, offset, shape, stride in kinds)
        return bool(torch.isin(first, second).any())


@contextlib.contextmanager
def rounding(shake, exact):
    with contextlib.ExitStack() as stack:
        if "torch._dynamo" in sys.modules:  # compiled functions do not run under a dispatch mode
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        stack.enter_context(Rounding(shake, exact))
        yield


def named_results(outputs, model, gradients):
    found = {f"output {i}": tensor for i, tensor in enumerate(outputs)}
    for name, gradient in gradients.items():
        found[f"gradient of {name}"] = gradient
    return found


def eager(source, noise=0, dtype=torch.float32):
    """A dict of results for each step. What the program leaves open about precision is of `dtype`."""
    torch.set_default_dtype(dtype)
    with contextlib.ExitStack() as stack:
        stack.callback(torch.set_default_dtype, torch.float32)
        stack.enter_context(torch.backends.mkldnn.flags(enabled=False))
        return _eager(source, noise, dtype)


def _eager(source, noise, dtype):
    space = load(source)
    torch.manual_seed(0)
    model = space["Program"]().train(space["TRAINING"]).to(dtype)
    generator = torch.Generator().manual_seed(noise)

    def shake(t):
        if t._is_zerotensor():  # has no memory
            return t
        if not noise:
            return t * 1
        change = torch.randn(() if noise in TOGETHER else t.shape, generator=generator)
        return t * (1 + LAST_PLACE.get(t.dtype, 3e-7) * change).to(t.dtype)

    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(shake(parameter))
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE)
    steps = []
    with rounding(shake, EXACT.get(noise)) if noise else contextlib.nullcontext():
        for step in range(STEPS):
            inputs = [shake(t) if t.is_floating_point() else t for t in space["inputs"](step)]
            inputs = [t.to(dtype) if t.dtype == torch.float32 else t for t in inputs]
            with contextlib.nullcontext() if space["TRAINING"] else torch.no_grad():
                try:
                    outputs = flat(model(*inputs))
                except (IndexError, RuntimeError):
                    if step == 0:
                        raise
                    return [*steps, REFUSED]
            gradients = {}
            if space["TRAINING"]:
                optimizer.zero_grad(set_to_none=True)
                outputs[0].backward()
                for name, parameter in model.named_parameters():
                    own = parameter.grad
                    gradients[name] = torch.zeros_like(parameter) if own is None else own.to_dense().clone()
            steps.append(named_results([t.detach().clone() for t in outputs], model, gradients))
            if space["TRAINING"]:
                optimizer.step()
    return steps


def leat(source):
    """The same from Leat."""
    from sambaflow import samba

    space = load(source)
    torch.manual_seed(0)
    training = space["TRAINING"]
    model = space["Program"]().train(training)
    samba.from_torch_model_(model)

    def named(step):
        given = enumerate(space["inputs"](step))
        return [samba.from_torch_tensor(t, name=f"x{i}", batch_dim=0 if t.dim() else None) for i, t in given]

    optimizer = samba.optim.SGD(model.parameters(), lr=RATE) if training else None
    folder = tempfile.mkdtemp()
    try:
        config = {"output_folder": folder, "pef_name": "p", "inference": not training, "log_level": "error"}
        loss = {"loss_indices": [0]} if training else {}
        pef = samba.session.compile(
            model, named(0), optimizer, name="p", inference=not training, config_dict=config, **loss
        )
        outputs = samba.utils.trace_graph(model, named(0), optimizer, pef=pef, **loss)
        options = {"hyperparam_dict": {"lr": RATE}} if training else {"section_types": ["fwd"]}
        steps = []
        for step in range(STEPS):
            try:
                found = samba.session.run(input_tensors=named(step), output_tensors=outputs, **options)
            except Exception as error:
                if step == 0 or kind_of(error) == "CRASH" and not isinstance(error, IndexError):
                    raise
                return [*steps, REFUSED]
            found = [samba.to_torch(t).clone() for t in (found if isinstance(found, (list, tuple)) else [found])]
            gradients = {}
            if training:
                for name, parameter in model.named_parameters():
                    own = parameter.sn_grad
                    gradients[name] = torch.zeros(parameter.shape) if own is None else samba.to_torch(own).clone()
            steps.append(named_results(found, model, gradients))
        return steps
    finally:
        shutil.rmtree(folder, ignore_errors=True)


SPECIAL = re.compile(r"\binf\b|\bnan\b|3\.4e38|1e-40")  # numbers that mean something else in double precision
REFUSED = {"refused": torch.zeros(())}  # what a step gives that is refused
INSIDE = ("graph text:", "was not settled", "damaged", "internal", "was compiled from another program")


def kind_of(error):
    """Whether an error was meant for the user."""
    if not any(kind.__module__.startswith("sambaflow") for kind in type(error).__mro__):
        return "CRASH"
    return "INTERNAL" if any(text in str(error) for text in INSIDE) else "refused"


def judge(source):
    """The verdict on a program."""
    quiet = io.StringIO()
    with warnings.catch_warnings(), contextlib.redirect_stdout(quiet), contextlib.redirect_stderr(quiet):
        warnings.simplefilter("ignore")
        try:
            expected = eager(source)
            shaken = [eager(source, noise) for noise in APART]
        except Exception as error:
            return Verdict("eager", f"{type(error).__name__}: {error}")
        if not SPECIAL.search(source):
            with contextlib.suppress(Exception):  # some programs insist on single precision
                shaken.append(eager(source, dtype=torch.float64))
        try:
            found = leat(source)
        except Exception as error:
            text = f"{type(error).__name__}: {error}"
            return Verdict(kind_of(error), text)
        verdict = compared(expected, found, shaken)
        if verdict.kind == "WRONG":
            verdict = compared(expected, found, shaken + [eager(source, noise) for noise in TOGETHER])
    return verdict


def compared(expected, found, shaken):
    """The verdict on what a program gave in each step, beside what it gave in eager mode and in its shaken runs."""
    for step, (right, mine) in enumerate(zip(expected, found, strict=False)):
        if mine is REFUSED:
            return Verdict("equal" if right is REFUSED else "refused", f"step {step}")
        if right is REFUSED:
            return Verdict("WRONG", f"step {step}: eager mode refuses, Leat gives numbers")
        others = [s[step] for s in shaken if len(s) > step and s[step] is not REFUSED]
        for difference in differences(right, mine, others):
            return Verdict("WRONG", f"step {step}: {difference}")
        if any(is_chance(right, other) for other in others):  # what follows hangs on the last place
            break
    return Verdict("equal")


def differences(expected, found, shaken):
    """What is wrong in one step, a line each."""
    if list(expected) != list(found):
        yield f"results {list(found)} and not {list(expected)}"
        return
    for name, right in expected.items():
        mine = found[name]
        if mine.shape != right.shape or mine.dtype != right.dtype:
            yield f"{name}: {mine.dtype}{list(mine.shape)} and not {right.dtype}{list(right.shape)}"
            continue
        others = [s[name] for s in shaken]
        bad = wrong_places(right, mine, others)
        if bad.any():
            place = tuple(int(i) for i in bad.nonzero()[0])
            count = f"{int(bad.sum())} of {bad.numel()}"
            yield f"{name}{list(place)}: {mine[place].item()} and not {right[place].item()} ({count})"


def is_chance(expected, shaken):
    """Whether units in the last place make another result of a step, and so another training."""
    if list(expected) != list(shaken):
        return True
    pairs = [(right.double(), shaken[name].double()) for name, right in expected.items()]
    return not all(torch.allclose(b, a, rtol=1e-2, atol=1e-2, equal_nan=True) for a, b in pairs)


def wrong_places(right, mine, others):
    if not right.is_floating_point():
        steady = torch.ones(right.shape, dtype=torch.bool)
        for other in others:
            steady &= other == right
        return (mine != right) & steady
    a, b = right.double(), mine.double()
    spread = torch.zeros(right.shape, dtype=torch.float64)
    steady = torch.ones(right.shape, dtype=torch.bool)  # special values stay what they are
    for other in others:
        other = other.double()
        steady &= (other.isnan() == a.isnan()) & (other.isinf() == a.isinf())
        spread = torch.maximum(spread, (other - a).abs().nan_to_num(0.0, 0.0, 0.0))
    relative, absolute = RELATIVE.get(right.dtype, ABSOLUTE)
    scale = a[a.isfinite()].abs().max() if a.isfinite().any() else torch.tensor(0.0)
    allowed = FACTOR * spread + relative * a.abs().nan_to_num(0, 0, 0) + absolute * (1 + scale)
    finite = a.isfinite() & b.isfinite()
    same = (finite & ((a - b).abs() <= allowed)) | (a.isnan() & b.isnan()) | (a.isinf() & (a == b))
    return ~same & steady & ~((a - b).abs() <= allowed)


def signature(verdict):
    """What verdicts of one cause have in common: the words without numbers and names of files."""
    words = re.sub(r"\S*/\S*|program_\w+|\(\d+ of \d+\)|-?\b\d[\w.+-]*|-?\b(nan|inf)\b", "#", verdict.text)
    if verdict.kind == "WRONG":  # what differs, not by how much
        words = re.sub(r"results .*", "results", words.split(": ", 1)[-1]).split("[")[0]
    return verdict.kind, words[:80]


def reduced(source):
    """The program without the lines of forward and the results that its verdict does not need."""
    wanted, before = signature(judge(source)), None
    lines = source.splitlines(True)
    while lines != before:
        before = lines
        while (shorter := _without_a_result(lines, wanted)) is not None:
            lines = shorter.splitlines(True)
        lines = _without_lines(lines, wanted)
    return "".join(lines)


def _without_lines(lines, wanted):
    first = next(i for i, line in enumerate(lines) if "def forward" in line) + 1
    for at in range(len(lines) - 3, first - 1, -1):
        shorter = lines[:at] + lines[at + 1 :]
        if signature(judge("".join(shorter))) == wanted:
            lines = shorter
    return lines


def _without_a_result(lines, wanted):
    """The source without one of the values that loss or return name, if the verdict stays."""
    for at in (len(lines) - 1, len(lines) - 2):
        for part in re.findall(r"v\d+\.float\(\)\.sum\(\) \* 0\.1 \+ |\bv\d+, ", lines[at]):
            shorter = "".join([*lines[:at], lines[at].replace(part, "", 1), *lines[at + 1 :]])
            if signature(judge(shorter)) == wanted:
                return shorter
    return None


@contextlib.contextmanager
def noting(rows):
    """Inside, the names of the rows of src/ir/traced.def that graphs have are added to the set `rows`."""
    from sambaflow._trace.graph import Graph

    text = Graph.text

    def noted(graph):
        found = text(graph)
        rows.update(re.findall(r"^(?:%[^=]* = )?([a-z_0-9]+)\(", found, re.MULTILINE))
        return found

    Graph.text = noted
    try:
        yield
    finally:
        Graph.text = text
