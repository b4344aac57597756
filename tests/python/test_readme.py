# SPDX-License-Identifier: Apache-2.0
"""The first program of the README runs as it stands, and learns."""

import re

from support import ROOT, run_python


def test_first_program(tmp_path):
    code = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL).group(1)
    (tmp_path / "first.py").write_text(code)
    done = run_python(tmp_path / "first.py", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    losses = [float(line.split()[1]) for line in done.stdout.splitlines() if re.match(r"\d+ [0-9.]+$", line)]
    assert len(losses) == 20 and losses[-1] < losses[0]
    assert (tmp_path / "out" / "first" / "first.pef").exists()
