# SPDX-License-Identifier: Apache-2.0
"""Writes docs/options.md: every option of the table (src/driver/option.def) and the tests that show what it does.

usage: gen_options.py [--check]

A test says what it shows: `@pytest.mark.shows("--batch-size")`, or `shows("idle")`, `shows("later")` for all options
of that state. `--check` writes nothing and exits with 1 where the page is not current or a row has no test.
"""

import ast
import sys
from collections import defaultdict
from pathlib import Path

import made_page

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "options.md"
sys.path.insert(0, str(ROOT / "python"))

from sambaflow._base import options as table  # noqa: E402

HEAD = """# Options

Options of programs, `app.py COMMAND [options]`; those of `compile` that ask nothing of a program in Python are options
of `leat compile` too. This page is generated from `src/driver/option.def` by `tools/gen_options.py`; a test holds it
against the table and checks that every row has a test.

Options stand before or after the command, as `--name value`, `--name=value`, `-b 4`, `-b=4` or `-b4`. A program may
define an option anew; then it is the program's own. Every option is an attribute of what `parse_app_args` returns, for
every command. *c* compile, *r* run, *t* test, *p* measure-performance, *s* measure-sections. Options in *italics* are
in the help only with `--debug` or `dev_mode`.

An option that changes nothing on native is accepted with one `[warning samba]` line that gives the reason below. One
whose effect is not built yet stops the command with "not yet available" unless it has its default.
"""
COLUMNS = ["option", "value", "default", "commands", "meaning", "effect on native", "shown by"]
LETTERS = dict(zip(table.commands(), "crtps", strict=True))


def shown_by():
    """What each `shows` mark names -> tests as "file::function"."""
    found = defaultdict(list)
    for path in sorted((ROOT / "tests").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                for name in marks(node):
                    found[name].append(f"{path.relative_to(ROOT / 'tests')}::{node.name}")
    return found


def marks(function):
    for decorator in function.decorator_list:
        if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "pytest.mark.shows":
            yield from (ast.literal_eval(argument) for argument in decorator.args)


def tests_of(option, found):
    names = [test for name in option.names for test in found.get(name, [])]
    if option.state != "works":
        names += found.get(option.state, [])
    return list(dict.fromkeys(names))


def values(option):
    if option.type == "flag":
        return "flag"
    if option.choices:
        return ", ".join(option.choices)
    if option.low is not None:
        return f"{option.type}, {option.low:.15g} to {option.high:.15g}"
    return {"bool": "true, false", "text": "text", "arch": "a target"}.get(option.type, option.type)


def effect(option):
    if option.same_as:
        return f"that of `{option.same_as}`"
    lead = {"works": "", "idle": "none on native: ", "later": "refused until there are: "}[option.state]
    return lead + option.effect


def row(option, found):
    names = ", ".join(f"`{name}`" for name in option.names)
    if not option.common:
        names = f"*{names}*"
    default = "" if option.default in (None, False) else f"`{option.default}`"
    commands = "".join(LETTERS[command] for command in option.commands)
    tests = ", ".join(f"`{test}`" for test in tests_of(option, found))
    cells = [names, values(option).replace("|", "\\|"), default, commands, option.help, effect(option), tests]
    return "| " + " | ".join(cells) + " |"


def page():
    found, groups, lines = shown_by(), defaultdict(list), [HEAD]
    for option in table.options():
        groups[option.group].append(option)
    for group, rows in groups.items():
        lines += [f"## {group[0].upper()}{group[1:]}\n"]
        lines += ["| " + " | ".join(COLUMNS) + " |", "|---" * len(COLUMNS) + "|"]
        lines += [row(option, found) for option in rows] + [""]
    lines += ["## Together\n"]
    lines += [f"- `{pair['option']}` {pair['kind']} `{pair['other']}`: {pair['why']}." for pair in table.together()]
    return "\n".join(lines) + "\n"


def unshown():
    found = shown_by()
    return [option.name for option in table.options() if not option.same_as and not tests_of(option, found)]


def main(arguments):
    status = made_page.keep(PAGE, page(), "gen_options.py", arguments)
    missing = unshown() if "--check" in arguments else []
    for name in missing:
        print(f"{name}: no test is marked with pytest.mark.shows({name!r})")
    return 1 if missing else status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
