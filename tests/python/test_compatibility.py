# SPDX-License-Identifier: Apache-2.0
"""The compatibility report: current, without broken names, and covering every name that programs use."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
USAGE = ROOT.parent / "shared" / "sdk-usage.md"
sys.path.insert(0, str(ROOT / "tools"))

import make_compatibility as report  # noqa: E402

pytest.importorskip("sambaflow._leat")


@pytest.fixture(scope="module")
def entries():
    return report.read_entries()


def entry(**values):
    return report.Entry("area", **values)


def test_the_page_is_current_and_nothing_is_broken():
    command = [sys.executable, str(ROOT / "tools" / "make_compatibility.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert float(re.search(r"([\d.]+) % work", done.stdout)[1]) >= 90


def test_every_name_has_its_own_row(entries):
    names = [(e.area, e.name) for e in entries]
    assert len(names) == len(set(names)) > 400


def raises(world):
    raise ValueError("some other reason")


@pytest.mark.parametrize(
    ("values", "verdict", "message"),
    [
        ({"name": "samba.session.run"}, "works", ""),
        ({"name": "samba.session.run", "args": ["input_tensors"]}, "works", ""),
        ({"name": "samba.session.run", "args": ["no_such"]}, "BROKEN", "no argument no_such"),
        ({"name": "samba.no_such_name"}, "BROKEN", "no_such_name"),
        ({"name": "sambaflow.no_such_module.x"}, "BROKEN", "no_such_module"),
        ({"name": "a behaviour", "says": "what it is", "probe": raises}, "BROKEN", "some other reason"),
        ({"name": "a", "says": "b", "probe": raises, "refused": "some other"}, "refused", "some other reason"),
        ({"name": "a", "says": "b", "probe": raises, "refused": "this one"}, "BROKEN", "expected an error about"),
        ({"name": "a", "says": "b", "probe": lambda world: None, "refused": "x"}, "BROKEN", "got None"),
        ({"name": "a", "says": "b", "probe": lambda world: None, "idle": ["call"]}, "no effect", ""),
    ],
)
def test_verdicts_come_from_checking(values, verdict, message):
    checked = entry(**values)
    report.check(checked)
    assert checked.verdict == verdict and message in checked.message


def test_idle_arguments_do_not_count_as_working():
    idle = entry(name="samba.session.compile", args=["model", "squeeze_bs_dim"], idle=["squeeze_bs_dim"], why="a hint")
    report.check(idle)
    assert report.counts([idle]) == (3, 2, 1, 0, 0)
    assert "no effect: `squeeze_bs_dim` (a hint)" in report.row(idle)


def tables():
    """(kind, name, keyword arguments) of the rows of the tables of usage."""
    kind = ""
    for line in USAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("### "):
            kind = line[4:].split()[0]
        found = re.match(r"\| \d+ \| `(sambaf?l?o?w?\.[\w.]+)` \|(.*)", line)
        if found and kind in ("Calls", "Import"):
            keywords = re.findall(r"(\w+) \d+", found[2]) if kind == "Calls" else []
            yield kind, found[1].removeprefix("sambaflow.").removeprefix("samba."), keywords


def short(name):
    return name.removeprefix("sambaflow.").removeprefix("samba.")


@pytest.mark.skipif(not USAGE.exists(), reason="the survey of programs is not here")
def test_everything_that_programs_use_has_a_verdict(entries):
    rows = {short(e.name): e for e in entries}
    places = {"sambatensor.SambaTensor": "SambaTensor"}
    missing, seen = [], 0
    for _kind, name, keywords in tables():
        seen += 1
        row = rows.get(places.get(name, name)) or rows.get(f"utils.common.{name.split('.')[-1]}")
        if row is None:
            missing.append(name)
            continue
        known = {*row.args, *row.also, *row.without}
        if known:
            missing += [f"{name}({keyword}=)" for keyword in keywords if keyword not in known]
    assert seen > 150 and not missing
