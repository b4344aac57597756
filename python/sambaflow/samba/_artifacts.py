# SPDX-License-Identifier: Apache-2.0
"""What a compile is configured by, where its PEF goes, and what the PEF remembers of it."""

from __future__ import annotations

import argparse
import contextlib
import csv
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

from sambaflow._base import configs, options
from sambaflow._base.files import make_parent
from sambaflow._base.library import InvalidArgumentError, MismatchError, from_command_line
from sambaflow._base.messages import INFO, WARNING, Messages, messages_of
from sambaflow._base.options import Option, by_dest
from sambaflow._runtime.compiler import check_options, compile_program
from sambaflow._trace.program import Program
from sambaflow.samba._narrow import keep_fp32

DEFAULT_OUTPUT_FOLDER = "./out"


def script_dir() -> str | None:
    """The folder of the program that was started."""
    path = getattr(sys.modules.get("__main__"), "__file__", None)
    return os.path.dirname(os.path.abspath(path)) if path else None


# Options that keep their meaning where a program defines them anew.
_PLACES = ("output_folder", "pef", "pef_name")
_KEPT = {"batch_size", "inference", *_PLACES}


def _taken_over(args: argparse.Namespace | None) -> set[str]:
    """Standard options that the program defined anew: what they hold means nothing here."""
    return set(getattr(args, "program_options", ())) - _KEPT


def configuration(args: argparse.Namespace | None, config: Mapping[str, Any] | None) -> dict[str, Any]:
    """Options of a compile: those given, else those of the command line, without those that are the program's.

    A place of the PEF that is given takes the place of the command line's, and --pef of other commands is what they
    load.
    """
    parsed, given = dict(vars(args)) if args is not None else {}, config or {}
    for one, others in ((("pef",), ("pef_name", "output_folder")), (("pef_name", "output_folder"), ("pef",))):
        if any(given.get(name) is not None for name in one):
            parsed = {name: value for name, value in parsed.items() if name not in others}
    merged = {**parsed, **given}
    if merged.get("command", "compile") != "compile":
        merged.pop("pef", None)
    own = _taken_over(args)
    return {name: value for name, value in merged.items() if name not in own}


def standard_value(args: argparse.Namespace | None, name: str) -> Any:
    """The value of a standard option: its default where the program took it over, or parsed nothing."""
    default = by_dest()[name].default
    return default if name in _taken_over(args) else getattr(args, name, default)


def given_options(args: argparse.Namespace | None, config: Mapping[str, Any]) -> dict[Option, Any]:
    """The options of a compile that differ from their defaults, checked one by one and together.

    Options that the program defined anew are the program's own. Raises InvalidArgumentError and UnsupportedError.
    """
    values = {name: value for name, value in config.items() if name != "inference"}
    given = options.given_options(values, "compile", getattr(args, "program_options", ()))
    options.check_together(given)
    check_options(given)
    return given


class Job:
    """A compile in its folder: its PEF, its messages, its reports."""

    def __init__(self, path: str, messages: Messages, given: Mapping[Option, Any]) -> None:
        self.path, self._messages, self.given = path, messages, given
        self._folder = os.path.dirname(path) or "."
        self._start = time.perf_counter()

    def narrow(self, program: Program) -> None:
        """Chooses, with --weight-dtype, what stays fp32."""
        self.given = keep_fp32(program, dict(self.given), self._messages, self._folder)

    def compile(self, program: Program, *, inference: bool, metadata: Mapping[str, Any]) -> None:
        """Makes the PEF; its line is the last one unless more was asked for."""
        verbose = any(o.dest in ("verbose", "debug") for o in self.given)
        compile_program(
            program, self.path, given=self.given, inference=inference, metadata=metadata,
            report_dir=self._folder, messages=self._messages,
        )  # fmt: skip
        self._write_statistics()
        if any(o.dest == "visualize" for o in self.given):
            picture = os.path.join(self._folder, "graph.svg")
            self._messages.say(INFO, "samba", f"picture of the graph: {picture}")
        self._messages.say(INFO, "samba", f"PEF file {self.path} created")
        if verbose:
            seconds = time.perf_counter() - self._start
            self._messages.say(INFO, "samba", f"{os.path.getsize(self.path)} bytes, compiled in {seconds:.2f} s")

    def _write_statistics(self) -> None:
        """--compiled-stats-json: sections and memory as JSON; --resource-report-path: the table of sections."""
        named = {option.dest: value for option, value in self.given.items()}
        folder = self._folder
        if "compiled_stats_json" in named:
            with open(os.path.join(folder, "sections.csv"), encoding="utf-8", newline="") as file:
                sections = list(csv.DictReader(file))
            with open(os.path.join(folder, "memory.json"), encoding="utf-8") as file:
                memory = json.load(file)
            with open(named["compiled_stats_json"], "w", encoding="utf-8") as file:
                json.dump({"pef_bytes": os.path.getsize(self.path), "sections": sections, "memory": memory}, file)
        if "resource_report_path" in named:
            shutil.copyfile(os.path.join(folder, "sections.csv"), named["resource_report_path"])


