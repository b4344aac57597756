# SPDX-License-Identifier: Apache-2.0
"""The conformance run (tests/conformance): what it calls equal, refused, wrong, a crash and a hang, and its page."""

import json

import pytest
from support import ROOT, run_python

pytest.importorskip("expecttest")  # what PyTorch's databases need

SCRIPT = """
import json, os, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import run
import database, judge, report, torch
torch.set_num_threads(1)
run.KEPT, run.SECONDS_WAITED = Path(sys.argv[2]), 40

def traced(x):
    return type(x).__name__ == "TracedTensor"

def dies(x):
    if traced(x):
        os.abort()
    return x * 2

def sleeps(x):
    if traced(x):
        run.time.sleep(1000)
    return x * 2

def turns(x):  # the same values, of another slope
    return x if traced(x) else 2 * x.detach() - x

def entry(name, call, gradient=False):
    def samples(wanted):
        for size in (2, 3):
            yield database.Sample(call, (torch.ones(size, requires_grad=wanted),), {})
    return database.Entry("op", name, "float32", "", gradient, (1e-6, 1e-6), samples)

entries = [
    entry("exp", torch.exp, True),
    entry("drawn", lambda x: torch.rand_like(x)),
    entry("refused", lambda x: x.nonzero()),
    entry("eager", lambda x: x.unsqueeze(5)),
    entry("no_tensor", lambda x: x.shape),
    entry("wrong", lambda x: x + int(traced(x))),
    entry("wrong_slope", lambda x: turns(x * 1), True),
    entry("second_dies", lambda x: dies(x) if len(x) == 3 else x * 2),
    entry("sleeps", lambda x: sleeps(x) if len(x) == 2 else x * 2),
]
forever = float("inf")
first = list(run.campaign(entries, 9, 2, "mark", "commit", False, forever))
first += run.campaign([entry("one_of_two", torch.exp)], 1, 2, "mark", "later commit", False, forever)
run.Task = None  # whoever runs an entry again fails
again = list(run.campaign(entries + [entry("one_of_two", torch.exp)], 1, 2, "mark", "commit", False, forever))
assert sorted(map(str, first)) == sorted(map(str, again))
found = {one["name"]: {part: kinds["counts"] for part, kinds in one["parts"].items()} for one in first}
print(json.dumps({"found": found, "page": report.text(run.KEPT)}))
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("conformance")
    script = folder / "script.py"
    script.write_text(SCRIPT)
    done = run_python(script, ROOT / "tests/conformance", folder / "kept", cwd=folder)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_each_sample_is_what_it_is(found):
    assert found["found"] == {
        "exp": {"forward": {"equal": 2}, "gradient": {"equal": 2}},
        "drawn": {"forward": {"equal": 2}},
        "refused": {"forward": {"refused": 2}},
        "eager": {"forward": {"eager": 2}},
        "no_tensor": {"forward": {"eager": 2}},
        "wrong": {"forward": {"wrong": 2}},
        "wrong_slope": {"forward": {"equal": 2}, "gradient": {"wrong": 2}},
        "second_dies": {"forward": {"equal": 1, "crash": 1}},
        "sleeps": {"forward": {"hang": 1, "equal": 1}},
        "one_of_two": {"forward": {"equal": 1}},
    }


def test_the_page_counts_pairs_and_shows_each(found):
    page = found["page"]
    assert "| op | forward | float32 | 8 | 4 | 1 | 1 | 1 | 1 | 50.0 |" in page
    assert "| op | gradient | float32 | 2 | 1 | 0 | 1 | 0 | 0 | 50.0 |" in page
    assert "| second_dies | crash (1 of 2 equal) |" in page
    assert "| exp | equal / equal |" in page and "| eager | - |" in page
    assert "| 1 | refused: aten::nonzero: the shape of its result depends on values" in page
    assert "- sparse tensors: `sparse_sampled_addmm`" in page


def test_the_page_says_how_much_was_asked(found):
    page = found["page"]
    assert "of commit commit (9), later commit (1)." in page
    (asked,) = [line for line in page.splitlines() if line.startswith("| op | float32 | ")]
    assert asked.endswith(" | 10 | 9 | 1 |")
    assert "| op | bfloat16 | " in page and " | 0 | 0 | - |" in page
