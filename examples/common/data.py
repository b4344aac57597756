# SPDX-License-Identifier: Apache-2.0
"""Images with labels: IDX files of a folder, or the handwritten digits that come with scikit-learn.

Both give 28x28 images, normalised as is usual for MNIST, so the same program and the same PEF work on either.
"""

import os
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from .idx import IdxError, read_idx

MEAN, STD = 0.1307, 0.3081
NUM_CLASSES = 10
_DIGITS_FOR_TEST = 297
_SPLIT_SEED = 7


@dataclass(frozen=True)
class Images:
    """`images`: f32 [N, 1, 28, 28], normalised; `labels`: i64 [N], None where there are none."""

    images: torch.Tensor
    labels: torch.Tensor | None

    def __len__(self):
        return len(self.images)


def load_split(data_dir, train, need_labels=True):
    """The training or the test split: of the IDX files in `data_dir`, of scikit-learn's digits if that is None."""
    return _load_idx(data_dir, "train" if train else "t10k", need_labels) if data_dir else _load_digits(train)


def _load_idx(data_dir, prefix, need_labels):
    if not os.path.isdir(data_dir):
        raise FileNotFoundError(f"--data-dir {data_dir}: no such folder")
    images_path = _find(data_dir, f"{prefix}-images", "idx3-ubyte")
    labels_path = _find(data_dir, f"{prefix}-labels", "idx1-ubyte", need_labels)
    pixels = read_idx(images_path)
    if pixels.ndim != 3 or pixels.shape[1:] != (28, 28):
        raise IdxError(f"{images_path}: expected images of shape (N, 28, 28), found {pixels.shape}")
    images = torch.from_numpy(pixels).unsqueeze(1).float().div_(255.0)
    return Images(_normalise(images), _read_labels(labels_path, len(pixels)) if labels_path else None)


def _read_labels(path, count):
    labels = read_idx(path)
    if labels.ndim != 1 or len(labels) != count:
        raise IdxError(f"{path}: expected {count} labels, one an image, found shape {labels.shape}")
    if len(labels) and not 0 <= labels.min() <= labels.max() < NUM_CLASSES:
        raise IdxError(f"{path}: labels from {labels.min()} to {labels.max()}; expected 0 to {NUM_CLASSES - 1}")
    return torch.from_numpy(labels).long()


def _find(data_dir, stem, kind, needed=True):
    """The path of the file; None where it is not there and not needed."""
    names = [f"{stem}{separator}{kind}{ending}" for separator in "-." for ending in ("", ".gz")]
    for name in names:
        path = os.path.join(data_dir, name)
        if os.path.isfile(path):
            return path
    if needed:
        raise FileNotFoundError(f"--data-dir {data_dir}: none of {', '.join(names)} is there")
    return None


def _load_digits(train):
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ImportError("without --data-dir the programs use scikit-learn's digits: install scikit-learn") from error
    digits = load_digits()
    order = torch.randperm(len(digits.target), generator=torch.Generator().manual_seed(_SPLIT_SEED))
    chosen = order[:-_DIGITS_FOR_TEST] if train else order[-_DIGITS_FOR_TEST:]
    small = torch.from_numpy(digits.images).float()[chosen].unsqueeze(1) / 16.0
    images = F.interpolate(small, size=(28, 28), mode="bilinear", align_corners=False)
    return Images(_normalise(images), torch.from_numpy(digits.target).long()[chosen])


def _normalise(images):
    return images.sub_(MEAN).div_(STD)


def shuffled_batches(data, batch_size, seed, epoch):
    """Whole batches in an order that is a function of `seed` and `epoch`, so that a resumed run meets the same ones."""
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(seed * 1_000_003 + epoch))
    for start in range(0, len(data) - batch_size + 1, batch_size):
        chosen = order[start : start + batch_size]
        yield data.images[chosen], data.labels[chosen]


def batches_in_order(data, batch_size):
    """All of `data` in order; the last batch may be smaller. Images without labels come with zeros."""
    labels = torch.zeros(len(data), dtype=torch.int64) if data.labels is None else data.labels
    for start in range(0, len(data), batch_size):
        yield data.images[start : start + batch_size], labels[start : start + batch_size]
