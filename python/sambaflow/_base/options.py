# SPDX-License-Identifier: Apache-2.0
"""The table of options (src/driver/option.def), as the library tells it, and the library's checks of values."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sambaflow._base.library import InvalidArgumentError, check, library


@dataclass(frozen=True, eq=False)
class Option:
    """One row. `state` is works, idle (no effect on native) or later (refused unless it is the default)."""

    names: tuple[str, ...]
    type: str
    default: Any
    choices: tuple[str, ...]
    low: float | None
    high: float | None
    commands: tuple[str, ...]
    group: str
    common: bool
    state: str
    compiles: bool  # sets a field of the compiler
    help: str
    effect: str
    same_as: str | None

    @property
    def name(self) -> str:
        """Its first long name."""
        return next((name for name in self.names if name.startswith("--")), self.names[0])

    @property
    def dest(self) -> str:
        """The attribute that holds its value."""
        return (self.same_as or self.name).lstrip("-").replace("-", "_")

    def value(self, text: str) -> Any:
        """The value that a legal `text` means."""
        match self.type:
            case "int":
                return int(text)
            case "float":
                return float(text)
            case "bool":
                return text == "true"
            case "numbers":
                return [float(part) for part in text.split()]
        return text


@functools.cache
def _read() -> Mapping[str, Any]:
    ffi, lib = library().ffi, library().lib
    out = ffi.new("char **")
    check(lib.leat_option_table(out))
    try:
        return json.loads(ffi.string(out[0]))
    finally:
        lib.leat_string_free(out[0])


def _option(row: Mapping[str, Any]) -> Option:
    default: Any = row["default"] or None
    if row["type"] == "flag":
        default = False
    option = Option(
        names=tuple(row["names"]), type=row["type"], default=default, choices=tuple(row["choices"]),
        low=row.get("low"), high=row.get("high"), commands=tuple(row["commands"]), group=row["group"],
        common=row["common"], state=row["state"], compiles=row["compiles"], help=row["help"], effect=row["effect"],
        same_as=row.get("same_as"),
    )  # fmt: skip
    if isinstance(default, str):
        object.__setattr__(option, "default", option.value(default))
    return option


@functools.cache
def options() -> tuple[Option, ...]:
    """All rows, in the order of the help."""
    return tuple(_option(row) for row in _read()["options"])


def commands() -> tuple[str, ...]:
    """The commands of programs."""
    return tuple(_read()["commands"])


def together() -> list[Mapping[str, str]]:
    """Which options need or exclude each other: `kind`, `option`, `other`, `why`."""
    return _read()["together"]


@functools.cache
def by_dest() -> Mapping[str, Option]:
    """Rows by attribute, other long names included: `num_chips` is `n_chips`."""
    rows = [option for option in options() if option.same_as is None]
    aliases = {n.lstrip("-").replace("-", "_"): option for option in rows for n in option.names if n.startswith("--")}
    return {**aliases, **{option.dest: option for option in rows}}


def defaults() -> dict[str, Any]:
    """The attributes of all options."""
    return {option.dest: option.default for option in options() if option.same_as is None}


def check_value(option: Option, text: str | None) -> None:
    """Raises InvalidArgumentError, which says what is legal."""
    ffi = library().ffi
    value = ffi.NULL if text is None else ffi.new("char[]", text.encode())
    check(library().lib.leat_option_check(option.name.encode(), value))


def check_together(given: Iterable[Option]) -> None:
    """Raises InvalidArgumentError where options were given that need or exclude each other."""
    ffi = library().ffi
    names = [ffi.new("char[]", option.name.encode()) for option in given]
    check(library().lib.leat_option_check_together(ffi.new("char *[]", names), len(names)))


def text_of(option: Option, value: Any) -> str | None:
    """`value` as the table's checks read it; None for a flag that is on."""
    if option.type == "flag":
        if value is not True:
            raise InvalidArgumentError(f"{option.name} is on or off (True or False), not {value!r}")
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return (" " if option.type == "numbers" else ",").join(str(item) for item in value)
    return str(value)


def was_given(option: Option, value: Any) -> bool:
    """Whether `value` asks for something else than the default."""
    return value is not None and value != option.default and not (option.type == "flag" and not value)


def given_options(values: Mapping[str, Any], command: str, without: Iterable[str] = ()) -> dict[Option, Any]:
    """The standard options of `command` that ask for something else than their default, with their values."""
    left_out = set(without)
    rows = by_dest()
    found = {rows[name]: value for name, value in values.items() if name in rows and name not in left_out}
    return {o: v for o, v in found.items() if command in o.commands and was_given(o, v)}
