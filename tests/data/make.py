# SPDX-License-Identifier: Apache-2.0
"""Makes the fixtures of tests/c/io_test.c in this folder: small files as PyTorch, safetensors and NumPy write them.

They are committed, so that the tests need none of these; run this again only to add one.
"""

import collections
import gzip
import os
import pickle
import struct
import zipfile
from pathlib import Path

import numpy
import safetensors.torch
import torch

HERE = Path(__file__).parent


class Command:
    """Unpickling this runs a command: what the .pt reader must refuse."""

    def __reduce__(self):
        return os.system, ("echo executed",)


def save_nested():
    w = torch.arange(6.0).reshape(2, 3)
    state = collections.OrderedDict(
        w=w,
        half=torch.nn.Parameter(torch.tensor([1.0, -2.5], dtype=torch.bfloat16)),
        transposed=w.t(),
        column=w[:, 1],
        scalar=torch.tensor(7, dtype=torch.int64),
        empty=torch.zeros(0, 4),
        flags=torch.tensor([True, False, True]),
    )
    saved = {
        "model": state,
        "epoch": 3,
        "seed": 2**63 + 5,
        "lr": 0.5,
        "name": "net",
        "none": None,
        "done": False,
        "pair": (torch.tensor([5, 6], dtype=torch.int32), "text", -70000, 300),
        "state": {0: {"exp_avg": torch.ones(2)}, 1: {"exp_avg": torch.zeros(2)}},
    }
    torch.save(saved, HERE / "nested.pt")
    torch.save(saved, HERE / "protocol4.pt", pickle_protocol=4)
    torch.save(saved, HERE / "legacy.pt", _use_new_zipfile_serialization=False)
    with zipfile.ZipFile(HERE / "nested.pt") as plain, zipfile.ZipFile(HERE / "deflated.pt", "w") as packed:
        for entry in plain.infolist():
            packed.writestr(entry.filename, plain.read(entry), zipfile.ZIP_DEFLATED)
    with zipfile.ZipFile(HERE / "nested.pt") as plain:
        (HERE / "nested.pkl").write_bytes(plain.read("nested/data.pkl"))  # seed of tests/fuzz/fuzz_pickle.c


def save_others():
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
    torch.save(module.state_dict(), HERE / "module.pt")
    torch.save({"wide": torch.ones(1).expand(1000)}, HERE / "expanded.pt")
    torch.save({"w": torch.ones(2), "x": torch.nn.ReLU()}, HERE / "object.pt")
    with zipfile.ZipFile(HERE / "hostile.pt", "w") as archive:
        archive.writestr("hostile/data.pkl", pickle.dumps({"w": Command()}, protocol=2))


def save_safetensors():
    tensors = {
        "w": torch.arange(6.0).reshape(2, 3),
        "half": torch.tensor([1.0, -2.5], dtype=torch.bfloat16),
        "scalar": torch.tensor(7, dtype=torch.int64),
    }
    safetensors.torch.save_file(tensors, HERE / "small.safetensors", metadata={"format": "pt"})


def save_npy():
    array = numpy.arange(6, dtype=numpy.float32).reshape(2, 3)
    numpy.save(HERE / "plain.npy", array)
    numpy.save(HERE / "fortran.npy", numpy.asfortranarray(array.astype(numpy.float64)))
    numpy.save(HERE / "scalar.npy", numpy.int64(-7))
    numpy.save(HERE / "big_endian.npy", array.astype(">f4"))
    for version in (2, 3):
        with open(HERE / f"version{version}.npy", "wb") as file:
            numpy.lib.format.write_array(file, array > 2, version=(version, 0))


def save_idx():
    (HERE / "bytes.idx").write_bytes(struct.pack(">BBBBII", 0, 0, 8, 2, 2, 3) + bytes(range(6)))
    floats = struct.pack(">BBBBI", 0, 0, 0x0D, 1, 3) + struct.pack(">fff", 1.0, -2.5, 3.0)
    (HERE / "floats.idx.gz").write_bytes(gzip.compress(floats, mtime=0))


if __name__ == "__main__":
    save_nested()
    save_others()
    save_safetensors()
    save_npy()
    save_idx()
