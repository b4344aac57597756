# SPDX-License-Identifier: Apache-2.0
"""Holds the dependency table of docs/architecture.md over every #include of the tree.

Prints one line for each include that the table forbids and exits with 1 if there is one.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# folder of src/ -> folders it may include besides itself and the public headers.
MAY_INCLUDE = {
    "base": [],
    "kern": [],
    "pef": ["base"],
    "io": ["base"],
    "arch": ["base"],
    "ir": ["base"],
    "lower": ["base", "ir"],
    "grad": ["base", "ir"],
    "opt": ["base", "ir", "arch"],
    "rule": ["base", "ir", "arch"],
    "space": ["base", "ir", "arch", "pef"],
    "cut": ["base", "ir", "arch", "rule", "space"],
    "unit": ["base", "ir", "arch", "lower", "grad", "opt", "rule", "space", "cut"],
    "map": ["base", "ir", "space", "cut", "arch", "pef"],
    "link": ["base", "pef"],
    "chip": ["base", "arch", "pef"],
    "report": ["base", "pef", "arch"],
    "run": ["base", "pef", "io", "arch"],
    "native": ["base", "pef", "kern", "arch"],
    "ref": ["base", "pef"],
    "driver": [
        *(
            "base",
            "ir",
            "lower",
            "grad",
            "opt",
            "arch",
            "rule",
            "space",
            "cut",
            "unit",
            "map",
            "link",
            "chip",
            "pef",
            "report",
            "io",
            "run",
            "native",
        ),
        "ref",
    ],
}
# Folders that see no header of ours but their own, and of C only these.
SEALED = {"kern": {"stdint.h", "stddef.h", "stdbool.h", "immintrin.h"}}
# Single files that others may include: data tables that they expand, and what is between an engine and the rest.
FILES = {
    ("io", "ir/dtype.def"),
    ("pef", "ir/dtype.def"),
    ("pef", "ir/role.def"),
    ("pef", "ir/scalar.def"),
    ("map", "ir/scalar.def"),
    ("kern", "ir/scalar.def"),
    ("native", "run/engine.h"),
    ("ref", "run/engine.h"),
    ("ref", "kern/scalar.h"),
}
# Headers of third parties -> the folders that know them.
THIRD_PARTY = {
    "libxsmm.h": {"native"},
    "zlib.h": {"io"},
    "xxhash.h": {"base", "ir", "pef"},
    "cjson/cJSON.h": {"base", "pef", "io", "rule", "cut", "run", "driver"},
    "yaml.h": {"rule"},
}
# Programs outside src/ that show the public interface: nothing but public headers and the C library.
PUBLIC_ONLY = ["examples/c"]

INCLUDE = re.compile(r'^\s*#\s*include\s+(["<])([^">]+)[">]')


def includes(path):
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        match = INCLUDE.match(line)
        if match:
            yield number, match.group(2), match.group(1) == "<"


def forbidden(folder, target, is_system):
    """Why `folder` may not include `target`, or None."""
    if is_system or target in THIRD_PARTY:
        if folder in SEALED:
            allowed = sorted(SEALED[folder])
            return None if target in allowed else "is sealed: only its own headers and " + ", ".join(allowed)
        if target in THIRD_PARTY and folder not in THIRD_PARTY[target]:
            return "does not use this library; " + ", ".join(sorted(THIRD_PARTY[target])) + " may"
        return None
    owner = target.split("/", 1)[0]
    if owner == "leat":
        return "is sealed: no public headers" if folder in SEALED else None
    if owner == folder or "/" not in target or (folder, target) in FILES:
        return None
    allowed = MAY_INCLUDE[folder]
    return None if owner in allowed else "may include " + (", ".join(allowed) or "nothing of ours")


def check_sources():
    for path in sorted((ROOT / "src").glob("*/*.[chd]*")):
        folder = path.parent.name
        if folder not in MAY_INCLUDE:
            yield f"{path.relative_to(ROOT)}: folder {folder} has no row in the table"
            continue
        for number, target, is_system in includes(path):
            reason = forbidden(folder, target, is_system)
            if reason:
                yield f"{path.relative_to(ROOT)}:{number}: includes {target}, but {folder} {reason}"


def check_public():
    for folder in PUBLIC_ONLY + ["include/leat"]:
        for path in sorted((ROOT / folder).glob("*.[ch]")):
            for number, target, is_system in includes(path):
                if not is_system and not target.startswith("leat/"):
                    yield f"{path.relative_to(ROOT)}:{number}: includes {target}; only leat/*.h and the C library here"


def main():
    complaints = [*check_sources(), *check_public()]
    print("\n".join(complaints) if complaints else "includes: the dependency table holds")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
