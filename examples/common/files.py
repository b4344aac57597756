# SPDX-License-Identifier: Apache-2.0
"""Files that are whole or not there: written aside, synced, renamed. And checkpoints made of that."""

import json
import os
import tempfile

import numpy as np
import torch


def write_whole(path, write):
    """Calls `write(stream)` on a new file beside `path` and renames it; on an error `path` is as it was."""
    folder = os.path.dirname(os.path.abspath(path))
    os.makedirs(folder, exist_ok=True)
    handle, aside = tempfile.mkstemp(dir=folder, prefix=f".{os.path.basename(path)}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            write(stream)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(aside, path)
    except BaseException:
        os.unlink(aside)
        raise


def write_json(path, value):
    write_whole(path, lambda stream: stream.write((json.dumps(value, indent=2, sort_keys=True) + "\n").encode()))


def write_array(path, array):
    write_whole(path, lambda stream: np.save(stream, array))


def save_checkpoint(path, model, optimizer, epoch):
    """Writes model, optimizer state and the number of finished epochs. The host model must be up to date."""
    checkpoint = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": epoch}
    write_whole(path, lambda stream: torch.save(checkpoint, stream))


def load_checkpoint(path, model, optimizer=None):
    """Fills `model` (and `optimizer`) from a checkpoint and returns its number of finished epochs.

    The file is read as data only: a pickle that would run code is refused.
    """
    if not os.path.isfile(path):
        raise FileNotFoundError(f"--init-ckpt-path {path}: no such file")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        first_line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ValueError(f"{path}: not a checkpoint that can be read safely ({first_line})") from error
    if not isinstance(checkpoint, dict) or "model" not in checkpoint:
        raise ValueError(f"{path}: not a checkpoint of these programs (it has no entry 'model')")
    model.load_state_dict(checkpoint["model"])
    if optimizer is not None and "optimizer" in checkpoint:
        optimizer.load_state_dict(checkpoint["optimizer"])
    return int(checkpoint.get("epoch", 0))
