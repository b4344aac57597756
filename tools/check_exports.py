# SPDX-License-Identifier: Apache-2.0
"""The dynamic symbols of libleat.so are exactly the functions that the public headers declare.

usage: check_exports.py LIBLEAT_SO
"""

import re
import subprocess
import sys
from pathlib import Path

HEADERS = Path(__file__).resolve().parent.parent / "include" / "leat"
FUNCTION = re.compile(r"\b(leat_\w+)\(")
COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)


def main(library):
    declared = set()
    for path in HEADERS.glob("*.h"):
        declared |= set(FUNCTION.findall(COMMENT.sub("", path.read_text(encoding="utf-8"))))
    listing = subprocess.run(["nm", "-D", "--defined-only", library], capture_output=True, text=True, check=True).stdout
    exported = {line.split()[-1] for line in listing.splitlines()}
    for name in sorted(exported - declared):
        print(f"{library}: exports {name}, which no public header declares")
    for name in sorted(declared - exported):
        print(f"{library}: does not export {name}, which a public header declares")
    if exported == declared:
        print(f"exports: the {len(declared)} functions of the public headers and nothing else")
    return 0 if exported == declared else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
