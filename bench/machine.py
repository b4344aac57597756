# SPDX-License-Identifier: Apache-2.0
"""The machine under the benchmark: what it is, its FMA peak, and C helpers to time without Python."""

import ctypes
import os
import platform
import subprocess
import tempfile
import threading
from pathlib import Path

HERE = Path(__file__).resolve().parent
_library = None


def timing_library():
    """timing.c, built once a process."""
    global _library
    if _library is None:
        with tempfile.TemporaryDirectory() as folder:
            target = os.path.join(folder, "timing.so")
            subprocess.run(["cc", "-O2", "-shared", "-fPIC", str(HERE / "timing.c"), "-o", target], check=True)
            _library = ctypes.CDLL(target)
        _library.fma_peak.restype = ctypes.c_double
        _library.time_runs.restype = ctypes.c_double
        _library.time_runs.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint32, ctypes.c_long]
    return _library


def fma_peak(threads):
    """Flops a second of `threads` cores at work together: best of three."""
    library, best = timing_library(), 0.0
    for _ in range(3):
        found = [0.0] * threads

        def measure(index, found=found):
            found[index] = library.fma_peak()

        workers = [threading.Thread(target=measure, args=(index,)) for index in range(threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        best = max(best, sum(found))
    return best


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
