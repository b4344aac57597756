# SPDX-License-Identifier: Apache-2.0
"""Files of tensors: reading them as data alone, one file or an index with shards, and comparing them with a model."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any

import torch

from sambaflow._base.library import CorruptFileError, NotFoundError, UnsupportedError
from sambaflow._base.reading import shown

# What a folder is searched for, in this order.
_INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
_SINGLE = ("model.safetensors", "pytorch_model.bin")


def read_torch_file(path: str, *, mmap: bool = False) -> Any:
    """What torch.save wrote to `path`; no code of the file is run."""
    if not os.path.isfile(path):
        raise NotFoundError(f"{path}: no such file")
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mmap and zipfile.is_zipfile(path))
    except Exception as error:
        raise CorruptFileError(f"{path} cannot be read as a checkpoint ({shown(error)})") from error


def differences(found: Mapping[str, Any], wanted: Mapping[str, Any], *, dtypes: bool = False) -> list[str]:
    """Every way in which the tensors of a file differ from those of a model, as lines."""
    found, wanted = _tensors_alone(found), _tensors_alone(wanted)
    shared = [name for name in wanted if name in found]
    lines = [f"missing: {name} {list(wanted[name].shape)}" for name in wanted if name not in found]
    lines += [f"extra: {name} {list(found[name].shape)}" for name in found if name not in wanted]
    lines += [
        f"of another shape: {name} {list(found[name].shape)}, the model has {list(wanted[name].shape)}"
        for name in shared
        if tuple(found[name].shape) != tuple(wanted[name].shape)
    ]
    if dtypes:
        lines += [
            f"of another dtype: {name} {found[name].dtype}, the model has {wanted[name].dtype}"
            for name in shared
            if found[name].dtype != wanted[name].dtype
        ]
    return lines


def _tensors_alone(state: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    return {name: value for name, value in state.items() if isinstance(value, torch.Tensor)}


def locate(path: str) -> list[str]:
    """The files that `path` (a folder, an index, a file) stands for."""
    if os.path.isdir(path):
        for name in (*_INDEXES, *_SINGLE):
            if os.path.isfile(os.path.join(path, name)):
                return locate(os.path.join(path, name))
        raise NotFoundError(f"{path} holds none of {', '.join((*_INDEXES, *_SINGLE))}")
    if not os.path.isfile(path):
        raise NotFoundError(f"{path}: no such file or folder")
    return _of_index(path) if path.endswith(".json") else [path]


def _of_index(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8") as stream:
            names = sorted(set(json.load(stream)["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CorruptFileError(f"{path} is not an index of shards: it needs an object 'weight_map'") from error
    folder = os.path.dirname(path)
    files = [os.path.join(folder, os.path.basename(str(name))) for name in names]
    missing = [file for file in files if not os.path.isfile(file)]
    if missing:
        raise NotFoundError(f"{path} names files that do not exist: {', '.join(missing)}")
    return files


def shapes(files: list[str]) -> dict[str, torch.Tensor]:
    """The tensors of all files as meta tensors: names, shapes, dtypes."""
    return {key: torch.empty(t.shape, dtype=t.dtype, device="meta") for key, t in tensors(files)}


def tensors(files: list[str]) -> Iterator[tuple[str, torch.Tensor]]:
    """Names and tensors of all files; one file is open at a time, and its pages are read as they are used."""
    for path in files:
        yield from _safetensors(path) if path.endswith(".safetensors") else _torch_tensors(path)


def _torch_tensors(path: str) -> Iterator[tuple[str, torch.Tensor]]:
    content = read_torch_file(path, mmap=True)
    content = content.get("model", content) if isinstance(content, dict) else content
    if not isinstance(content, dict) or not all(isinstance(t, torch.Tensor) for t in content.values()):
        raise CorruptFileError(f"{path} does not hold tensors by name")
    yield from content.items()


def _safetensors(path: str) -> Iterator[tuple[str, torch.Tensor]]:
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError as error:
        raise UnsupportedError(f"{path}: reading this file needs the package safetensors: pip install it") from error
    try:
        with safe_open(path, framework="pt") as stream:
            for key in stream.keys():  # noqa: SIM118 - not a dict
                yield key, stream.get_tensor(key)
    except SafetensorError as error:
        raise CorruptFileError(f"{path} is not a safetensors file ({error})") from error
