# SPDX-License-Identifier: Apache-2.0

"""Data sets in files: IDX (plain or gzipped), npy, npz and pt."""

from __future__ import annotations

import gzip
import os
import struct
import zlib
from typing import Any

import numpy as np
import torch

from sambaflow._base.reading import reading

_IDX_TYPES = {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
_SUFFIXES = (".idx", "-ubyte", ".gz", ".npy", ".npz", ".pt")


def load_dataset(path: str | os.PathLike[str], **_: Any) -> Any:
    """The data set at `path`: a tensor for an IDX or npy file, a dict of tensors for npz, for pt what was saved.

    For a folder, a dict of its files by name without suffix. Nothing is downloaded.
    """
    name = os.fspath(path)
    if os.path.isdir(name):
        files = sorted(f for f in os.listdir(name) if f.endswith(_SUFFIXES))
        if not files:
            raise FileNotFoundError(f"{name} holds no data file ({', '.join(_SUFFIXES)})")
        return {_stem(f): load_dataset(os.path.join(name, f)) for f in files}
    if not os.path.exists(name):
        raise FileNotFoundError(f"{name} does not exist; data sets are read from disk, nothing is downloaded")
    with reading(name, "a data set"):
        return _load_file(name)


def _load_file(name: str) -> Any:
    if name.endswith(".pt"):
        return torch.load(name, weights_only=True)
    if name.endswith(".npz"):
        with np.load(name, allow_pickle=False) as arrays:
            return {key: torch.from_numpy(arrays[key]) for key in arrays.files}
    if name.endswith(".npy"):
        return torch.from_numpy(np.load(name, allow_pickle=False))
    return read_idx(name)


def _stem(file: str) -> str:
    for suffix in (".gz", ".idx", ".npy", ".npz", ".pt"):
        file = file.removesuffix(suffix)
    return file


def read_idx(path: str | os.PathLike[str]) -> torch.Tensor:
    """The tensor of an IDX file, plain or gzipped; ValueError says what is wrong with the file."""
    name = os.fspath(path)
    try:
        with gzip.open(name) if name.endswith(".gz") else open(name, "rb") as file:
            data = file.read()
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{name}: not a whole gzip file: {error}") from error
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] not in _IDX_TYPES or data[3] == 0:
        raise ValueError(f"{name}: not an IDX file: it starts with {data[:4].hex(' ') or 'nothing'}")
    rank = data[3]
    if len(data) < 4 + 4 * rank:
        raise ValueError(f"{name}: truncated at byte {len(data)}, in the sizes of its {rank} dims")
    shape = struct.unpack(f">{rank}I", data[4 : 4 + 4 * rank])
    dtype = np.dtype(_IDX_TYPES[data[2]])
    want = 4 + 4 * rank + int(np.prod(shape, dtype=object)) * dtype.itemsize
    if len(data) != want:
        raise ValueError(f"{name}: it has {len(data)} bytes, but its shape {list(shape)} needs {want}")
    values = np.frombuffer(data, dtype, offset=4 + 4 * rank).reshape(shape)
    return torch.from_numpy(values.astype(dtype.newbyteorder("=")))
