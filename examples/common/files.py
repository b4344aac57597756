# SPDX-License-Identifier: Apache-2.0
"""Files that are whole or not there: written aside, synced, renamed. And checkpoints, which the SDK writes."""

import json
import os
import tempfile

import numpy as np
from sambaflow.samba.utils import checkpoint


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


def save_checkpoint(path, model, optimizer, epoch, step=0):
    """Writes model, optimizer and random state, how many epochs (or steps) are finished, and the steps of the next."""
    checkpoint.save_checkpoint(path, model, optimizer, epoch=epoch, step=step)


def load_checkpoint(path, model, optimizer=None):
    """Fills `model` (and `optimizer`) from a checkpoint and returns the number of finished epochs (or steps)."""
    return checkpoint.load_checkpoint(path, model, optimizer).epoch


def load_progress(path, model, optimizer=None):
    """As `load_checkpoint`; returns the finished epochs, and the steps that were taken of the next one."""
    progress = checkpoint.load_checkpoint(path, model, optimizer)
    return progress.epoch, progress.step
