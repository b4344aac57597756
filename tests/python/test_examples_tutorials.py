# SPDX-License-Identifier: Apache-2.0
"""The tutorials run as they stand: files are written, commands run in one shell, they print what the page says."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support import ROOT, leat_command

PAGES = sorted((ROOT / "docs" / "tutorials").glob("[0-9]*.md"))
END = "--- end of block"


def blocks(page):
    """(language, text) of every fenced block."""
    return re.findall(r"^```(\w+)\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)


def pattern(text):
    """What a block promises to print: `...` is anything, a line of it alone any lines."""
    lines = [
        r"(?:.*\n)*?" if line == "..." else ".*".join(map(re.escape, line.split("..."))) + r".*\n"
        for line in text.splitlines()
    ]
    return re.compile("".join(lines))


def run(script, folder):
    commands = Path(leat_command()).parent
    path = os.pathsep.join([str(commands), str(Path(sys.executable).parent), os.environ["PATH"]])
    return subprocess.run(
        ["bash", "-e"],
        input=script,
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, "PATH": path, "PYTHONPATH": str(ROOT / "python")},
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_tutorial_runs_as_it_stands(page, tmp_path):
    script, promised = [], []
    for language, text in blocks(page):
        if language == "python":
            name = re.match(r"# (\S+\.py)\n", text).group(1)
            (tmp_path / name).write_text(text)
        elif language == "sh":
            script.append(f"{text}\necho '{END}'\n")
            promised.append(None)
        else:
            assert language == "text" and promised and promised[-1] is None, text
            promised[-1] = pattern(text)
    done = run("".join(script), tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    printed = done.stdout.split(f"{END}\n")
    assert len(printed) == len(promised) + 1
    for found, expected in zip(printed, promised, strict=False):
        assert expected is None or expected.search(found), f"{expected.pattern}\n--- printed:\n{found}"


def test_there_are_tutorials():
    assert len(PAGES) == 3 and all("```sh" in page.read_text() for page in PAGES)
