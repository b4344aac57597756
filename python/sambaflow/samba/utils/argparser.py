# SPDX-License-Identifier: Apache-2.0
"""The command line of SambaFlow programs: `app.py COMMAND [options]`.

Standard options are the table of the library (`sambaflow._base.options`, docs/options.md). Programs add their own
through hooks and may define a standard one anew: the later definition wins, and what it means is then the program's.
Every attribute of the table exists for every command, with its default.
"""

from __future__ import annotations

import argparse
import difflib
import os
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NoReturn

from sambaflow._base import options as table
from sambaflow._base.library import InvalidArgumentError, from_command_line
from sambaflow._base.options import Option, commands
from sambaflow._base.reading import reading
from sambaflow.logging import samba_logger
from sambaflow.samba.utils._help import Parser, commands_parser, program_name, texts
from sambaflow.samba.utils._mistakes import show_mistakes_plainly

ParserHook = Callable[[argparse.ArgumentParser], Any]

_NUMBER = re.compile(r"-\d+$|-\d*\.\d+([eE][-+]?\d+)?$|-\d+(\.\d*)?[eE][-+]?\d+$")
_ATTACHED = re.compile(r"(-[A-Za-z]+)(\d+)$")


class Arguments(argparse.Namespace):
    """What was parsed. `program_options` are the standard options that the program defined anew."""

    __slots__ = ("program_options",)

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        self.program_options: frozenset[str] = frozenset()


def parse_app_args(
    argv: Sequence[str] | None = None,
    common_parser_fn: ParserHook | None = None,
    compile_parser_fn: ParserHook | None = None,
    run_parser_fn: ParserHook | None = None,
    test_parser_fn: ParserHook | None = None,
    dev_mode: bool = False,
    measure_performance_parser_fn: ParserHook | None = None,
    measure_sections_parser_fn: ParserHook | None = None,
    **_: Any,
) -> argparse.Namespace:
    """Parses `argv` (sys.argv[1:] unless given). The session remembers the result.

    Each `..._parser_fn(parser)` adds options of the program: `common_parser_fn` to every command, the others to their
    own. `dev_mode`, like `--debug`, shows all options in the help. A mistake ends the program with one message.
    """
    hooks = {
        "compile": compile_parser_fn,
        "run": run_parser_fn,
        "test": test_parser_fn,
        "measure-performance": measure_performance_parser_fn,
        "measure-sections": measure_sections_parser_fn,
    }
    show_mistakes_plainly()
    given = list(sys.argv[1:] if argv is None else argv)
    experts = dev_mode or "--debug" in given
    command, rest, parser = _choose(given, lambda name: _parser(name, [common_parser_fn, hooks[name]], experts))
    args = parser.parse_args(_checked_words(parser, rest), Arguments())
    args.command = command
    args.program_options = frozenset(_redefined(parser, command))
    _complete(args)
    if args.yaml_config and "yaml_config" not in args.program_options:
        parse_yaml_to_args(args.yaml_config, args)
    _check(parser, args)
    _remember(args)
    _say_idle(args)
    return args


# ---- the parser of one command


def _parser(command: str, hooks: Iterable[ParserHook | None], experts: bool) -> argparse.ArgumentParser:
    """Standard options in their groups, then those of the program."""
    parser = Parser(program_name(sys.argv[0]), command, experts=experts)
    groups: dict[str, Any] = {}
    for option in table.options():
        if command in option.commands:
            group = groups.get(option.group) or groups.setdefault(option.group, parser.add_argument_group(option.group))
            group.add_argument(*option.names, **_settings(option, command, experts))
    parser._standard = {name: a for name, a in parser._option_string_actions.items()}  # type: ignore[attr-defined]
    for hook in hooks:
        if hook is not None:
            hook(parser)
    _let_last_default_win(parser)
    return parser


def _settings(option: Option, command: str, experts: bool) -> dict[str, Any]:
    """How argparse takes one standard option."""
    shared: dict[str, Any] = {"dest": option.dest, **texts(option, shown=option.common or experts)}
    if option.type == "flag":
        return {**shared, "action": "store_true"}
    shared["default"] = option.default
    match option.type:
        case "numbers":
            return {**shared, "action": _Numbers, "nargs": "+"}
        case "bool":
            return {**shared, "type": _converter(option), "nargs": "?", "const": True}
    required = {"required": True} if option.dest == "pef" and command == "run" else {}
    return {**shared, "type": _converter(option), **required}


def _converter(option: Option) -> Callable[[str], Any]:
    def convert(text: str) -> Any:
        try:
            table.check_value(option, text)
        except InvalidArgumentError as error:
            raise argparse.ArgumentTypeError(_without_name(option, str(error))) from None
        return option.value(text)

    return convert


