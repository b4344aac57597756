# SPDX-License-Identifier: Apache-2.0
"""The machine under the benchmark: what it is, what it can do at most, and C helpers to time without Python."""

import ctypes
import functools
import os
import platform
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
_library = None


def timing_library():
    """timing.c, built once a process."""
    global _library
    if _library is None:
        with tempfile.TemporaryDirectory() as folder:
            target = os.path.join(folder, "timing.so")
            subprocess.run(["cc", "-O3", "-shared", "-fPIC", str(HERE / "timing.c"), "-o", target], check=True)
            _library = ctypes.CDLL(target)
        _library.time_runs.restype = ctypes.c_double
        _library.time_runs.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint32, ctypes.c_long]
        _library.walk_rate.restype = ctypes.c_double
        _library.walk_rate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_long, ctypes.c_double]
    return _library


def command():
    """The command `leat`."""
    return os.environ.get("LEAT_COMMAND", str(ROOT / "build" / "release" / "leat"))


@functools.cache
def record():
    """The record of this machine, which `leat machine` measures: {fact: text} (docs/machines.md)."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "here.machine")
        subprocess.run([command(), "machine", "-o", path], check=True, stdout=subprocess.DEVNULL)
        lines = [line.split("#")[0].strip() for line in Path(path).read_text().splitlines()]
    return dict(line.split(": ", 1) for line in lines if line)


def best():
    """The best level of instructions that the machine has."""
    return record()["level"]


def level(isa=None):
    """The level of instructions that Leat runs at, where nothing or `isa` caps it."""
    return isa or os.environ.get("LEAT_ISA") or record()["level"]


def peak(threads, dtype="f32", isa=None):
    """Operations a second of `threads` cores in products, at most."""
    return threads * float(record()[f"{dtype}_{level(isa)}"])


def bandwidth(threads):
    """Bytes a second that `threads` cores read, at most."""
    alone, every = float(record()["read_bytes"]), float(record()["read_bytes_all"])
    return min(threads * alone, max(alone, every))


@dataclass(frozen=True)
class Rates:
    """Bytes a second that one core moves."""

    read: float
    write: float


_WALK_SECONDS = 0.05
_WALK_FLOATS = 384  # the steps of walk_rate
_LEVELS = ("portable", "avx2", "avx512")  # ORDER: those of walk_rate


@functools.cache
def cache_bytes(name):
    """Bytes of l1, l2 or l3: of the last the part that a core has to do with, where the system says that."""
    of_machine = int(float(record()[f"{name}_bytes"]))
    near = Path("/sys/devices/system/cpu/cpu0/cache/index3/size")
    text = near.read_text().strip() if name == "l3" and near.exists() else ""
    return min(of_machine, int(text[:-1]) << 10) if text.endswith("K") else of_machine


@functools.cache
def rates(memory, isa=None):
    """Of l1, l2 or l3 at a level of instructions, or of memory. A triad, two reads a write, says what writes take."""
    if memory == "memory":
        read, triad = float(record()["read_bytes"]), float(record()["triad_bytes"])
    else:
        steps = cache_bytes(memory) // 2 // 4 // _WALK_FLOATS
        floats = (steps // 8 * 8 - 3) * _WALK_FLOATS  # arrays of a triad a multiple of pages apart would meet
        room = (ctypes.c_float * (floats + 16))()
        lines = (ctypes.addressof(room) + 63) // 64 * 64
        walk = functools.partial(timing_library().walk_rate, _LEVELS.index(level(isa)))
        read, triad = (walk(kind, lines, floats, _WALK_SECONDS) for kind in (0, 1))
    left = 3 / triad - 2 / read
    return Rates(read, 1 / left if left > 1 / read else read)


def _lscpu(field):
    try:
        text = subprocess.run(["lscpu"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    for line in text.splitlines():
        if line.strip().startswith(field + ":"):
            return line.split(":", 1)[1].strip()
    return "unknown"


def environment():
    """What a reader needs to judge the numbers."""
    import torch

    settings = {
        name: os.environ[name]
        for name in sorted(os.environ)
        if name.startswith(
            ("OMP_", "MKL_", "KMP_", "GOMP_", "OPENBLAS_", "LEAT_", "DNNL_", "ONEDNN_", "TORCHINDUCTOR_")
        )
    }
    libraries = [
        line.strip(" -") for line in torch.__config__.show().splitlines() if "Library" in line or "DNN" in line
    ]
    return {
        "cpu": _lscpu("Model name"),
        "caches": {level: _lscpu(f"{level} cache") for level in ("L1d", "L2", "L3")},
        "cpus": len(os.sched_getaffinity(0)),
        "load": os.getloadavg()[0],
        "kernel": platform.release(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torch libraries": [line for line in libraries if not line.startswith("Build settings")],
        "torch cpu capability": torch.backends.cpu.get_cpu_capability(),
        "environment": settings,
    }
