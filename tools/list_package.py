# SPDX-License-Identifier: Apache-2.0
"""Lists the files of a Python package for meson: sources, type stubs and data tables.

usage: list_package.py FOLDER PACKAGE      (paths are printed relative to FOLDER)
"""

import os
import sys

SUFFIXES = (".py", ".pyi", ".yaml", ".json", ".typed")


def main(folder, package):
    for parent, subfolders, names in os.walk(os.path.join(folder, package)):
        subfolders[:] = sorted(name for name in subfolders if name != "__pycache__")
        for name in sorted(names):
            if name.endswith(SUFFIXES):
                print(os.path.relpath(os.path.join(parent, name), folder))


if __name__ == "__main__":
    main(*sys.argv[1:])
