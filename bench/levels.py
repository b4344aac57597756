# SPDX-License-Identifier: Apache-2.0
"""Levels of instructions: what caps the libraries of each peer at one, and which peers cannot be capped."""

import os

LEVELS = ("avx512", "avx2", "portable")
# Variables of a process that cap Leat and the libraries under its peers; each is read once a process. A level that is
# not here caps Leat alone.
CAPS = {
    "avx2": {
        "LEAT_ISA": "avx2",
        "ATEN_CPU_CAPABILITY": "avx2",  # PyTorch, and what torch.compile generates
        "ONEDNN_MAX_CPU_ISA": "AVX2",  # oneDNN in PyTorch, and in OpenVINO
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
        "OPENBLAS_CORETYPE": "Haswell",
    },
}
# ONNX Runtime picks its kernels by what the CPU has, without a variable for that, and so do kernels of these names in
# OpenVINO: MLAS, and those that were generated for what no variable took away.
UNCAPPED, UNCAPPED_KERNELS = {"onnx"}, ("mlas", "avx512")


def variables(level):
    """Of a process at `level`."""
    return {"LEAT_ISA": level, **CAPS.get(level, {})}


def is_below(level, best):
    """Whether `level` is below the best of the machine."""
    return LEVELS.index(level) > LEVELS.index(best)


def uncapped(peer, kernels, level, best):
    """What of `peer` is not of `level`: kernels, as far as their names are known, or the peer; nothing if all is."""
    if not is_below(level, best):
        return []
    return [peer] if peer in UNCAPPED else [k for k in kernels if any(word in k.lower() for word in UNCAPPED_KERNELS)]


def restart_at(level, program, threads=1):
    """Starts this process again where its variables are not those of `level`, or of so many threads (1)."""
    import sys

    wanted = {"LEAT_NUM_THREADS": str(threads), "OMP_NUM_THREADS": str(threads)}
    wanted |= variables(level) if level else {}
    if any(os.environ.get(name) != value for name, value in wanted.items()):
        os.execve(sys.executable, [sys.executable, program, *sys.argv[1:]], {**os.environ, **wanted})
