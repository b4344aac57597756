# SPDX-License-Identifier: Apache-2.0
"""What the Python half of `session.run` costs when the program does nothing.

One call of a real run takes two named inputs, makes two fresh outputs, hands pointers to C in one call and
returns two tensors of a torch subclass. Here the C side only adds up the pointers, so that what is timed is
Python, torch and cffi. Each variant changes one thing; every number is the median of many short rounds, the
variants taking turns.

    python bench/spike/noop_run.py [--rounds 200]

Conclusions are kept in docs/notes-session-run.md.
"""

import argparse
import importlib.util
import statistics
import sys
import tempfile
import time

import cffi
import torch

DECLARATIONS = """
int noop_step(void *program, const uint32_t *symbols, void *const *data, uint32_t count, uint32_t types);
"""
SOURCE = """
#include <stdint.h>
static volatile uintptr_t sink;
int noop_step(void *program, const uint32_t *symbols, void *const *data, uint32_t count, uint32_t types) {
  uintptr_t sum = (uintptr_t)program + types;
  for (uint32_t i = 0; i < count; i++) sum += (uintptr_t)data[i] + symbols[i];
  sink = sum;
  return 0;
}
"""


def build_extension(folder):
    """Compiles the no-op step as a cffi API-mode module, the way the package is built."""
    builder = cffi.FFI()
    builder.cdef(DECLARATIONS)
    builder.set_source("_noop_step", SOURCE, extra_compile_args=["-O2"])
    path = builder.compile(tmpdir=folder)
    spec = importlib.util.spec_from_file_location("_noop_step", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Wrapped(torch.Tensor):
    """Stands for SambaTensor: a subclass with its own `__torch_function__` and one more attribute."""

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        return super().__torch_function__(func, types, args, kwargs or {})


class Host:
    """A session with everything bound, as it is after trace_graph."""

    def __init__(self, ffi, lib):
        self.ffi, self.lib = ffi, lib
        self.program = ffi.new("char[64]")
        self.symbols = ffi.new("uint32_t[4]", [0, 1, 2, 3])
        self.data = ffi.new("void *[4]")
        self.words = ffi.cast("uintptr_t *", self.data)
        self.data_arg = ffi.cast("void *const *", self.data)
        self.image = torch.zeros(32, 784)
        self.label = torch.zeros(32, dtype=torch.int64)
        self.loss = torch.zeros(())
        self.logits = torch.zeros(32, 10)
        self.wrapped_image = self.image.as_subclass(Wrapped)
        self.wrapped_label = self.label.as_subclass(Wrapped)
        self.wrapped_image.sn_name, self.wrapped_image._plain = "image", self.image
        self.wrapped_label.sn_name, self.wrapped_label._plain = "label", self.label
        self.index = {"image": 0, "label": 1}
        self.expected = {"image": (0, torch.float32, self.image.shape), "label": (1, torch.int64, self.label.shape)}
        self.outputs = ((2, self.loss), (3, self.logits))


def _call(host):
    if host.lib.noop_step(host.program, host.symbols, host.data_arg, 4, 63):
        raise RuntimeError("step failed")


def c_call(host):
    """The cffi call alone."""
    _call(host)


def two_empty_sizes(host):
    """Two `torch.empty(shape, dtype=...)`."""
    return torch.empty((), dtype=torch.float32), torch.empty((32, 10), dtype=torch.float32)


def two_empty_like(host):
    """Two `torch.empty_like(plain)`."""
    return torch.empty_like(host.loss), torch.empty_like(host.logits)


def two_new_empty(host):
    """Two `plain.new_empty(shape)`."""
    return host.loss.new_empty(()), host.logits.new_empty((32, 10))


def four_pointers_plain(host):
    """`data_ptr()` of four plain tensors."""
    return host.image.data_ptr(), host.label.data_ptr(), host.loss.data_ptr(), host.logits.data_ptr()


def two_pointers_subclass(host):
    """`data_ptr()` of two subclass instances: goes through `__torch_function__`."""
    return host.wrapped_image.data_ptr(), host.wrapped_label.data_ptr()


_raw_pointer = torch._C.TensorBase.data_ptr


def two_pointers_disabled(host):
    """`data_ptr()` of two subclass instances under DisableTorchFunctionSubclass."""
    with torch._C.DisableTorchFunctionSubclass():
        return _raw_pointer(host.wrapped_image), _raw_pointer(host.wrapped_label)


def two_shapes_subclass(host):
    """`.shape` and `.dtype` of two subclass instances."""
    return host.wrapped_image.shape, host.wrapped_label.shape, host.wrapped_image.dtype, host.wrapped_label.dtype


def two_shapes_plain(host):
    """`.shape` and `.dtype` of two plain tensors."""
    return host.image.shape, host.label.shape, host.image.dtype, host.label.dtype


def two_attributes_subclass(host):
    """A Python attribute (`_plain`) of two subclass instances, out of their `__dict__`."""
    return host.wrapped_image._plain, host.wrapped_label._plain


def two_as_subclass(host):
    """Two `plain.as_subclass(Wrapped)`."""
    return host.loss.as_subclass(Wrapped), host.logits.as_subclass(Wrapped)


_make_subclass = torch.Tensor._make_subclass


def two_make_subclass(host):
    """Two `torch.Tensor._make_subclass(Wrapped, plain)` (detached)."""
    return _make_subclass(Wrapped, host.loss), _make_subclass(Wrapped, host.logits)


def two_set_class(host):
    """Two fresh plain tensors whose `__class__` is set."""
    loss, logits = torch.empty_like(host.loss), torch.empty_like(host.logits)
    loss.__class__ = Wrapped
    logits.__class__ = Wrapped
    return loss, logits


def write_pointers(host):
    """Four pointers into a reused `void *[4]` through its uintptr_t view."""
    words = host.words
    words[0] = 1
    words[1] = 2
    words[2] = 3
    words[3] = 4


def new_pointer_array(host):
    """A fresh `ffi.new("void *[4]")` a run."""
    return host.ffi.new("void *[4]")


def _finish(host, image, label, wrap):
    loss, logits = torch.empty_like(host.loss), torch.empty_like(host.logits)
    words = host.words
    words[0] = image
    words[1] = label
    words[2] = loss.data_ptr()
    words[3] = logits.data_ptr()
    _call(host)
    return wrap(loss), wrap(logits)


def run_naive(host):
    """Whole run, obvious form: subclass pointers, shape checks, fresh arrays, as_subclass."""
    pointers = []
    for tensor in (host.wrapped_image, host.wrapped_label):
        if tensor.shape is None or tensor.dtype is None or not tensor.is_contiguous():
            raise ValueError(tensor.sn_name)
        pointers.append(tensor.data_ptr())
    loss, logits = torch.empty((), dtype=torch.float32), torch.empty((32, 10), dtype=torch.float32)
    pointers += [loss.data_ptr(), logits.data_ptr()]
    data = host.ffi.new("void *[]", [host.ffi.cast("void *", p) for p in pointers])
    host.lib.noop_step(host.program, host.symbols, data, 4, 63)
    return loss.as_subclass(Wrapped), logits.as_subclass(Wrapped)


def run_plain_cached(host):
    """Whole run: `_plain` out of the wrapper, its pointer, reused array, _make_subclass."""
    image = host.wrapped_image._plain.data_ptr()
    label = host.wrapped_label._plain.data_ptr()
    return _finish(host, image, label, lambda t: _make_subclass(Wrapped, t))


def run_checked(host):
    """The same with name lookup and a shape, dtype and stride check of both inputs."""
    pointers = []
    for tensor in (host.wrapped_image, host.wrapped_label):
        fields = tensor.__dict__
        plain = fields["_plain"]
        slot = host.index[fields["sn_name"]]
        expected = host.image if slot == 0 else host.label
        if plain.dtype is not expected.dtype or plain.shape != expected.shape or not plain.is_contiguous():
            raise ValueError(fields["sn_name"])
        pointers.append(plain.data_ptr())
    return _finish(host, pointers[0], pointers[1], lambda t: _make_subclass(Wrapped, t))


def run_set_class(host):
    """The cached run with the class of fresh outputs set in place."""
    image = host.wrapped_image._plain.data_ptr()
    label = host.wrapped_label._plain.data_ptr()

    def wrap(tensor):
        tensor.__class__ = Wrapped
        return tensor

    return _finish(host, image, label, wrap)


def run_checked_set_class(host):
    """Cheapest whole run with every check: expectations cached as Python objects, class set in place."""
    words = host.words
    for tensor in (host.wrapped_image, host.wrapped_label):
        fields = tensor.__dict__
        plain = fields["_plain"]
        slot, dtype, shape = host.expected[fields["sn_name"]]
        if plain.dtype is not dtype or plain.shape != shape or not plain.is_contiguous():
            raise ValueError(fields["sn_name"])
        words[slot] = plain.data_ptr()
    results = []
    for slot, template in host.outputs:
        fresh = torch.empty_like(template)
        words[slot] = fresh.data_ptr()
        fresh.__class__ = Wrapped
        results.append(fresh)
    _call(host)
    return results


VARIANTS = [
    c_call,
    two_empty_sizes,
    two_empty_like,
    two_new_empty,
    four_pointers_plain,
    two_pointers_subclass,
    two_pointers_disabled,
    two_shapes_plain,
    two_shapes_subclass,
    two_attributes_subclass,
    two_as_subclass,
    two_make_subclass,
    two_set_class,
    write_pointers,
    new_pointer_array,
    run_naive,
    run_plain_cached,
    run_checked,
    run_set_class,
    run_checked_set_class,
]


def measure(host, rounds, calls=200):
    """Median microseconds of each variant; the variants take turns so that a disturbance meets all of them."""
    samples = {variant: [] for variant in VARIANTS}
    for _ in range(rounds):
        for variant in VARIANTS:
            start = time.perf_counter_ns()
            for _ in range(calls):
                variant(host)
            samples[variant].append((time.perf_counter_ns() - start) / calls / 1000)
    return {variant: statistics.median(values) for variant, values in samples.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=100)
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        module = build_extension(folder)
        host = Host(module.ffi, module.lib)
        usable = []
        for variant in VARIANTS:
            try:
                variant(host)
                usable.append(variant)
            except Exception as error:  # a variant that this torch refuses is a result too
                print(f"{variant.__name__:26} refused: {error}")
        VARIANTS[:] = usable
        medians = measure(host, args.rounds)
    print(f"torch {torch.__version__}, Python {sys.version.split()[0]}; median microseconds a call")
    for variant, microseconds in medians.items():
        print(f"{variant.__name__:26} {microseconds:7.3f}  {variant.__doc__.splitlines()[0]}")


if __name__ == "__main__":
    main()
