# SPDX-License-Identifier: Apache-2.0
"""One op a row, at about a million elements: Leat against eager PyTorch on one thread, forward, and with its gradient.

The rows are those of the op suite (tests/ops): one for every op of src/ir/traced.def with a floating operand, which is
its largest case, and with --all for every other set of arguments. Cases are grown until their largest tensor has a
million elements: their smallest dim doubles until it is reached, but for dims by which an op gives more tensors; those
whose functions name a shape stand in `large`.
Values and gradients are compared
before anything is timed; then both take turns in one process, and medians of CPU time count. `ratio` is eager's time
over Leat's.

usage: ops.py [--rows NAME...] [--all] [--kinds forward gradient] [--isa avx2] [--rounds N] [--below R] [--json FILE]
              [--record] [--list]
"""

import argparse
import json
import math
import statistics
import sys
import tempfile
import time
import warnings
import zlib
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import levels
import machine
import records

ROOT = Path(__file__).resolve().parent.parent
KINDS = ("forward", "gradient")
WANTED = 0.9
ELEMENTS = 1 << 20
EAGER_SECONDS = 0.06  # an op that takes longer is grown no further
RESULTS = 16  # of an op at most: a tensor costs what it costs, however small
DRAWS = {"dropout": "exact"}  # from streams of their own, so that no numbers are compared
TURN_SECONDS = 0.01  # of a peer, at least: what the other left in the caches does not count


# --- rows: cases of the op suite, grown ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """A case whose inputs are as large as they are timed."""

    name: str
    case: object

    @property
    def shapes(self):
        return " ".join("x".join(map(str, spec.shape)) or "scalar" for spec in self.case.inputs)


def _key(case):
    """What tells two cases of a row apart beside their shapes: the function and what it was given."""
    function = case.function
    code = getattr(function, "__code__", function)
    bound = [cell.cell_contents for cell in getattr(function, "__closure__", None) or ()]
    return repr((code, getattr(function, "__defaults__", None), bound))


def _elements(case):
    return max(math.prod(spec.shape) for spec in case.inputs)


