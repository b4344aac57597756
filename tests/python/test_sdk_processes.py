# SPDX-License-Identifier: Apache-2.0
"""Programs that fork, are interrupted, or end by an exception: they end, and leave whole files."""

import os
import signal
import subprocess
import sys

import pytest
import torch
from support import environment, run_python

pytest.importorskip("sambaflow._leat")

PROGRAM = """
import os, signal, sys, threading, time
import torch
import torch.nn.functional as F
from sambaflow import samba
from sambaflow.samba import utils
from sambaflow.samba.sambaloader import SambaLoader
from sambaflow.samba.utils.checkpoint import save_checkpoint
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.drop, self.b = nn.Linear(64, 256), nn.Dropout(0.1), nn.Linear(256, 3)

    def forward(self, x, y):
        return F.cross_entropy(self.b(self.drop(torch.tanh(self.a(x)))), y)

torch.manual_seed(0)
model = Net()
samba.from_torch_model_(model)
optimizer = samba.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
inputs = (samba.randn(256, 64, name="x"), samba.randint(3, (256,), name="y"))
pef = samba.session.compile(model, inputs, optimizer, config_dict={"output_folder": ".", "pef_name": "n"})
outputs = utils.trace_graph(model, inputs, optimizer, pef=pef)
step = lambda: float(samba.session.run(inputs, outputs)[0])
print("losses", step(), step(), flush=True)
"""

FORKS = """
def in_child(work):
    child = os.fork()
    if not child:
        signal.alarm(60)
        try:
            print("child", *work(), flush=True)
            os._exit(0)
        except BaseException as error:
            print("child failed", repr(error), flush=True)
            os._exit(1)
    return os.waitpid(child, 0)[1]

print("status", in_child(lambda: (step(), step())), flush=True)
print("status", in_child(lambda: [in_child(lambda: (step(), step()))]), flush=True)
print("parent", step(), step(), flush=True)
data = TensorDataset(torch.randn(512, 64), torch.randint(3, (512,)))
for x, y in DataLoader(data, batch_size=256, num_workers=2):
    samba.session.run((samba.from_torch_tensor(x, name="x"), samba.from_torch_tensor(y, name="y")), outputs)
print("workers done", flush=True)
"""

RAISES = """
data = TensorDataset(torch.randn(8192, 64), torch.randint(3, (8192,)))
for count, batch in enumerate(SambaLoader(DataLoader(data, batch_size=256), ["x", "y"])):
    samba.session.run(batch, outputs)
    save_checkpoint("c.pt", model, optimizer, step=count)
    if count == 3:
        raise ZeroDivisionError("in the middle")
"""

LOOPS = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # a parent in the background hands it down ignored
print("looping", flush=True)
while True:
    step()
    save_checkpoint("c.pt", model, optimizer)
"""

LEAVES_LOADER = """
import sys
data = TensorDataset(torch.randn(100000, 64), torch.randint(3, (100000,)))
batches = iter(SambaLoader(DataLoader(data, batch_size=64), ["x", "y"], maxsize=2))  # kept: nobody closes it
for count, batch in enumerate(batches):
    if count == 3:
        break
HOW
"""

THREADS = """
x = [torch.randn(256, 64) for _ in range(3)]
y = torch.randint(3, (256,))
named = [(samba.from_torch_tensor(t, name="x"), samba.from_torch_tensor(y, name="y")) for t in x]
forward = lambda i: float(samba.session.run(named[i], outputs, hyperparam_dict={"p": 0.0}, section_types=["fwd"])[0])
alone = [forward(i) for i in range(3)]
found = [set() for _ in range(3)]
threads = [threading.Thread(target=lambda i=i: found[i].update(forward(i) for _ in range(100))) for i in range(3)]
for thread in threads:
    thread.start()
for _ in range(3):
    child = os.fork()
    if not child:
        signal.alarm(60)
        os._exit(0 if forward(0) == alone[0] else 1)
    print("child", os.waitpid(child, 0)[1])
