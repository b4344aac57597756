# SPDX-License-Identifier: Apache-2.0
"""Writes the C source of the extension `sambaflow._leat` from the public headers.

usage: gen_cffi.py OUTPUT HEADER...

The headers are plain C that cffi can parse once comments and preprocessor lines are gone, so there is no second,
hand-kept list of declarations. An int-valued `enum { ... }` becomes constants of `lib`.
"""

import re
import sys

from cffi import FFI

COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)
DIRECTIVE = re.compile(r"^[ \t]*#[^\n]*$", re.MULTILINE)


def declarations(path):
    with open(path, encoding="utf-8") as file:
        return DIRECTIVE.sub("", COMMENT.sub("", file.read()))


def in_include_order(paths):
    """A header comes after every header that it includes, as cffi needs a type before its use."""
    by_name = {path.replace("\\", "/").rsplit("/", 1)[1]: path for path in paths}
    ordered = []

    def visit(name):
        if by_name[name] in ordered:
            return
        with open(by_name[name], encoding="utf-8") as file:
            for included in re.findall(r'#include "leat/([^"]+)"', file.read()):
                visit(included)
        ordered.append(by_name[name])

    for name in sorted(by_name):
        visit(name)
    return ordered


def main(output, *headers):
    ordered = in_include_order(headers)
    ffi = FFI()
    for path in ordered:
        ffi.cdef(declarations(path))
    includes = "".join(f'#include "leat/{path.rsplit("/", 1)[1]}"\n' for path in ordered)
    ffi.set_source("sambaflow._leat", includes)
    ffi.emit_c_code(output)


if __name__ == "__main__":
    main(*sys.argv[1:])
