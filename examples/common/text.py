# SPDX-License-Identifier: Apache-2.0
"""Text as bytes: a file, its training and held-out parts, and the windows that a step reads."""

import os
from dataclasses import dataclass

import torch

HELD_OUT_SHARE = 0.1


@dataclass(frozen=True)
class Text:
    """`train` and `held_out`: the bytes of a file as u8 tensors; the held-out part is its end."""

    train: torch.Tensor
    held_out: torch.Tensor


def load_text(path, length):
    """Reads the file at `path`; each part must have more than `length` bytes."""
    if not os.path.isfile(path):
        raise FileNotFoundError(f"--data-file {path}: no such file; name any text file")
    with open(path, "rb") as stream:
        data = torch.frombuffer(bytearray(stream.read()) or bytearray(1), dtype=torch.uint8)
    train = data[: len(data) - int(len(data) * HELD_OUT_SHARE)]
    held_out = data[len(train) :]
    if min(len(train), len(held_out)) <= length:
        raise ValueError(
            f"{path}: {len(data)} bytes are too few for windows of {length} bytes in its training part "
            f"({len(train)}) and its held-out part ({len(held_out)}): use a longer text or a smaller --length"
        )
    return Text(train, held_out)


def window_batch(data, batch_size, length, seed, step):
    """(tokens, targets), i64 [batch_size, length] each: windows of `data`, the targets one byte further.

    Where they lie is a function of `seed` and `step` alone, so that a resumed run meets the same ones.
    """
    generator = torch.Generator().manual_seed(seed * 1_000_003 + step)
    starts = torch.randint(len(data) - length, (batch_size, 1), generator=generator)
    windows = data[starts + torch.arange(length + 1)].long()
    return windows[:, :-1].contiguous(), windows[:, 1:].contiguous()


def windows_in_order(data, batch_size, length, most):
    """At most `most` whole batches of windows that lie side by side from the start of `data`."""
    count = min(most, (len(data) - 1) // (batch_size * length))
    for first in range(0, count * batch_size * length, batch_size * length):
        piece = data[first : first + batch_size * length + 1].long()
        yield piece[:-1].reshape(batch_size, length), piece[1:].reshape(batch_size, length)
