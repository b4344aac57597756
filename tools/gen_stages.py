# SPDX-License-Identifier: Apache-2.0
"""Writes docs/pef-stages.md, the chapter of the format's documentation on stages, from src/pef/stage.def.

usage: gen_stages.py [--check]

`--check` writes nothing and exits with 1 where the page is not current.
"""

import re
import sys
from pathlib import Path

import made_page

ROOT = Path(__file__).resolve().parent.parent
SCHEMA = ROOT / "src" / "pef" / "stage.def"
PAGE = ROOT / "docs" / "pef-stages.md"

HEAD = """# Stages of a PEF

What a body is made of: each stage computes one thing on strided operands. This page is generated from
`src/pef/stage.def` by `tools/gen_stages.py`; `src/pef/pef_format.h` says the rest of the format: rows and tiles, the
order of summation, long sums (L), instructions.

A dim is a letter, `*letter` stands for any number of dims, a digit for the extent itself; dims of one letter have
equal extents and rows in all operands of a stage. In *rows* are the dims along which rows may run where a body has
more than one, in *axes* those that a second or third dim of its space may run along; they never do along a dim that is
summed. What is written shares no memory with another operand of the
stage, but where it says *in place*. A parameter has one word (8 bytes, an integer), or as many as it says, of the 24
words of a stage, in this order; words that no parameter has are 0.
"""
SETS = {
    "ANY": "any",
    "FLOATS": "f32, f64, bf16 or f16",
    "INTEGERS": "i8, u8, i16, i32 or i64",
}
DIRECTIONS = {"IN": "read", "OUT": "written", "UPDATE": "read and written", "SUM": "written; read, too, with `add`"}
TRAITS = {
    "OPTIONAL": "may be absent",
    "MANY": "any number, read or written as the instructions say",
    "IN_PLACE": "in place of an operand of equal dtype, dims and strides",
    "PACKED": "may be packed (`n_block`)",
    "WORK": "without elements the stage does nothing",
}
NUMBERS = {
    "-INT32_MAX": "-(2^31 - 1)",
    "INT32_MAX": "2^31 - 1",
    "UINT32_MAX": "2^32 - 1",
    "INT64_MAX / 8": "2^60 - 1",
    "PEF_CHAIN_MAX": "65536",
    "PEF_ATTENTION_BLOCK_MAX": "512",
    "PEF_MAX_RANK": "8",
}
WINDOWS = """dims of `*s` are windowed: `*k` are the window's, and those of `*t` are
(base + low + high - reach) / stride + 1, rounded down, base being (s - 1) base_dilation + 1 and
reach (window - 1) dilation + 1"""
WORDS = {"ONE": 1, "SPATIAL": 3, "DIMS": 8}
ROWS = ("STAGE", "FACTS", "OPERAND", "PARAMETERS", "PARAM", "UNUSED", "END")


def split(text):
    """Arguments of a macro: commas outside of brackets and strings separate them."""
    parts, depth, quoted, start = [], 0, False, 0
    for at, char in enumerate(text):
        if char == '"':
            quoted = not quoted
        elif not quoted and char in "([{":
            depth += 1
        elif not quoted and char in ")]}":
            depth -= 1
        elif not quoted and char == "," and depth == 0:
            parts.append(text[start:at].strip())
            start = at + 1
    return [*parts, text[start:].strip()]


def calls(text, names):
    """Every use of a macro of `names` in order: (name, arguments)."""
    for match in re.finditer(r"\b(" + "|".join(names) + r")\(", text):
        depth, quoted, at = 1, False, match.end()
        while depth:
            quoted ^= text[at] == '"'
            depth += 0 if quoted else (text[at] == "(") - (text[at] == ")")
            at += 1
        yield match[1], split(text[match.end() : at - 1])


def without_preprocessor(source):
    """The rows with shared words and operands written out."""
    source = source.replace("\\\n", " ")
    shared = {}
    for name, parameters, body in re.findall(r"^#define (\w+)\((stage[^)]*)\) (.*)$", source, re.MULTILINE):
        if "PARAM(" in body or "OPERAND(" in body:
            shared[name] = (split(parameters), body)
    source = re.sub(r"^#ifdef SHARED.*?^#endif$", "", source, flags=re.MULTILINE | re.DOTALL)
    source = "\n".join(line for line in source.splitlines() if not line.startswith(("#", "//")))
    for name, (parameters, body) in shared.items():
        for _, arguments in list(calls(source, [name])):
            expanded = body
            for parameter, argument in zip(parameters, arguments, strict=True):
                expanded = re.sub(rf"\b{parameter}\b", argument, expanded)
            source = re.sub(rf"\b{name}\({re.escape(arguments[0])}\b[^)]*\)", lambda _, text=expanded: text, source)
    return source