@contextlib.contextmanager
def compile_job(args: argparse.Namespace | None, config: Mapping[str, Any]) -> Iterator[Job]:
    """Checks options, makes the folder and opens the logs."""
    with from_command_line():
        config, idle = configs.merged(config)
        given = given_options(args, config)
        for option, value in given.items():
            if option.dest in ("compiled_stats_json", "resource_report_path"):
                make_parent(value)
    with output_path(config) as path, messages_of(path.removesuffix(".pef"), config) as messages:
        if idle:
            where = config["compiler_configs_file"]
            messages.say(WARNING, "samba", f"{where}: {', '.join(idle)} have no effect on native: {configs.IDLE}")
        yield Job(path, messages, given)


@contextlib.contextmanager
def output_path(config: Mapping[str, Any]) -> Iterator[str]:
    """The path of the PEF, in a folder that exists; a failed compile leaves no empty folder behind."""
    with from_command_line():
        path = _pef_path(config)
        made = make_parent(path)
    try:
        yield path
    except BaseException:
        with contextlib.suppress(OSError):
            for folder in made:
                os.rmdir(folder)
        raise


def _pef_path(config: Mapping[str, Any]) -> str:
    """Where the PEF goes: --pef, else <output-folder>/<pef-name>/<pef-name>.pef."""
    if config.get("pef"):
        path = os.fspath(config["pef"])
        if os.path.isdir(path) or not os.path.basename(path):
            raise InvalidArgumentError(f"-p/--pef {path} is a folder: name the file to write")
        return path
    name = str(config.get("pef_name") or f"{time.strftime('%Y%m%d_%H%M%S')}_{os.getpid()}").removesuffix(".pef")
    if not name or os.path.basename(name) != name or name in (".", ".."):
        raise InvalidArgumentError(f"--pef-name {name!r} is not a file name")
    root = str(config["output_folder"] or ".") if "output_folder" in config else DEFAULT_OUTPUT_FOLDER
    return os.path.join(root, name, f"{name}.pef")


# Options that do not change the program: equal programs give equal files.
_NOT_STORED = ("files", "messages and reports", "measuring")


def metadata(
    config: Mapping[str, Any],
    given: Mapping[Option, Any],
    pef_metadata: Mapping[str, Any] | None,
    inference: bool,
    optimizers: bool,
) -> dict[str, Any]:
    """What the PEF remembers: options that differ from their defaults, but nothing of names, folders or time."""
    arguments = {o.dest: plain(value) for o, value in given.items() if o.group not in _NOT_STORED}
    if os.path.isfile(str(arguments.get("arch", ""))):  # the PEF has the text of the record
        del arguments["arch"]
    facts = {**_agreed(config), "inference": inference, "optimizers": optimizers, "arguments": arguments}
    return {"app": plain(pef_metadata or {}), "leat": facts}


# Options that compile and run must agree on.
_AGREED = ("batch_size", "microbatch_size", "mapping")
_COUNTS = ("num_spatial_batches", "grad_accumulation_steps")


def _agreed(config: Mapping[str, Any]) -> dict[str, Any]:
    """Their values; a micro-batch that was not asked for is the batch, and a count of one is not worth a word."""
    agreed = {name: config[name] for name in _AGREED if config.get(name) is not None}
    agreed.update({name: config[name] for name in _COUNTS if config.get(name) not in (None, 1)})
    if "batch_size" in agreed:
        agreed.setdefault("microbatch_size", agreed["batch_size"])
    return agreed


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
    passed = {"mapping": mapping} if mapping and "mapping" not in _taken_over(args) else {}
    for name, value in _agreed({**configuration(args, None), **passed}).items():
        known = compiled.get(name, 1 if name in _COUNTS else value)
        if known != value:
            raise MismatchError(
                f"{'/'.join(by_dest()[name].names)} {value} differs from {pef}, which was compiled with {known}: use "
                "the same value, or compile again"
            )