def _without_name(option: Option, message: str) -> str:
    """argparse writes the option before the message, so the message need not."""
    return message.removeprefix("/".join(option.names)).lstrip(": ")


class _Numbers(argparse.Action):
    """Several numbers, written apart or as one word."""

    def __call__(self, parser: argparse.ArgumentParser, namespace: Any, values: Any, name: str | None = None) -> None:
        option, text = table.by_dest()[self.dest], " ".join(values)
        try:
            table.check_value(option, text)
        except InvalidArgumentError as error:
            raise argparse.ArgumentError(self, _without_name(option, str(error))) from None
        setattr(namespace, self.dest, option.value(text))


def _let_last_default_win(parser: argparse.ArgumentParser) -> None:
    """A program that redefines an option sets its default, although a short form of ours is left over."""
    last = {action.dest: action for action in parser._actions}
    for action in parser._actions:
        if last[action.dest] is not action:
            action.default = argparse.SUPPRESS


def _redefined(parser: argparse.ArgumentParser, command: str) -> Iterable[str]:
    """Attributes of standard options that the program took over."""
    ours = set(map(id, parser._standard.values()))  # type: ignore[attr-defined]
    return {action.dest for action in parser._actions if id(action) not in ours}


# ---- words


def _choose(
    given: list[str], parser_of: Callable[[str], argparse.ArgumentParser]
) -> tuple[str, list[str], argparse.ArgumentParser]:
    """The command, wherever it stands among the options, the rest, and the parser of the command."""
    if given and given[0] in commands():
        return given[0], given[1:], parser_of(given[0])
    parsers = {command: parser_of(command) for command in commands()}
    for index, word in enumerate(given):
        if word in parsers and not (index and any(_takes_value(p, given[index - 1]) for p in parsers.values())):
            return word, given[:index] + given[index + 1 :], parsers[word]
    _refuse_without_command(given)


def _refuse_without_command(given: list[str]) -> NoReturn:
    usage = commands_parser(program_name(sys.argv[0]), commands())
    usage.parse_known_args(given)
    usage.error(f"which command? one of {', '.join(commands())}")


def _takes_value(parser: argparse.ArgumentParser, word: str) -> bool:
    action = parser._option_string_actions.get(word)
    return action is not None and action.nargs != 0


def _checked_words(parser: argparse.ArgumentParser, words: list[str]) -> list[str]:
    """`words`, with `-b4` written as `-b=4`; an option that nobody defined ends the program.

    argparse itself would take `-psz` for `-p` with the value `sz`.
    """
    known = parser._option_string_actions
    result: list[str] = []
    for index, word in enumerate(words):
        if word == "--":
            return [*result, *words[index:]]
        name = word.split("=", 1)[0]
        if not word.startswith("-") or word == "-" or name in known or " " in name or _NUMBER.match(word):
            result.append(word)
            continue
        attached = _ATTACHED.match(word)
        if not attached or attached[1] not in known:
            parser.error(f"unrecognized arguments: {word}{_suggestion(name, known)}")
        result.append(f"{attached[1]}={attached[2]}")
    return result


def _suggestion(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), 1, 0.6)
    return f" (did you mean {near[0]}?)" if near else ""


# ---- after parsing


def _complete(args: Arguments) -> None:
    for name, value in table.defaults().items():
        if not hasattr(args, name):
            setattr(args, name, value)


def _check(parser: argparse.ArgumentParser, args: Arguments) -> None:
    """Combinations, and what is not available yet."""
    given = table.given_options(vars(args), args.command, args.program_options)
    try:
        if args.command == "compile":
            table.check_together(given)
        check_microbatch(args)
    except InvalidArgumentError as error:
        parser.error(str(error))
    for option, value in given.items():
        if option.state == "later" and (args.command == "compile" or not option.compiles):
            parser.error(f"not yet available: {_shown(option, value)} (it waits for {option.effect})")


def _say_idle(args: Arguments) -> None:
    """A line for each option that changes nothing; those of compile are the compiler's to say."""
    if args.command == "compile":
        return
    for option, value in table.given_options(vars(args), args.command, args.program_options).items():
        if option.state == "idle":
            samba_logger.warning(f"{_shown(option, value)} has no effect on native: {option.effect}")


def _shown(option: Option, value: Any) -> str:
    return "/".join(option.names) + ("" if option.type == "flag" else f" {table.text_of(option, value)}")


def check_microbatch(args: argparse.Namespace) -> None:
    """A micro-batch divides the batch."""
    own = getattr(args, "program_options", ())
    batch, piece = args.batch_size, args.microbatch_size
    if (
        "microbatch_size" not in own
        and isinstance(batch, int)
        and isinstance(piece, int)
        and (piece < 1 or batch % piece)
    ):
        raise InvalidArgumentError(f"-mb/--microbatch-size {piece} does not divide -b/--batch-size {batch}")