def plain(text):
    return "".join(re.findall(r'"((?:[^"\\]|\\.)*)"', text))


def words_of(text, macro):
    """FN(SUM) | FN(PROD) -> SUM, PROD; DTYPE(F32) -> f32; names of sets in words."""
    names = []
    for part in (part.strip() for part in text.split("|")):
        match = re.fullmatch(macro + r"\((\w+)\)", part)
        names.append(SETS[part] if match is None else match[1].lower() if macro == "DTYPE" else match[1])
    return ", ".join(names[:-1]) + (" or " if len(names) > 1 else "") + names[-1]


def dtypes_of(text):
    name, (argument,) = next(calls(text, ["TYPES", "LIKE", "CLASS"]))
    if name == "TYPES":
        return words_of(argument, "DTYPE")
    other = re.sub(r"^PEF_[A-Z_]+_", "", argument)
    return f"that of `{other}`" if name == "LIKE" else f"of the class of `{other}`"


def range_of(text):
    if text in ("MASK", "ROLES"):
        return "a bit a dim" if text == "MASK" else "0 to 3"
    name, arguments = next(calls(text, ["RANGE", "COUNT", "AT", "WHEN"]))
    arguments = [NUMBERS.get(argument, argument) for argument in arguments]
    if name == "AT":
        return f"the place of {arguments[0]}"
    if name == "WHEN":
        parts = [f"fn {words_of(arguments[0], 'FN')}"] if arguments[0] != "ANY" else []
        parts += [f"operands of {words_of(arguments[1], 'DTYPE')}"]
        return f"{arguments[2]} to {arguments[3]} with {' and '.join(parts)}, else 0"
    low, high = arguments[-2:]
    return low if low == high else f"{low} to {high}"


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows]) + "\n"


def facts_of(arguments):
    return dict(re.fullmatch(r"\.(\w+) = (.*)", part, re.DOTALL).groups() for part in arguments)


def chapter(stage, facts, operands, params):
    suffix, name, number, since, text = stage
    lines = [f"## {suffix} ({number})\n", plain(text) + "\n"]
    notes = [f"since 2.{since}"] if since != "0" else []
    if "fns" in facts:
        notes.append("fn: " + words_of(facts["fns"], "FN"))
    if "without_fns" in facts:
        fns, dtypes = words_of(facts["without_fns"], "FN"), words_of(facts["without_dtypes"], "DTYPE")
        notes.append(f"not {fns} of {dtypes}")
    rows = ", ".join(plain(facts["rows"]))
    notes.append("rows: " + rows + (" (what is broadcast along them need not say so)" if "broadcast" in facts else ""))
    if "space" in facts:
        halo = " (s of the first operand with a halo)" if "halo" in facts else ""
        notes.append("axes: " + ", ".join(plain(facts["space"])) + halo)
    if "windows" in facts:
        notes.append(WINDOWS)
    lines.append("; ".join(notes) + ".\n")
    lines.append(table(["operand", "dims", "dtype", "", ""], operands))
    if params:
        lines.append(table(["parameter", "words", "value", ""], params))
    return "\n".join(lines)


def operand_row(arguments):
    _, name, direction, dims, dtypes, traits, text = arguments
    notes = [DIRECTIONS[direction]] if "MANY" not in traits else []
    notes += [TRAITS[trait.strip()] for trait in traits.split("|") if trait.strip() != "0"]
    return [f"`{name}`", f"`{plain(dims)}`", dtypes_of(dtypes), "; ".join(notes), plain(text)]


def param_row(arguments, at):
    _, name, count, since, span, text = arguments
    words = WORDS[count]
    place = str(at) if words == 1 else f"{at}..{at + words - 1}"
    each = {"ONE": "", "SPATIAL": ", one a windowed dim", "DIMS": ", one a dim"}[count]
    note = plain(text) + (f" (since 2.{since})" if since != "0" else "")
    return [f"`{name}`", place + each, range_of(span), note]


def page():
    chapters, stage, facts, operands, params, at = [HEAD], None, {}, [], [], 0
    for name, arguments in calls(without_preprocessor(SCHEMA.read_text(encoding="utf-8")), ROWS):
        if name == "STAGE":
            stage, operands, params, at = arguments, [], [], 0
        elif name == "FACTS":
            facts = facts_of(arguments)
        elif name == "OPERAND":
            operands.append(operand_row(arguments))
        elif name == "PARAM":
            params.append(param_row(arguments, at))
            at += WORDS[arguments[2]]
        elif name == "UNUSED":
            at += int(arguments[1])
        elif name == "END":
            assert at == 24, f"{stage[0]} has {at} words"
            chapters.append(chapter(stage, facts, operands, params))
    return "\n".join(chapters)


def main(arguments):
    return made_page.keep(PAGE, page(), "gen_stages.py", arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