def large():
    """{name: case} of ops whose cases cannot grow, since their functions name a shape, and of those with draws."""
    import torch

    from tests.ops.cases import Case, N

    side, x, functions = 1024, N(1024, 1024), torch.nn.functional
    rows = {
        "reshape": (lambda x: x.reshape(side // 2, 2 * side), x),
        "view": (lambda x: x.view(side // 2, 2 * side), x),
        "expand": (lambda x: x.expand(side, side), N(1, side)),
        "full": (lambda x: x + torch.full((side, side), 1.5), x),
        "constant": (lambda x: x + torch.arange(side) * 0.5, x),
        "split": (lambda x: x.split(side // 4, dim=1), x),
        "dropout": (lambda x: functions.dropout(x, 0.25, training=True), x),
        "all": (lambda x: (x > -3).all(1), x),
        "any": (lambda x: (x > 3).any(1), x),
        "logical_not": (lambda x: torch.logical_not(x), x),
    }
    return {name: Case(name, "large", function, (spec,)) for name, (function, spec) in rows.items()}


def variants(every):
    """{name: case}: of each op the largest plain case with a floating operand, or that of `every` function."""
    sys.path.insert(0, str(ROOT))
    from tests.ops import table  # noqa: F401 - fills ROWS
    from tests.ops.cases import ROWS

    found = {}
    for op, row in ROWS.items():
        largest = {}
        for case in row.cases:
            plain = all(spec.layout == "plain" and spec.dtype is None for spec in case.inputs)
            if not plain or not any(spec.is_float for spec in case.inputs):
                continue
            key = _key(case) if every else op
            if key not in largest or _elements(case) > _elements(largest[key]):
                largest[key] = case
        for index, case in enumerate(largest.values()):
            found[op if index == 0 else f"{op}-{case.label}"] = case
    return {**found, **large()}


def _stretched(case, factors):
    """The case with every dim of size s times factors[s]; indices that go up to s go as far as it does then."""
    inputs = []
    for spec in case.inputs:
        shape = tuple(n * factors.get(n, 1) for n in spec.shape)
        high = spec.high * factors.get(spec.high, 1) if spec.kind == "int" and spec.low == 0 else spec.high
        inputs.append(replace(spec, shape=shape, high=high))
    return replace(case, inputs=tuple(inputs))


def _try(case):
    """(elements of the largest tensor, seconds, results) of one forward pass; None where the op does not take these
    shapes."""
    try:
        tensors = inputs_of(case)
        start = time.process_time()
        results = case.function(*tensors)
    except Exception:
        return None
    seconds, results = time.process_time() - start, _tuple(results)
    return max(t.numel() for t in (*tensors, *results)), seconds, len(results)


def inputs_of(case):
    """The numbers that the suite gives, but for matrices: divided by the root of what is summed up, so that products
    keep the size of their operand."""
    import torch

    tensors = case.make_inputs(torch.float32)
    for position, spec in enumerate(case.inputs):
        if position > 0 and spec.kind == "normal" and len(spec.shape) > 1:
            tensors[position] = tensors[position] / math.sqrt(max(1, math.prod(spec.shape[1:])))
    return tensors


def grown(case):
    """The case at about ELEMENTS elements: of the sizes of the first operand and of integers, the smallest doubles, in
    all operands, as long as the op takes that."""
    sizes = {n for i, spec in enumerate(case.inputs) if i == 0 or not spec.is_float for n in spec.shape if n > 1}
    factors, fixed, best = dict.fromkeys(sizes, 1), set(), case
    while sizes - fixed:
        size = min(sizes - fixed, key=lambda n: n * factors[n])
        larger = _stretched(case, {**factors, size: 2 * factors[size]})
        found = _try(larger)
        if found is None or found[0] > 1.5 * ELEMENTS or found[2] > RESULTS:
            fixed.add(size)
            continue
        best = larger
        factors[size] *= 2
        if found[0] > 0.7 * ELEMENTS or found[1] > EAGER_SECONDS:
            break
    return best


# --- peers: a callable that does one piece of work, and gives the results ------------------------------------------


def _tuple(results):
    return tuple(results) if isinstance(results, (tuple, list)) else (results,)


def _own(results, inputs):
    """What lies in the memory of an input is copied: a result of Leat is memory of its own."""
    import torch

    lent = {t.untyped_storage().data_ptr() for t in inputs}
    own = torch.contiguous_format
    return tuple(y.clone(memory_format=own) if y.untyped_storage().data_ptr() in lent else y for y in results)


def cotangents(case, tensors):
    """Numbers for the outputs, None for those without a gradient; None: no output has one."""
    import torch

    leaves = [
        t.clone().requires_grad_(spec.is_float and spec.grad) for t, spec in zip(tensors, case.inputs, strict=True)
    ]
    generator = torch.Generator().manual_seed(zlib.crc32(b"cotangent"))
    outputs = _tuple(case.function(*leaves))
    given = [torch.randn(y.shape, generator=generator).to(y.dtype) if y.requires_grad else None for y in outputs]
    return None if all(seed is None for seed in given) else given


def eager(case, tensors, seeds):
    """Forward in inference mode, or with `seeds` forward and the gradients of the floating inputs."""
    import torch

    if seeds is None:

        def infer():
            with torch.inference_mode():
                return _own(_tuple(case.function(*tensors)), tensors)

        return infer
    leaves = [
        t.clone().requires_grad_(spec.is_float and spec.grad) for t, spec in zip(tensors, case.inputs, strict=True)
    ]
    wanted = [leaf for leaf in leaves if leaf.requires_grad]
    given = [seed for seed in seeds if seed is not None]

    def step():
        results = _tuple(case.function(*leaves))
        sources = [y for y, seed in zip(results, seeds, strict=True) if seed is not None]
        found = torch.autograd.grad(sources, wanted, given, allow_unused=True)
        found = [torch.zeros_like(x) if g is None else g for g, x in zip(found, wanted, strict=True)]
        return (*_own(results, leaves), *_own(found, given))

    return step


def leat(case, tensors, seeds, folder):
    """As `eager`, through the SDK; `results` of what is returned gives the tensors of one run."""
    import torch
    from sambaflow import samba
    from sambaflow.samba import utils

    class Op(torch.nn.Module):
        def forward(self, *inputs):
            return _tuple(case.function(*inputs))

    model, inference = Op(), seeds is None
    samba.from_torch_model_(model)
    named = [samba.from_torch_tensor(t.clone(), name=f"input_{i}") for i, t in enumerate(tensors)]
    wanted = [n for n, spec in zip(named, case.inputs, strict=True) if not inference and spec.is_float and spec.grad]
    for tensor in wanted:
        tensor.requires_grad_()
    settings = {"output_folder": folder, "pef_name": "op", "log_level": "error"}
    losses = {}
    if not inference:
        losses = {"init_output_grads": False, "loss_indices": [i for i, seed in enumerate(seeds) if seed is not None]}
    pef = samba.session.compile(model, named, inference=inference, name="op", config_dict=settings, **losses)
    utils.trace_graph(model, named, pef=pef, **losses)
    types = ["fwd"] if inference else ["fwd", "bckwd"]
    run = partial(samba.session.run, named, model.output_tensors, section_types=types)
    if not inference:
        run(grad_of_outputs=seeds)  # given once: a program keeps them

    def results():
        found = [samba.to_torch(t) for t in run()]
        return (*found, *(samba.to_torch(t.sn_grad) for t in wanted))

    run.results = results
    return run


# --- measuring -----------------------------------------------------------------------------------------------------


def _largest_difference(expected, found):
    """Over all results, the largest difference over the largest element of its tensor."""
    worst = 0.0
    for want, got in zip(expected, found, strict=True):
        want, got = want.detach().double(), got.detach().double()
        if want.shape != got.shape:
            raise RuntimeError(f"shape {tuple(got.shape)} where eager has {tuple(want.shape)}")
        if want.numel():
            delta = (want - got).abs().nan_to_num(nan=0.0 if bool((want.isnan() == got.isnan()).all()) else math.inf)
            worst = max(worst, float(delta.max()) / max(1e-30, float(want.nan_to_num(posinf=0, neginf=0).abs().max())))
    return worst


def _seconds(work, repeats):
    start = time.process_time()
    for _ in range(repeats):
        work()
    return (time.process_time() - start) / repeats


def measure(row, kind, rounds, folder):
    """{"leat", "eager": seconds, "ratio", "difference"} or {"error"}; None: there is no gradient."""
    from tests.ops.tolerances import CLASSES

    klass = CLASSES[_class_of(row)]
    try:
        tensors = inputs_of(row.case)
        seeds = cotangents(row.case, tensors) if kind == "gradient" else None
        if kind == "gradient" and seeds is None:
            return None
        theirs, ours = eager(row.case, tensors, seeds), leat(row.case, tensors, seeds, folder)
        difference = _largest_difference(theirs(), ours.results())
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}".splitlines()[0][:160]}
    # The tolerances of the suite are for sums of a thousand terms at most: errors grow with their root.
    allowed = 32 * max(klass.value32, klass.gradient32 if kind == "gradient" else 0, 2e-6)
    if not difference <= allowed and row.name not in DRAWS:
        return {"error": f"values differ by {difference:.1e}, allowed {allowed:.1e}"}
    samples = {"leat": [], "eager": []}
    works = {"leat": ours, "eager": theirs}
    repeats = {
        name: min(1000, max(1, int(TURN_SECONDS / max(1e-6, _seconds(work, 2))))) for name, work in works.items()
    }
    for _ in range(rounds):
        for name, work in works.items():
            samples[name].append(_seconds(work, repeats[name]))
    found = {name: statistics.median(times) for name, times in samples.items()}
    return {**found, "ratio": found["eager"] / found["leat"], "difference": difference}


def _class_of(row):
    from tests.ops.cases import ROWS

    return DRAWS.get(row.case.row) or ROWS[row.case.row].klass


def _line(row, kind, found):
    head = f"{row.name:36.36} {kind:8}"
    if "error" in found:
        return f"{head} {found['error']}"
    mark = "" if found["ratio"] >= WANTED else " BELOW"
    return f"{head} {found['leat'] * 1e6:10.0f} {found['eager'] * 1e6:10.0f} {found['ratio']:7.2f}{mark:6} {row.shapes}"


def run_all(args, cases):
    import torch

    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # of losses about shapes and reductions
    records = []
    print(f"{'us':36} {'kind':8} {'leat':>10} {'eager':>10} {'ratio':>7}        shapes", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for name, case in cases.items():
            row = Row(name, grown(case))
            for kind in args.kinds:
                found = None if kind == "gradient" and case.forward_only else measure(row, kind, args.rounds, folder)
                if found is None:
                    continue
                records.append({"row": name, "kind": kind, "shapes": row.shapes, **found})
                if args.below is None or found.get("ratio", 0) < args.below:
                    print(_line(row, kind, found), flush=True)
    return records


def summary(records):
    timed = [r for r in records if "ratio" in r]
    lines = []
    for kind in KINDS:
        ratios = [r["ratio"] for r in timed if r["kind"] == kind]
        if ratios:
            below = sum(ratio < WANTED for ratio in ratios)
            lines.append(f"{kind}: {len(ratios)} rows, geometric mean {statistics.geometric_mean(ratios):.2f}, "
                         f"{below} below {WANTED}")  # fmt: skip
    return "\n".join([*lines, f"without a number: {len(records) - len(timed)}"])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", nargs="+", metavar="NAME", help="rows of ops whose names contain one of these")
    parser.add_argument("--all", action="store_true", help="a row for every set of arguments of the op suite")
    parser.add_argument("--exact", action="store_true", help="rows whose names are those of --rows")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--isa", choices=levels.LEVELS, help="cap Leat and PyTorch at this level")
    parser.add_argument("--rounds", type=int, default=7, help="turns of both (7)")
    parser.add_argument("--below", type=float, metavar="R", help="print only rows whose ratio is below R")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers there")
    parser.add_argument("--record", action="store_true", help="keep the ratios in bench/records")
    parser.add_argument("--list", action="store_true", help="show the names of the rows")
    args = parser.parse_args()
    if args.record and args.rows:
        parser.error("--record keeps the table of all rows: leave --rows out")
    levels.restart_at(args.isa, __file__)  # libraries read their variables when they load
    cases = variants(args.all)
    if args.rows:
        chosen = set(args.rows)
        keep = chosen.__contains__ if args.exact else lambda name: any(part in name for part in chosen)
        cases = {name: case for name, case in cases.items() if keep(name)}
        if not cases:
            parser.error(f"no row contains {' or '.join(args.rows)}; see --list")
    if args.list:
        print("\n".join(cases))
        return
    found = run_all(args, cases)
    print(summary(found))
    if args.json:
        args.json.write_text(json.dumps(found, indent=1) + "\n")
    if args.record:
        for kind in KINDS:
            ratios = {one["row"]: one["ratio"] for one in found if one["kind"] == kind and "ratio" in one}
            records.store("ops", kind, machine.level(args.isa), 1, {"ratios": ratios})


if __name__ == "__main__":
    main()
