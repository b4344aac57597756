# SPDX-License-Identifier: Apache-2.0
"""Checkpoints: everything that training needs to go on as if it had never stopped, in one file.

    loader = ResumableLoader(loader)
    first = load_checkpoint(path, model, optimizer, loader=loader).step if resuming else 0
    ...
    save_checkpoint(path, model, optimizer, loader=loader, step=step)

The file is what torch.save writes of plain tensors, numbers, strings, lists and dicts: torch.load(weights_only=True)
reads it, and so does `leat run --weights`. It is written aside, synced and renamed, so that whatever happens meanwhile
the path holds either the old checkpoint or the new one.

    model        state dict: parameters and buffers
    attributes   other tensors that forward writes: attributes of modules, buffers that are not persistent
    optimizer    state dict of the optimizer, or a list of them
    random       generators of torch, numpy and Python, and the device's: seed and step
    loader       position of a ResumableLoader
    hyperparameters   values that runs have set, which are sticky
    step, epoch, extra   as given
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from sambaflow._base.files import write_whole
from sambaflow._base.library import CorruptFileError, MismatchError, NotFoundError
from sambaflow._base.reading import printable, shown
from sambaflow._runtime.random_state import host_random_state, set_host_random_state
from sambaflow._tensors.tensor import SambaTensor, plain_tensor
from sambaflow._trace.slots import Slot
from sambaflow.samba.utils import _shards as shards
from sambaflow.samba.utils.resume import ResumableLoader

__all__ = [
    "Progress",
    "ResumableLoader",
    "load_checkpoint",
    "load_sharded_checkpoint",
    "save_checkpoint",
    "save_tensors",
]

FORMAT = "leat checkpoint"
VERSION = 1


@dataclass
class Progress:
    """How far a checkpoint had come."""

    step: int = 0
    epoch: int = 0
    extra: dict[str, Any] = field(default_factory=dict)


# ---- save


def save_checkpoint(
    path: str,
    model: nn.Module,
    optimizer: Any = None,
    *,
    loader: ResumableLoader | None = None,
    step: int = 0,
    epoch: int | None = None,
    extra: Mapping[str, Any] | None = None,
) -> None:
    """Writes a checkpoint to `path`; a failure leaves the file that was there.

    Where `model` is loaded on the device its weights, buffers and optimizer state are brought to the host first, as by
    `session.to_cpu`. `optimizer` may be a list. `epoch` defaults to the loader's. `extra` holds values of the program:
    tensors, numbers, strings, lists, dicts.
    """
    from sambaflow import samba

    with samba.session.using(model):
        if samba.session.has_traced(model) and not samba.session.is_beside(model):
            samba.session.check_updated()
            samba.session.to_cpu(model)
        random, hyperparameters = samba.session.random_state(), samba.session.hyperparameters()
    content: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        "model": model.state_dict(),
        "attributes": samba.session.unsaved_state(model),
        "random": {"host": host_random_state(), "device": random},
        "hyperparameters": hyperparameters,
        "step": int(step),
        "epoch": int(epoch if epoch is not None else loader.epoch if loader is not None else 0),
        "extra": dict(extra or {}),
    }
    if optimizer is not None:
        listed = isinstance(optimizer, (list, tuple))
        content["optimizer"] = [o.state_dict() for o in optimizer] if listed else optimizer.state_dict()
    if loader is not None:
        content["loader"] = loader.state_dict()
    plain = _plain(content, "checkpoint")
    write_whole(path, lambda stream: torch.save(plain, stream))


def _plain(value: Any, where: str) -> Any:
    """`value` with plain tensors of their own memory, in containers that are read without running code."""
    if isinstance(value, torch.Tensor):
        if value.device.type == "meta":
            raise ValueError(f"{where} has no data (device meta): materialise it before saving")
        tensor = plain_tensor(value).detach().cpu()
        whole = tensor.untyped_storage().nbytes() == tensor.numel() * tensor.element_size()
        return tensor if whole and tensor.is_contiguous() else tensor.clone(memory_format=torch.contiguous_format)
    if isinstance(value, Mapping):
        return {key: _plain(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        items = [_plain(item, f"{where}[{index}]") for index, item in enumerate(value)]
        return tuple(items) if isinstance(value, tuple) else items
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"{where} is a {type(value).__name__}: checkpoints hold tensors, numbers, strings, lists and dicts")


# ---- load


def load_checkpoint(
    path: str, model: nn.Module, optimizer: Any = None, *, loader: ResumableLoader | None = None
) -> Progress:
    """Puts model, optimizer, loader and random state to what they were when `path` was saved.

    Call it before or after `trace_graph`; what is on the device already is replaced there. The file is read as data
    alone, and all of it is checked before anything changes. MismatchError (a ValueError) names every tensor that is
    missing, extra or of another shape. Without optimizer and loader the weights alone are taken, and random state and
    hyperparameters stay. A file with a model's state dict alone loads the model.
    """
    content = _read(path)
    listed = list(optimizer) if isinstance(optimizer, (list, tuple)) else [] if optimizer is None else [optimizer]
    resumes = bool(listed) or loader is not None
    before = host_random_state()
    try:
        states = _optimizer_states(content)
        problems = _problems(content, model, listed, states, loader)
        if not problems and resumes and "random" in content:
            set_host_random_state(content["random"]["host"])
        if not problems and loader is not None:
            loader.load_state_dict(content["loader"])
    except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
        set_host_random_state(before)
        raise CorruptFileError(f"{path} is not a whole checkpoint ({type(error).__name__}: {shown(error)})") from error
    if problems:
        raise MismatchError(f"{path} is a checkpoint of another program:\n  " + "\n  ".join(map(printable, problems)))
    _restore(content, model, listed, states, resumes)
    return Progress(int(content.get("step", 0)), int(content.get("epoch", 0)), dict(content.get("extra", {})))


def _problems(
    content: Mapping[str, Any],
    model: nn.Module,
    optimizers: Sequence[torch.optim.Optimizer],
    states: Sequence[Any],
    loader: ResumableLoader | None,
) -> list[str]:
    """Everything in which the checkpoint differs from the program."""
    lines = shards.differences(content["model"], model.state_dict()) + _optimizers_differences(optimizers, states)
    for place, target, value in _attributes(content, model):
        if not isinstance(target, torch.Tensor) or target.shape != value.shape:
            lines.append(f"attribute {place} of shape {list(value.shape)}, which the program does not have")
    if loader is not None and "loader" not in content:
        lines.append("no data position: it was saved without loader=")
    return lines


def _attributes(content: Mapping[str, Any], model: nn.Module) -> list[tuple[Slot, Any, torch.Tensor]]:
    """The tensors of a checkpoint that are in no state dict: place, what `model` holds there, and value."""
    places = [(Slot(e["module"], e["attribute"], tuple(e["keys"])), e["value"]) for e in content.get("attributes", ())]
    return [(place, place.find(model), value) for place, value in places]


def _restore(
    content: Mapping[str, Any],
    model: nn.Module,
    optimizers: Sequence[torch.optim.Optimizer],
    states: Sequence[Any],
    resumes: bool,
) -> None:
    from sambaflow import samba

    model.load_state_dict(content["model"])
    for _, target, value in _attributes(content, model):
        with torch.no_grad():
            plain_tensor(target).copy_(value)
    if samba.session.has_traced(model):
        samba.session.to_rdu(model)
    for one, state in zip(optimizers, states, strict=False):  # without optimizers, of none
        one.load_state_dict(state)
    if resumes and "random" in content:
        with samba.session.using(model):
            samba.session.resume(content["random"].get("device"), content.get("hyperparameters", {}))


def _read(path: str) -> dict[str, Any]:
    """The content of a checkpoint; a bare state dict counts as a model."""
    content = shards.read_torch_file(path)
    if not isinstance(content, dict):
        raise CorruptFileError(f"{path} is not a checkpoint: it holds a {type(content).__name__}")
    if content and all(isinstance(value, torch.Tensor) for value in content.values()):
        return {"model": content}
    if not isinstance(content.get("model"), dict):
        raise CorruptFileError(f"{path} is not a checkpoint: it has no entry 'model'")
    if content.get("format", FORMAT) != FORMAT or int(content.get("version", VERSION)) > VERSION:
        raise CorruptFileError(f"{path} is a checkpoint of a newer kind than this release reads (version {VERSION})")
    return content


def _optimizer_states(content: Mapping[str, Any]) -> list[Any]:
    found = content.get("optimizer", [])
    return found if isinstance(found, list) else [found]


def _optimizers_differences(optimizers: Sequence[torch.optim.Optimizer], states: Sequence[Any]) -> list[str]:
    """What keeps `states` from being those of `optimizers`; a program without optimizer takes none of them."""
    if not optimizers:
        return []
    if not states:
        return ["no optimizer state: load its weights alone, without an optimizer"]
    if len(states) != len(optimizers):
        return [f"state of {len(states)} optimizer(s), the program has {len(optimizers)}"]
    lines = []
    for number, (one, state) in enumerate(zip(optimizers, states, strict=True)):
        lines += _optimizer_differences(one, state, f"optimizer {number}" if len(states) > 1 else "optimizer")
    return lines


def _optimizer_differences(optimizer: torch.optim.Optimizer, state: Mapping[str, Any], name: str) -> list[str]:
    """What keeps `state` from being the state of `optimizer`."""
    groups, own = state["param_groups"], optimizer.param_groups
    counts, own_counts = [len(g["params"]) for g in groups], [len(g["params"]) for g in own]
    if counts != own_counts:
        return [f"{name}: parameters per group {counts}, the program has {own_counts}"]
    problems = []
    parameters = [p for group in own for p in group["params"]]
    for index, parameter in zip([i for g in groups for i in g["params"]], parameters, strict=True):
        for key, value in state["state"].get(index, {}).items():
            if isinstance(value, torch.Tensor) and value.dim() and value.shape != parameter.shape:
                label = getattr(parameter, "sn_name", None) or f"parameter {index}"
                problems.append(
                    f"{name}: {key} of {label} has shape {list(value.shape)}, the parameter has {list(parameter.shape)}"
                )
    return problems


# ---- tensors alone


def load_sharded_checkpoint(model: nn.Module, path: str, ignore_dtype_mismatch: bool = False, **_: Any) -> None:
    """Loads a checkpoint of several files (an index and its shards) or of one file, tensor by tensor.

    `path` is the folder, the index (`*.index.json`) or the file (.safetensors, .bin, .pt). Tensors of a traced model go
    straight to the device and the host keeps none of them; those of an untraced one to the host. A tensor of another
    dtype is an error unless `ignore_dtype_mismatch`, then it is converted. Nothing is changed unless all fits.
    """
    from sambaflow import samba

    files = shards.locate(path)
    targets = dict(model.state_dict(keep_vars=True))
    problems = shards.differences(shards.shapes(files), targets, dtypes=not ignore_dtype_mismatch)
    if problems:
        raise MismatchError(f"{path} is a checkpoint of another model:\n  " + "\n  ".join(map(printable, problems)))
    with samba.session.using(model):
        write = samba.session.writer_of(model)
    for key, tensor in shards.tensors(files):
        write(key, targets[key], tensor)


def save_tensors(tensors: Mapping[str, torch.Tensor] | Iterable[torch.Tensor], path: str = "tensors.pt") -> None:
    """Writes tensors under their names to `path`, as torch.save does; of those on the device, the device's values."""
    named = tensors.items() if isinstance(tensors, Mapping) else [(_name_of(t), t) for t in tensors]
    values = {str(name): t.cpu() if isinstance(t, SambaTensor) else t for name, t in named}
    plain = _plain(values, "tensors")
    write_whole(path, lambda stream: torch.save(plain, stream))


def _name_of(tensor: torch.Tensor) -> str:
    name = tensor.sn_name if isinstance(tensor, SambaTensor) else None
    if name is None:
        raise NotFoundError("a tensor has no name: pass a dict of names and tensors")
    return name
