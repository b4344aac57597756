# SPDX-License-Identifier: Apache-2.0
"""What several test folders need: paths, example programs as subprocesses, a loaded PEF behind the C interface."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples"
MNIST = ROOT.parent / "shared" / "data" / "mnist"


def data_options():
    """--data-dir of the MNIST subset, where that lies beside the checkout; else nothing, which means the digits."""
    return ["--data-dir", str(MNIST)] if MNIST.is_dir() else []


def environment(**changes):
    """The environment of this process with the package importable, and `changes`."""
    path = os.pathsep.join(filter(None, [str(ROOT / "python"), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path, **changes}


def run_python(file, *arguments, cwd, env=None):
    """Runs a Python program to its end; stdout and stderr as text, whatever the exit status."""
    command = [sys.executable, str(file), *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=environment(**(env or {})), capture_output=True, text=True, timeout=600)


def run_example(name, *arguments, cwd, env=None, expect_error=False):
    """Runs an example program; fails the test if the exit status is not what is expected. Compiles check themselves."""
    if arguments and arguments[0] == "compile":
        arguments += ("--verify-each",)
    done = run_python(EXAMPLES / f"{name}.py", *arguments, cwd=cwd, env=env)
    shown = f"{name} {' '.join(map(str, arguments))}\n{done.stdout}\n{done.stderr}"
    assert (done.returncode != 0) == expect_error, shown
    assert "Traceback" not in done.stderr, shown
    return done


def leat_command():
    """Path of the command `leat`: of the newest build in the tree, else the one on the path."""
    built = sorted(ROOT.glob("build/*/leat"), key=os.path.getmtime)
    found = os.environ.get("LEAT_COMMAND") or (str(built[-1]) if built else shutil.which("leat"))
    assert found, "no command leat: build first, or name it in LEAT_COMMAND"
    return found


def leat(folder, *arguments, code=0):
    """Runs the command there: its stdout if `code`, the exit status that is expected, is 0; else its one message."""
    done = subprocess.run([leat_command(), *map(str, arguments)], cwd=folder, capture_output=True, text=True)
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    if code:
        assert done.stderr.startswith("leat: ") and done.stderr.count("\n") == 1, done.stderr
    return done.stderr if code else done.stdout


DTYPES = (
    torch.float32,
    torch.float64,
    torch.bfloat16,
    torch.float16,
    torch.int8,
    torch.uint8,
    torch.int16,
    torch.int32,
    torch.int64,
    torch.bool,
)  # fmt: skip - the order of LEAT_DTYPE_*


def note_pef(path):
    """With `--pef-hashes FILE` (conftest.py): a line there for the PEF that the running test has just compiled."""
    if NOTED_IN is None:
        return
    test = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" ")[0]
    with open(NOTED_IN, "a") as file:
        file.write(f"{test} {hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16]}\n")


NOTED_IN = None


def load_options(ffi, lib, threads, isa=None, engine=None):
    """Options of leat_program_load, and what must live as long. LEAT_ENGINE, else `engine`, says what runs it; `isa`,
    else LEAT_ISA, at which level."""
    options = ffi.new("leat_load_options_t *", lib.leat_load_options_default())
    options.thread_count = threads
    level, engine = (
        ffi.new("char[]", name.encode()) if name else ffi.NULL
        for name in (isa or os.environ.get("LEAT_ISA"), os.environ.get("LEAT_ENGINE") or engine)
    )
    options.isa, options.engine = level, engine
    return options, (level, engine)


class Native:
    """A PEF loaded through the C interface, without the session."""

    def __init__(self, path, threads=0, isa=None):
        from sambaflow import _leat

        self.ffi, self.lib = _leat.ffi, _leat.lib
        options, self._alive = load_options(self.ffi, self.lib, threads, isa)
        out = self.ffi.new("leat_program_t **")
        self._check(self.lib.leat_program_load(str(path).encode(), options, out))
        self.program = self.ffi.gc(out[0], self.lib.leat_program_destroy)
        self.symbols = dict(self._read_symbols())

    def _check(self, status):
        if status != self.ffi.NULL:
            message = self.ffi.string(self.lib.leat_status_message(status)).decode()
            self.lib.leat_status_free(status)
            raise RuntimeError(message)

    def _read_symbols(self):
        info = self.ffi.new("leat_symbol_info_t *")
        for index in range(self.lib.leat_program_symbol_count(self.program)):
            self._check(self.lib.leat_program_symbol_info(self.program, index, info))
            shape = tuple(info.dims[axis] for axis in range(info.rank))
            yield self.ffi.string(info.name).decode(), (index, info.kind, DTYPES[info.dtype], shape)

    def names(self, kind):
        """Names of all symbols of `kind` (LEAT_SYMBOL_...)."""
        return [name for name, symbol in self.symbols.items() if symbol[1] == kind]

    def write(self, name, tensor):
        index, _, dtype, shape = self.symbols[name]
        assert tensor.dtype == dtype and tuple(tensor.shape) == shape, (name, tensor.dtype, tensor.shape, dtype, shape)
        tensor = tensor.detach().contiguous()
        pointer = self.ffi.cast("void *", tensor.data_ptr())
        self._check(self.lib.leat_program_write(self.program, index, pointer, tensor.nbytes))

    def read(self, name):
        index, _, dtype, shape = self.symbols[name]
        tensor = torch.zeros(shape, dtype=dtype)
        pointer = self.ffi.cast("void *", tensor.data_ptr())
        self._check(self.lib.leat_program_read(self.program, index, pointer, tensor.nbytes))
        return tensor

    def report(self):
        """What the engine says of itself and of the program's sections."""
        out = self.ffi.new("char **")
        self._check(self.lib.leat_program_report(self.program, out))
        return json.loads(self.ffi.string(self.ffi.gc(out[0], self.lib.leat_string_free)))

    def load_weights(self, path):
        self._check(self.lib.leat_program_load_weights(self.program, str(path).encode()))

    def set(self, name, value):
        self._check(self.lib.leat_program_set_hyperparameter(self.program, self.symbols[name][0], value))

    def run(self, types=None):
        self._check(self.lib.leat_program_run(self.program, self.lib.LEAT_SECTIONS_ALL if types is None else types))


def is_below_best(level):
    """Whether this machine has a better ISA level than `level`, whatever LEAT_ISA says."""
    levels = ("portable", "avx2", "avx512")
    program = Native(ROOT / "tests/data/pef/1.0/perceptron_f64/program.pef", isa=levels[-1])
    return levels.index(level) < levels.index(program.report()["isa"])


def same_bits(a, b):
    """Whether two tensors have equal bytes."""
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    as_bytes = [t.detach().contiguous().reshape(-1).view(torch.uint8) for t in (a, b)]
    return bool(torch.equal(*as_bytes))
