# SPDX-License-Identifier: Apache-2.0
"""Reader of IDX files, the format of the MNIST family: plain or gzipped, every size checked before it is believed.

An IDX file is two zero bytes, a type code, the number of dimensions, each dimension as a big-endian 32-bit number,
and the elements. A file that is anything else raises IdxError with what was found and where.
"""

import gzip
import math
import struct
import zlib

import numpy as np

_TYPES = {
    0x08: np.dtype("u1"),
    0x09: np.dtype("i1"),
    0x0B: np.dtype(">i2"),
    0x0C: np.dtype(">i4"),
    0x0D: np.dtype(">f4"),
    0x0E: np.dtype(">f8"),
}
_MAX_DIMENSIONS = 8
_MAX_BYTES = 1 << 34


class IdxError(ValueError):
    """The file is not a whole, well-formed IDX file."""


def read_idx(path):
    """Returns the array in the IDX file at `path`, in native byte order."""
    try:
        with open(path, "rb") as raw:
            compressed = raw.read(2) == b"\x1f\x8b"
        with gzip.open(path, "rb") if compressed else open(path, "rb") as stream:
            return _read_stream(stream, path)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise IdxError(f"{path}: damaged gzip data ({error}); fetch or write the file again") from error


def _read_stream(stream, path):
    magic = stream.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0":
        raise IdxError(f"{path}: not an IDX file (it begins with {magic.hex(' ') or 'nothing'}, IDX with 00 00)")
    dtype = _TYPES.get(magic[2])
    if dtype is None:
        raise IdxError(f"{path}: unknown IDX element type 0x{magic[2]:02x}")
    rank = magic[3]
    if not 1 <= rank <= _MAX_DIMENSIONS:
        raise IdxError(f"{path}: {rank} dimensions; expected 1 to {_MAX_DIMENSIONS}")
    header = stream.read(4 * rank)
    if len(header) < 4 * rank:
        raise IdxError(f"{path}: ends within the header, after {4 + len(header)} bytes")
    shape = struct.unpack(f">{rank}I", header)
    expected = math.prod(shape) * dtype.itemsize
    if expected > _MAX_BYTES:
        raise IdxError(f"{path}: claims shape {shape}, {expected} bytes; more than {_MAX_BYTES} is not read")
    data = _read_exactly(stream, expected, path, shape)
    return np.frombuffer(data, dtype=dtype).reshape(shape).astype(dtype.newbyteorder("="))


def _read_exactly(stream, expected, path, shape):
    """Reads piece by piece, so that a header with a large lie costs no memory."""
    pieces, missing = [], expected
    while missing:
        piece = stream.read(min(missing, 1 << 20))
        if not piece:
            raise IdxError(f"{path}: shape {shape} needs {expected} bytes of data, the file has {expected - missing}")
        pieces.append(piece)
        missing -= len(piece)
    if stream.read(1):
        raise IdxError(f"{path}: data go on behind the {expected} bytes that shape {shape} needs")
    return b"".join(pieces)
