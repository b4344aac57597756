# SPDX-License-Identifier: Apache-2.0
"""How the command line of a program explains itself."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from typing import Any

from sambaflow._base.options import Option

_DOES = {
    "compile": "trace the program, compile it, and write the PEF",
    "run": "load a PEF and do with it what the program does: train, evaluate, predict",
    "test": "compare outputs and gradients of a PEF with PyTorch",
    "measure-performance": "time whole steps of a PEF",
    "measure-sections": "time every section of a PEF",
}
_EXAMPLES = {
    "compile": "example:\n  %(prog)s -b 32 --pef-name small    makes ./out/small/small.pef",
    "run": "example:\n  %(prog)s --pef ./out/small/small.pef",
}
_EXPERTS = "--debug --help shows the options for experts, too."
_STATES = {"idle": " [no effect on native]", "later": " [not yet available]"}
_LETTERS = {"int": "N", "float": "X", "numbers": "X", "arch": "ARCH"}


class Formatter(argparse.RawDescriptionHelpFormatter):
    """One value after all names of an option, and lines that use the width of the terminal."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=34)

    def _format_action_invocation(self, action: argparse.Action) -> str:
        if not action.option_strings or action.nargs == 0:
            return super()._format_action_invocation(action)
        value = self._format_args(action, self._get_default_metavar_for_optional(action))
        return f"{', '.join(action.option_strings)} {value}"


class Parser(argparse.ArgumentParser):
    """A parser whose mistakes cost one line of usage, as little as its help needs."""

    def __init__(self, prog: str, command: str, *, experts: bool) -> None:
        notes = [_EXAMPLES.get(command, ""), "" if experts else _EXPERTS]
        super().__init__(
            prog=f"{prog} {command}", usage="%(prog)s [options]; --help lists them", allow_abbrev=False,
            conflict_handler="resolve", formatter_class=Formatter, description=_sentence(_DOES[command]),
            epilog="\n\n".join(note for note in notes if note),
        )  # fmt: skip
        self._optionals.title = "options of this program"

    def format_help(self) -> str:
        """The whole help; who reads it need not be told how to get it."""
        usage, self.usage = self.usage, "%(prog)s [options]"
        try:
            return super().format_help()
        finally:
            self.usage = usage


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def commands_parser(prog: str, commands: tuple[str, ...]) -> argparse.ArgumentParser:
    """What answers where no command is given."""
    width = max(map(len, commands))
    listed = "\n".join(f"  {name:{width}}  {_DOES[name]}" for name in commands)
    parser = argparse.ArgumentParser(
        prog=prog, usage=f"%(prog)s [-h] {{{','.join(commands)}}} ...", allow_abbrev=False,
        formatter_class=Formatter, epilog=f"commands:\n{listed}\n\n%(prog)s COMMAND --help lists the options of one.",
    )  # fmt: skip
    parser.add_argument("command", choices=commands, help=argparse.SUPPRESS)
    return parser


def texts(option: Option, *, shown: bool) -> Mapping[str, Any]:
    """`help` and `metavar` of a standard option."""
    if not shown:
        return {"help": argparse.SUPPRESS}
    default = str(option.default).lower() if option.type == "bool" else option.default
    stated = f" (default: {default})" if default else ""
    text = option.help.replace("%", "%%") + stated + _STATES.get(option.state, "")
    return {"help": text} if option.type == "flag" else {"help": text, "metavar": _value(option)}


def _value(option: Option) -> str:
    if option.choices:
        return "{" + ",".join(option.choices) + "}"
    if option.type == "bool":
        return "true|false"
    if option.type in _LETTERS:
        return _LETTERS[option.type]
    words = set(option.help.replace(";", " ").split()[:2])
    return "FOLDER" if "folder" in words else "FILE" if words & {"file", "PEF"} or option.dest == "pef" else "TEXT"


def program_name(path: str) -> str:
    """How messages call the program that was started as `path`."""
    return os.path.basename(path) or "program"