def _remember(args: argparse.Namespace) -> None:
    from sambaflow import samba

    samba.session.args = args


# ---- YAML


def parse_yaml_to_args(yaml_path: str, args: argparse.Namespace) -> argparse.Namespace:
    """`args` with the values of a YAML mapping (option name to value) added; the file wins.

    Values of standard options are checked as on the command line. Raises ValueError with file, line and column,
    FileNotFoundError if there is no such file.
    """
    own = getattr(args, "program_options", frozenset())
    for name, value, place in _yaml_entries(os.fspath(yaml_path)):
        option = table.by_dest().get(name)
        if option is not None and option.dest not in own:
            value = _checked_yaml(option, value, place)
            name = option.dest
        setattr(args, name, value)
    _remember(args)
    return args


def _yaml_entries(path: str) -> Iterable[tuple[str, Any, str]]:
    """Attribute, value, and "file:line:column" of the value of each entry."""
    with from_command_line(), reading(path, "a YAML file"):
        yield from _parse_yaml(path)


def _parse_yaml(path: str) -> Iterable[tuple[str, Any, str]]:
    import yaml

    try:
        with open(path, encoding="utf-8") as file:
            text = file.read(_YAML_CHARACTERS_MAX + 1)
        if len(text) > _YAML_CHARACTERS_MAX:
            raise ValueError(f"{path}: longer than {_YAML_CHARACTERS_MAX} characters, which no list of options is")
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if node is None:
            return
        if not isinstance(node, yaml.MappingNode):
            raise ValueError(f"{_place(path, node)}: expected a mapping of option names to values")
        _check_unfolded(path, node, _YAML_VALUES_FREE + len(text))
        for key, item in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise ValueError(f"{_place(path, key)}: expected the name of an option")
            name = key.value.lstrip("-").replace("-", "_")
            yield name, _constructed(loader, path, item), _place(path, item)
    except RecursionError:
        raise ValueError(f"{path}: its values are nested too deeply") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else path
        raise ValueError(f"{where}: {error.problem or error.context}") from None


_YAML_CHARACTERS_MAX = 1 << 18
_YAML_VALUES_FREE = 1000  # that aliases may repeat besides one for every character
_YAML_NUMBER_CHARACTERS_MAX = 64


def _constructed(loader: Any, path: str, node: Any) -> Any:
    try:
        return loader.construct_object(node, deep=True)
    except (ValueError, OverflowError) as error:  # numbers and dates that Python does not take
        raise ValueError(f"{_place(path, node)}: {error}") from None


def _check_unfolded(path: str, root: Any, limit: int) -> None:
    """Aliases share values, but what reads the values goes through every repetition: their number is bounded."""
    counts: dict[int, int] = {}  # by node; 0: being counted
    stack = [root]
    while stack:
        node = stack[-1]
        children = _children(node)
        if id(node) not in counts:
            counts[id(node)] = 0
            if node.tag.endswith((":int", ":float")) and len(node.value) > _YAML_NUMBER_CHARACTERS_MAX:
                raise ValueError(f"{_place(path, node)}: a number of {len(node.value)} characters")
            for child in children:
                if counts.get(id(child)) == 0:
                    raise ValueError(f"{_place(path, child)}: a value that holds itself")
            stack.extend(child for child in children if id(child) not in counts)
            continue
        stack.pop()
        if counts[id(node)] == 0:
            counts[id(node)] = 1 + sum(counts[id(child)] for child in children)
        if counts[id(node)] > limit:
            raise ValueError(f"{_place(path, node)}: its aliases unfold to more than {limit} values")


def _children(node: Any) -> list[Any]:
    if isinstance(node.value, str):
        return []
    return [child for item in node.value for child in (item if isinstance(item, tuple) else (item,))]


def _place(path: str, node: Any) -> str:
    return f"{path}:{node.start_mark.line + 1}:{node.start_mark.column + 1}"


def _checked_yaml(option: Option, value: Any, place: str) -> Any:
    if value is None or (option.type == "flag" and value is False):
        return option.default
    try:
        text = table.text_of(option, value)
        table.check_value(option, text)
    except InvalidArgumentError as error:
        raise ValueError(f"{place}: {error}") from None
    return True if text is None else option.value(text)


def __getattr__(name: str) -> Any:
    """`SambaConfig` is imported when a program asks for it: its schema needs pydantic."""
    if name == "SambaConfig":
        from sambaflow.samba.schema.snconfig import SambaConfig

        return SambaConfig
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
