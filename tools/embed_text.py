# SPDX-License-Identifier: Apache-2.0
"""Writes text files as a C table: usage: embed_text.py OUTPUT SYMBOL FILE...

The table is `const leat_embedded_t SYMBOL[]`, ended by a row whose name is NULL; a row is the file's stem and text.
"""

import sys
from pathlib import Path


def literal(text):
    """`text` as C string literals, one a line."""
    lines = text.splitlines(keepends=True)
    escaped = [line.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") for line in lines]
    return "\n".join(f'     "{line}"' for line in escaped) or '     ""'


def main():
    output, symbol, *files = sys.argv[1:]
    rows = [f'    {{"{Path(f).stem}",\n{literal(Path(f).read_text(encoding="utf-8"))}}},' for f in files]
    head = '// Made by tools/embed_text.py.\n#include "rule/rule_builtin.h"\n\n'
    body = f"const leat_embedded_t {symbol}[] = {{\n" + "\n".join(rows) + "\n    {0, 0},\n};\n"
    Path(output).write_text(head + body, encoding="utf-8")


if __name__ == "__main__":
    main()
