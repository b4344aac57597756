# SPDX-License-Identifier: Apache-2.0
"""Small promises about the text of the tree: licence lines, no paths of one machine, tables in docs are current."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LICENSED = {".c", ".h", ".py", ".sh"}
# Absolute paths that exist on one machine only; spelt so that this file does not contain them.
MACHINE_PATH = re.compile(r"(?<![\w.$}])/(?:work|root|home|opt)/[\w.-]+")


def tracked_files():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.decode()
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


def check_file(path):
    name = path.relative_to(ROOT)
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return  # data
    if path.suffix in LICENSED and "SPDX-License-Identifier: Apache-2.0" not in text[:400]:
        yield f"{name}: no SPDX line at the top"
    for number, line in enumerate(text.splitlines(), 1):
        found = MACHINE_PATH.search(line)
        if found:
            yield f"{name}:{number}: path of one machine: {found.group()}"
        if line.rstrip() != line and path.suffix != ".md":
            yield f"{name}:{number}: white space at the end of the line"


def check_readme():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for line in (ROOT / "tools" / "system-packages.txt").read_text().splitlines():
        if line and not line.startswith("#") and line not in readme:
            yield f"README.md: the system package {line} of tools/system-packages.txt is not named"


def check_tolerances():
    command = [sys.executable, "tests/ops/tolerances.py"]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    if printed.stdout.strip() not in (ROOT / "docs" / "tolerances.md").read_text(encoding="utf-8"):
        yield "docs/tolerances.md: its table is not what tests/ops/tolerances.py prints"


def main():
    complaints = [complaint for path in tracked_files() for complaint in check_file(path)]
    complaints += [*check_readme(), *check_tolerances()]
    print("\n".join(complaints) if complaints else "text: nothing to complain about")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
