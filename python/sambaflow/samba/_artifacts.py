# SPDX-License-Identifier: Apache-2.0
"""What a compile is configured by, where its PEF goes, and what the PEF remembers of it."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

from sambaflow._runtime.library import InvalidArgumentError, MismatchError, UnsupportedError

DEFAULT_OUTPUT_FOLDER = "./out"

# Options that a PEF remembers, so that a run that asks for something else can say so.
_AGREED = ("batch_size", "microbatch_size", "mapping")
_OPTION_NAMES = {"batch_size": "-b/--batch-size", "microbatch_size": "-mb/--microbatch-size", "mapping": "--mapping"}


def script_dir() -> str | None:
    """The folder of the program that was started."""
    path = getattr(sys.modules.get("__main__"), "__file__", None)
    return os.path.dirname(os.path.abspath(path)) if path else None


def configuration(args: argparse.Namespace | None, config: Mapping[str, Any] | None) -> dict[str, Any]:
    """Options of a compile: those given, else those of the command line."""
    return {**(vars(args) if args is not None else {}), **(config or {})}


def _count(value: Any) -> int:
    """A number of chips, ranks or steps; what is no number is an option of the program's own under the same name."""
    return value if isinstance(value, int) else 1


def check_supported(config: Mapping[str, Any]) -> None:
    """Refuses what would change the program and is not built yet."""
    asked = [
        f"--{option.replace('_', '-')} {config[option]}"
        for option in ("n_chips", "world_size", "grad_accumulation_steps")
        if _count(config.get(option)) > 1
    ]
    asked += [
        f"--{o.replace('_', '-')}" for o in ("data_parallel", "model_parallel", "tensor_parallel") if config.get(o)
    ]
    if asked:
        raise UnsupportedError(f"{', '.join(asked)}: not supported yet; compile for one chip and one process")


def optim_level(config: Mapping[str, Any]) -> int:
    """0, 1 or 3, from the flags -o0, -o1, -o3 or the option optim_level."""
    for level in (0, 1):
        if config.get(f"o{level}"):
            return level
    text = str(config.get("optim_level") or "o3").lower().removeprefix("o")
    if text not in ("0", "1", "3"):
        raise InvalidArgumentError(f"optim_level {text!r}: expected o0, o1 or o3")
    return int(text)


@contextlib.contextmanager
def output_path(config: Mapping[str, Any]) -> Iterator[str]:
    """The path of the PEF, in a folder that exists; a failed compile leaves no empty folder behind."""
    name = str(config.get("pef_name") or f"{time.strftime('%Y%m%d_%H%M%S')}_{os.getpid()}").removesuffix(".pef")
    if not name or os.path.basename(name) != name or name in (".", ".."):
        raise InvalidArgumentError(f"--pef-name {name!r} is not a file name")
    root = str(config["output_folder"] or ".") if "output_folder" in config else DEFAULT_OUTPUT_FOLDER
    if root == DEFAULT_OUTPUT_FOLDER:
        os.makedirs(root, exist_ok=True)
    elif not os.path.isdir(root):
        raise FileNotFoundError(f"the output folder {root} does not exist: create it first")
    folder = os.path.join(root, name)
    made = not os.path.isdir(folder)
    os.makedirs(folder, exist_ok=True)
    try:
        yield os.path.join(folder, f"{name}.pef")
    except BaseException:
        if made:
            with contextlib.suppress(OSError):
                os.rmdir(folder)
        raise


def metadata(
    config: Mapping[str, Any], pef_metadata: Mapping[str, Any] | None, inference: bool, optimizers: bool
) -> dict[str, Any]:
    """What the PEF remembers. Nothing of names, folders or time: equal programs give equal files."""
    options = _agreed(config)
    return {"app": plain(pef_metadata or {}), "leat": {**options, "inference": inference, "optimizers": optimizers}}


def _agreed(config: Mapping[str, Any]) -> dict[str, Any]:
    """The options that compile and run must agree on; a micro-batch that was not asked for is the batch."""
    options = {name: config[name] for name in _AGREED if config.get(name) is not None}
    if "batch_size" in options:
        options.setdefault("microbatch_size", options["batch_size"])
    return options


def plain(value: Any) -> Any:
    """`value` as JSON can hold it; anything else becomes its text (a set too, as in SambaFlow)."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return str(value)


def check_agreement(
    args: argparse.Namespace | None, mapping: str | None, compiled: Mapping[str, Any], pef: str
) -> None:
    """Options of the run that contradict those of the compile."""
    asked = _agreed({**vars(args), **({"mapping": mapping} if mapping else {})} if args else {"mapping": mapping})
    for name, value in asked.items():
        if name in compiled and compiled[name] != value:
            raise MismatchError(
                f"{_OPTION_NAMES[name]} {value} differs from {pef}, which was compiled with {compiled[name]}: use the "
                "same value, or compile again"
            )
