# SPDX-License-Identifier: Apache-2.0
"""What is imported when: help comes before torch, and nothing here imports torch's compiler."""

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("sambaflow._leat")

EXAMPLES = Path(__file__).parents[2] / "examples"
PROGRAMS = sorted(path.stem for path in EXAMPLES.glob("*.py") if "help_at_once" in path.read_text())

HELP = """
import runpy, sys
sys.argv = [{path!r}, "run", "--help"]
sys.path.insert(0, {folder!r})
try:
    runpy.run_path({path!r}, run_name="__main__")
except SystemExit as end:
    assert end.code in (0, None), end.code
assert "torch" not in sys.modules and "numpy" not in sys.modules
"""

COMPILE = """
import sys, tempfile
import torch
from torch import nn
from sambaflow import samba
from sambaflow.samba import utils

assert "torch._dynamo" not in sys.modules
class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.linear = nn.Conv2d(1, 2, 3), nn.Linear(72, 3)
        self.rest = nn.Sequential(nn.LayerNorm(3), nn.GELU(), nn.Softmax(-1))
    def forward(self, x):
        return self.rest(self.linear(self.conv(x).relu().flatten(1))).square().mean()
model = Model()
samba.from_torch_model_(model)
inputs = (samba.randn(2, 1, 8, 8, name="x"),)
optimizer = samba.optim.{optimizer}(model.parameters(), lr=0.1) if {training} else None
settings = dict(output_folder=tempfile.mkdtemp(), pef_name="m", inference=not {training})
pef = samba.session.compile(model, inputs, optimizer, name="m", inference=not {training}, config_dict=settings)
outputs = utils.trace_graph(model, inputs, optimizer, pef=pef)
samba.session.run(input_tensors=inputs, output_tensors=outputs, section_types=None if {training} else ["fwd"])
assert "torch._dynamo" not in sys.modules
compiled = torch.compile(lambda x: torch.where(x > 0, x, -x).relu(), backend="eager")  # still works
assert torch.equal(compiled(torch.tensor([-1.0, 2.0])), torch.tensor([1.0, 2.0]))
"""


def run(program):
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_help_of_a_program_does_not_wait_for_torch(name):
    found = run(HELP.format(path=str(EXAMPLES / f"{name}.py"), folder=str(EXAMPLES)))
    assert found.returncode == 0, found.stderr
    assert "usage:" in found.stdout


def test_there_are_programs():
    assert {"lenet", "logreg", "resffn", "tinygpt"} <= set(PROGRAMS)


@pytest.mark.parametrize("training, optimizer", [(False, "SGD"), (True, "SGD"), (True, "AdamW")])
def test_compiling_and_running_do_not_import_the_compiler_of_torch(training, optimizer):
    found = run(COMPILE.format(training=training, optimizer=optimizer))
    assert found.returncode == 0, found.stderr


def test_the_session_is_the_object_whatever_is_imported_first():
    program = """
from sambaflow.samba.session import SambaSession
from sambaflow import samba
import sambaflow.samba.session
assert isinstance(samba.session, SambaSession)
from sambaflow.samba import session
assert session is samba.session and "randn" in dir(samba)
try:
    samba.nothing
except AttributeError as error:
    assert "nothing" in str(error)
"""
    found = run(program)
    assert found.returncode == 0, found.stderr
