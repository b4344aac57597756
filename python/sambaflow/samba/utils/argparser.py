# SPDX-License-Identifier: Apache-2.0
"""The command line of SambaFlow programs: `app.py COMMAND [options]`.

Standard options are a table. Programs add their own through hooks and may define a standard one anew: the later
definition wins. Every attribute of the table exists for every command, with its default.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

COMMANDS = ("compile", "run", "test", "measure-performance", "measure-sections")
_RUNNING = COMMANDS[1:]
_MEASURING = COMMANDS[3:]
_COMPILE = ("compile",)

ParserHook = Callable[[argparse.ArgumentParser], Any]


def _flag(*names: str, commands: Sequence[str] = COMMANDS, help: str) -> tuple[Any, ...]:
    return names, commands, {"action": "store_true", "help": help}


def _option(
    *names: str, commands: Sequence[str] = COMMANDS, type: Any = str, default: Any = None, help: str, **more: Any
) -> tuple[Any, ...]:
    return names, commands, {"type": type, "default": default, "help": help, **more}


OPTIONS: tuple[tuple[Any, ...], ...] = (
    # what the program is
    _option("-b", "--batch-size", type=int, default=1, help="samples a step"),
    _option("-mb", "--microbatch-size", type=int, help="samples a micro-batch"),
    _flag("--inference", help="forward pass only"),
    _option("--mapping", default="section", choices=("section", "spatial"), help="how sections are scheduled"),
    _option("--num-spatial-batches", type=int, default=1, help="batches in flight in spatial mapping"),
    _option("--grad-accumulation-steps", type=int, default=1, help="steps that accumulate one gradient"),
    # files
    _option("-p", "--pef", commands=_RUNNING, help="the PEF to load"),
    _option(
        "--pef-name", commands=_COMPILE, help="name of the PEF and its folder (default: time stamp and process id)"
    ),
    _option(
        "--output-folder", commands=_COMPILE, default="./out", help="folder of results; a folder of your own must exist"
    ),
    _option("--log-dir", help="folder of logs"),
    # the compiler
    _option("--arch", commands=_COMPILE, default="native", help="native, or native:L1,L2,L3 (cache sizes in bytes)"),
    _flag("-o0", commands=_COMPILE, help="each op a section of its own"),
    _flag("-o1", commands=_COMPILE, help="sections by fusion rules"),
    _flag("-o3", commands=_COMPILE, help="sections by cost over the whole graph (the default)"),
    _option("--optim-level", commands=_COMPILE, choices=("o0", "o1", "o3"), help="the same as -o0, -o1, -o3"),
    _option("--n-chips", commands=("compile", *_MEASURING), type=int, default=1, help="chips to compile for"),
    _option("--num-tiles", commands=_COMPILE, type=int, default=4, help="tiles of a chip"),
    _option("--tensor-parallel", commands=_COMPILE, choices=("batch", "weight"), help="shard over chips"),
    _flag("--model-parallel", commands=_COMPILE, help="split the model over chips"),
    _option("--graphamp-preset", commands=_COMPILE, help="precision preset of a chip"),
    _option("--compiler-configs-file", commands=_COMPILE, help="compiler settings of a chip"),
    _option("--compiler-mode", commands=_COMPILE, help="optimisation preset of a chip"),
    _option("--mac-human-decision", commands=_COMPILE, help="mapping decisions of a chip"),
    _flag("--mac-v1", commands=_COMPILE, help="older chip compiler"),
    _flag("--mac-v2", commands=_COMPILE, help="older chip compiler"),
    _option("--o1-rule-list", commands=_COMPILE, help="fusion rules of -o1"),
    _flag("--o1-experimental-opts", commands=_COMPILE, help="more fusion in -o1"),
    _option("--optimization-rules", commands=_COMPILE, help="file of fusion rules"),
    _flag("--enable-hypersection", commands=_COMPILE, help="compile equal subgraphs once"),
    _flag("--hypersection-arc", commands=_COMPILE, help="annotated subgraphs"),
    _flag("--enable-conv-tiling", commands=_COMPILE, help="tiled convolution on a chip"),
    _flag("--enable-stoc-rounding", "--enable-stochastic-rounding", commands=_COMPILE, help="rounding mode of a chip"),
    _flag("--disable-strict-conversion", commands=_COMPILE, help="conversion checks of a chip"),
    _option(
        "--resources-scaling-factors", commands=_COMPILE, type=float, nargs="+", help="resources a section may use"
    ),
    _flag("--metapipe-disable", commands=_COMPILE, help="pipelining of a chip"),
    _option("--prism-jobs", commands=_COMPILE, type=int, help="parallel placement jobs"),
    _flag("--ndtest", commands=_COMPILE, help="compiler self test"),
    # several processes
    _flag("--data-parallel", help="one replica a process, gradients reduced"),
    _option("-ws", "--world-size", commands=_COMPILE, type=int, default=1, help="replicas to compile for"),
    _flag("--reduce-on-rdu", commands=_RUNNING, help="reduce gradients on the device"),
    _option("--data-parallel-mode", commands=_RUNNING, default="normal", help="how replicas are scheduled"),
    _flag("--distributed-run", help="several processes"),
    _flag("--host-fifo", help="transport of a chip"),
    _option("--distlearn-config", help="settings of distributed training"),
    # reports
    _flag("--debug", help="messages for debugging"),
    _flag("-v", "--verbose", help="more messages"),
    _flag("--verbose-report", help="longer reports"),
    _option("--log-level", help="least severe message to show"),
    _option("--compiled-stats-json", help="file of compile statistics"),
    _option("--resource-report-path", help="file of the resource report"),
    _option("--acc-report-json", commands=_RUNNING, help="file of the accuracy report"),
    _option("--bench-report-json", commands=_RUNNING, help="file of the benchmark report"),
    _flag("--visualize", commands=_RUNNING, help="show comparisons"),
    _flag("--mock-inference", commands=_RUNNING, help="inference without device"),
    # measuring
    _option("--num-iterations", commands=_MEASURING, type=int, default=100, help="steps to measure"),
    _option("--num-sections", commands=_MEASURING, type=int, default=1, help="sections to measure"),
    _option("--min-duration", commands=_MEASURING, type=float, default=0.0, help="seconds to measure at least"),
    _flag("--run-graph-only", commands=_MEASURING, help="without moving inputs and outputs"),
    _option("--json", commands=_MEASURING, help="file of the measured numbers"),
)


def parse_app_args(
    argv: Sequence[str] | None = None,
    common_parser_fn: ParserHook | None = None,
    compile_parser_fn: ParserHook | None = None,
    run_parser_fn: ParserHook | None = None,
    test_parser_fn: ParserHook | None = None,
    dev_mode: bool = False,
    measure_performance_parser_fn: ParserHook | None = None,
    **_: Any,
) -> argparse.Namespace:
    """Parses `argv` (sys.argv unless given). The session remembers the result."""
    hooks = {
        "compile": compile_parser_fn,
        "run": run_parser_fn,
        "test": test_parser_fn,
        "measure-performance": measure_performance_parser_fn,
    }
    given = list(sys.argv[1:] if argv is None else argv)
    parsers = {command: _parser(command, [common_parser_fn, hooks.get(command)]) for command in COMMANDS}
    command, rest = _split_command(given, parsers)
    args = parsers[command].parse_args(rest)
    args.command = command
    for name, value in _defaults().items():
        if not hasattr(args, name):
            setattr(args, name, value)
    _remember(args)
    return args


def _parser(command: str, hooks: Sequence[ParserHook | None]) -> argparse.ArgumentParser:
    """The parser of one command: standard options, then those of the program."""
    prog = f"{sys.argv[0].rsplit('/', 1)[-1]} {command}"
    parser = argparse.ArgumentParser(prog=prog, allow_abbrev=False, conflict_handler="resolve")
    for names, commands, settings in OPTIONS:
        if command in commands:
            required = {"required": True} if "--pef" in names and command == "run" else {}
            parser.add_argument(*names, **settings, **required)
    for hook in hooks:
        if hook is not None:
            hook(parser)
    _let_last_default_win(parser)
    return parser


def _let_last_default_win(parser: argparse.ArgumentParser) -> None:
    """A program that redefines an option sets its default, although a short form of ours is left over."""
    last = {action.dest: action for action in parser._actions}
    for action in parser._actions:
        if last[action.dest] is not action:
            action.default = argparse.SUPPRESS


def _split_command(given: list[str], parsers: Mapping[str, argparse.ArgumentParser]) -> tuple[str, list[str]]:
    """The command, wherever it stands among the options, and the rest."""
    for index, word in enumerate(given):
        if word in parsers and not (index and any(_takes_value(p, given[index - 1]) for p in parsers.values())):
            return word, given[:index] + given[index + 1 :]
    usage = argparse.ArgumentParser(usage=f"%(prog)s {{{','.join(COMMANDS)}}} [options]", allow_abbrev=False)
    usage.add_argument("command", choices=COMMANDS, help="what to do; `COMMAND --help` lists its options")
    usage.parse_known_args(given)
    usage.error(f"which command? one of {', '.join(COMMANDS)}")


def _takes_value(parser: argparse.ArgumentParser, word: str) -> bool:
    action = parser._option_string_actions.get(word)
    return action is not None and action.nargs != 0


def _defaults() -> dict[str, Any]:
    """The attributes of all standard options."""
    result: dict[str, Any] = {}
    for names, _, settings in OPTIONS:
        name = next((n for n in names if n.startswith("--")), names[0]).lstrip("-").replace("-", "_")
        result[name] = settings.get("default", False)
    return result


def _remember(args: argparse.Namespace) -> None:
    from sambaflow import samba

    samba.session.args = args


def parse_yaml_to_args(yaml_path: str, args: argparse.Namespace) -> argparse.Namespace:
    """`args` with the values of a YAML mapping added; the file wins."""
    import yaml

    with open(yaml_path, encoding="utf-8") as file:
        values = yaml.safe_load(file) or {}
    if not isinstance(values, Mapping):
        raise ValueError(f"{yaml_path}: expected a mapping of option names to values")
    for name, value in values.items():
        setattr(args, str(name).replace("-", "_"), value)
    _remember(args)
    return args