for thread in threads:
    thread.join()
print("same", found == [{value} for value in alone])
"""

WITHIN = """
def late():
    samba.session.run(inputs, outputs)
    yield from inputs

try:
    samba.session.run(late(), outputs)
except ValueError as error:
    print("refused", error)
print("then", step() > 0)
"""

COMPILES = """
errors, files = [], []

def compile_one(width):
    try:
        net = nn.Sequential(nn.Linear(64, width), nn.GELU(), nn.Linear(width, 3))
        samba.from_torch_model_(net)
        for _ in range(2):
            files.append(samba.session.compile(net, (samba.randn(4, 64, name="x"),), inference=True,
                                               config_dict={"output_folder": ".", "pef_name": f"w{width}"}))
    except Exception as error:
        errors.append(error)

threads = [threading.Thread(target=compile_one, args=(width,)) for width in (8, 16, 24)]
for thread in threads:
    thread.start()
for _ in range(50):
    step()
for thread in threads:
    thread.join()
print("errors", errors, "files", len(files))
"""


def script(tmp_path, rest):
    path = tmp_path / "program.py"
    path.write_text(PROGRAM + rest)
    return path


@pytest.mark.parametrize("threads", ["1", "2"])
def test_children_of_a_fork_run(tmp_path, threads):
    done = run_python(script(tmp_path, FORKS), cwd=tmp_path, env={"LEAT_NUM_THREADS": threads})
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    values = {words[0]: words[1:] for words in lines}
    children = [words[1:] for words in lines if words[0] == "child" and len(words) == 3]
    assert len(children) == 2 and children[0] == children[1] == values["parent"]
    assert [words[1] for words in lines if words[0] == "status"] == ["0", "0"]
    assert "workers" in values


@pytest.mark.parametrize("how, status", [("", 0), ("raise KeyError('x')", 1), ("sys.exit(3)", 3)])
def test_a_loader_that_is_left_early_does_not_abort_the_program(tmp_path, how, status):
    done = run_python(script(tmp_path, LEAVES_LOADER.replace("HOW", how)), cwd=tmp_path)
    assert done.returncode == status, done.stdout + done.stderr
    assert "terminate" not in done.stderr


@pytest.mark.parametrize("threads", ["1", "2"])
def test_threads_that_run_one_program_wait_for_each_other(tmp_path, threads):
    done = run_python(script(tmp_path, THREADS), cwd=tmp_path, env={"LEAT_NUM_THREADS": threads})
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("child 0") == 3 and "same True" in done.stdout


def test_a_run_inside_a_run_is_refused(tmp_path):
    done = run_python(script(tmp_path, WITHIN), cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "refused session.run was called while a run of the same program is under way" in done.stdout
    assert "then True" in done.stdout


def test_threads_compile_one_after_the_other_while_another_runs(tmp_path):
    done = run_python(script(tmp_path, COMPILES), cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "errors [] files 6" in done.stdout


def test_an_exception_in_the_middle_ends_the_program(tmp_path):
    done = run_python(script(tmp_path, RAISES), cwd=tmp_path, env={"LEAT_NUM_THREADS": "2"})
    assert done.returncode == 1 and "ZeroDivisionError: in the middle" in done.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["c.pt", "n", "program.py"]
    assert torch.load(tmp_path / "c.pt", weights_only=True)["step"] == 3


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_program_ends_and_its_checkpoint_is_whole(tmp_path, number):
    command = [sys.executable, str(script(tmp_path, LOOPS))]
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as p:
        for line in p.stdout:
            if line.startswith(b"looping"):
                break
        while not os.path.exists(tmp_path / "c.pt"):
            assert p.poll() is None
        p.send_signal(number)
        p.communicate(timeout=120)
    assert p.returncode in (-number, 130)
    assert "model" in torch.load(tmp_path / "c.pt", weights_only=True)
