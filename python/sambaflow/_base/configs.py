# SPDX-License-Identifier: Apache-2.0
"""The file of --compiler-configs-file: a JSON object whose members are options of the compiler, by name.

Members that are settings of a chip's lower layers change nothing on native and are named in one warning; others are
mistakes. What the command line says wins over the file.
"""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Mapping
from typing import Any

from sambaflow._base import options as table
from sambaflow._base.library import InvalidArgumentError

_OPTION = "compiler_configs_file"
# Settings of layers that chips have: place and route, units, buffers.
_OF_CHIPS = ("arc_flags", "enable_wbuf_nbuf_for_biggemm", "mac_flags", "prism_flags")
IDLE = "they steer layers that only chips have"


def merged(config: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """`config` with the options of its file where it has their defaults, and the members without effect.

    Raises InvalidArgumentError with the file and the member that is wrong, OSError where it cannot be read.
    """
    path = config.get(_OPTION)
    if not path:
        return dict(config), []
    result, idle = dict(config), []
    for name, value in _members(os.fspath(path)).items():
        if name in _OF_CHIPS:
            idle.append(name)
            continue
        option, checked = _option(path, name, value)
        if not table.was_given(option, result.get(option.dest)):
            result[option.dest] = checked
    return result, idle


def _members(path: str) -> dict[str, Any]:
    with open(path, encoding="utf-8") as file:
        try:
            content = json.load(file)
        except (ValueError, RecursionError) as error:
            raise InvalidArgumentError(f"{path}: this is not JSON ({error})") from None
    if not isinstance(content, dict):
        raise InvalidArgumentError(f"{path}: expected an object of option names and values")
    return content


def _option(path: str, name: str, value: Any) -> tuple[table.Option, Any]:
    """The option that a member is, and its value as the command line would give it."""
    known = {dest: option for dest, option in table.by_dest().items() if "compile" in option.commands}
    option = known.get(name.lstrip("-").replace("-", "_"))
    if option is None or option.dest == _OPTION:
        near = difflib.get_close_matches(name, [*known, *_OF_CHIPS], 1, 0.6)
        raise InvalidArgumentError(
            f"{path}: there is no setting {name!r}" + (f"; did you mean {near[0]!r}?" if near else "")
        )
    if not option.compiles and option.state == "works":
        raise InvalidArgumentError(f"{path}: {name!r} is no setting of the compiler: give {option.name} to the program")
    if value is None or (option.type == "flag" and value is False):
        return option, option.default
    try:
        text = table.text_of(option, value)
        table.check_value(option, text)
    except InvalidArgumentError as error:
        raise InvalidArgumentError(f"{path}: {error}") from None
    return option, True if text is None else option.value(text)
