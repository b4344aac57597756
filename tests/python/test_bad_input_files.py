# SPDX-License-Identifier: Apache-2.0
"""Mutated files read by Python, and a full disk, closed pipes, kills and interrupts of the command and of programs.

LEAT_MUTATIONS says how many mutated files of each kind (200). tests/c/mutate_test.c mutates what the C library reads.
"""

import argparse
import gzip
import io
import os
import random
import resource
import signal
import struct
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from common.files import load_checkpoint
from common.idx import IdxError, read_idx
from sambaflow.samba.utils import argparser
from sambaflow.samba.utils.dataset.files import load_dataset
from support import ROOT, environment, leat_command

ROUNDS = int(os.environ.get("LEAT_MUTATIONS", "200"))
GRAPHS = ROOT / "tests" / "data" / "graphs"

# ---- mutated files

YAML = b"""# configuration of a run
batch-size: 32
learning_rate: 1.0e-3
name: "lstm forecaster"
layers: [64, 32, &size 16]
nested: {dropout: 0.1, size: *size, on: yes, when: 2026-01-31}
text: |
  several
  lines
"""
YAML_PIECES = [b": ", b"- ", b"[", b"{", b"&a ", b"*a", b"!!python/object/apply:os.system [echo]", b"!!int ", b"\t"]
YAML_PIECES += [b"\x00", b"\xff", b"2026-99-99", b"<<: ", b"? ", b"'", b"9" * 5000, b"[" * 3000]
YAML_PIECES += [b"%YAML 9.9\n---\n", b"..."]


def idx(array, kind=0x08):
    return struct.pack(f">HBB{array.ndim}I", 0, kind, array.ndim, *array.shape) + array.tobytes()


def saved(write):
    stream = io.BytesIO()
    write(stream)
    return stream.getvalue()


def mutated(seed, generator, pieces=(b"",)):
    """`seed` after one to three changes: bytes, numbers, pieces moved, added, removed, the end cut off."""
    data = bytearray(seed)
    for _ in range(generator.randint(1, 3)):
        place = generator.randrange(len(data) + 1)
        kind = generator.randrange(7)
        if kind == 0:
            data[place : place + 1] = bytes([generator.randrange(256)])
        elif kind == 1:
            width = generator.choice((1, 2, 4, 8))
            value = generator.choice((0, 1, 2**7, 2**8 - 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1))
            order = generator.choice(("big", "little"))
            data[place : place + width] = (value % 256**width).to_bytes(width, order)
        elif kind == 2:
            del data[place : place + generator.randint(1, 16)]
        elif kind == 3:
            start = generator.randrange(len(data) + 1)
            data[place:place] = data[start : start + generator.randint(1, 24)]
        elif kind == 4 and generator.random() < 0.3:
            del data[place:]
        else:
            data[place:place] = generator.choice(pieces)
    return bytes(data)


def check_refusals(path, seed, read, errors, pieces=(b"",)):
    """Each mutated file is read, or refused by one of `errors` with printable lines, the first of which names it."""
    refused = 0
    for round_ in range(ROUNDS):
        path.write_bytes(mutated(seed, random.Random(round_), pieces))
        try:
            read(path)
        except errors as error:
            text = str(error)
            printable = all(line.isprintable() for line in text.splitlines())
            assert path.name in text.splitlines()[0] and printable and len(text) > len(str(path)) + 10, (round_, text)
            refused += 1
        except Exception as error:
            raise AssertionError(f"round {round_}: {type(error).__name__}: {error}") from error
    assert refused > ROUNDS // 20


def test_mutated_yaml(tmp_path):
    check_refusals(
        tmp_path / "run.yaml",
        YAML,
        lambda path: argparser.parse_yaml_to_args(str(path), argparse.Namespace()),
        ValueError,
        YAML_PIECES,
    )


IMAGES = idx(np.arange(3 * 4 * 5, dtype=np.uint8).reshape(3, 4, 5))
MODEL = torch.nn.Sequential(torch.nn.Linear(3, 2))
CHECKPOINT = saved(lambda stream: torch.save({"model": MODEL.state_dict(), "epoch": 2}, stream))


@pytest.mark.parametrize("name, seed", [("images.idx", IMAGES), ("images.idx.gz", gzip.compress(IMAGES))])
@pytest.mark.parametrize("read, error", [(read_idx, IdxError), (load_dataset, ValueError)], ids=["example", "sdk"])
def test_mutated_idx(name, seed, read, error, tmp_path):
    check_refusals(tmp_path / name, seed, read, error)


def test_mutated_idx_within_gzip(tmp_path):
    """The checksum of the archive is right, so the reader behind it is reached."""
    path = tmp_path / "images.idx.gz"
    for round_ in range(ROUNDS):
        path.write_bytes(gzip.compress(mutated(IMAGES, random.Random(round_))))
        for read in (read_idx, load_dataset):
            try:
                assert tuple(read(path).shape)
            except ValueError as error:
                assert path.name in str(error)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "name, seed",
    [
        ("a.npy", saved(lambda stream: np.save(stream, np.arange(12.0).reshape(3, 4)))),
        ("a.npz", saved(lambda stream: np.savez(stream, x=np.arange(5), y=np.ones(2, np.float32)))),
        ("a.pt", CHECKPOINT),
    ],
)
def test_mutated_data_sets(name, seed, tmp_path):
    check_refusals(tmp_path / name, seed, load_dataset, ValueError)


@pytest.mark.filterwarnings("ignore")
def test_mutated_checkpoints(tmp_path):
    """torch.load reads as data only; a state dict that does not fit is refused by load_state_dict."""
    model = torch.nn.Sequential(torch.nn.Linear(3, 2))

    check_refusals(tmp_path / "weights.pt", CHECKPOINT, lambda path: load_checkpoint(path, model), ValueError)


def test_data_set_that_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe.idx")
    for name in (tmp_path / "pipe.idx", "/dev/zero"):
        with pytest.raises(ValueError, match="not a regular file"):
            load_dataset(name)
    with pytest.raises(ValueError, match="not a regular file"):
        argparser.parse_yaml_to_args(str(tmp_path / "pipe.idx"), argparse.Namespace())


# ---- the command


def run_leat(folder, *arguments, **options):
    """The finished command; a hang is a failure."""
    command = [leat_command(), *map(str, arguments)]
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    return subprocess.run(command, cwd=folder, text=True, timeout=60, **options)


def message_of(done):
    assert 0 < done.returncode < 64, (done.returncode, done.stderr)
    assert done.stderr.startswith("leat: ") and done.stderr.count("\n") == 1, done.stderr
    return done.stderr


@pytest.fixture
def folder(tmp_path):
    assert run_leat(tmp_path, "compile", GRAPHS / "inference.graph", "-o", "net.pef").returncode == 0
    return tmp_path


def files_in(folder):
    return sorted(path.name for path in folder.iterdir())


def is_whole(folder):
    return run_leat(folder, "info", "net.pef").returncode == 0


def little_room():
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))


def test_compile_on_a_full_disk(folder):
    done = run_leat(folder, "compile", GRAPHS / "convolutions.graph", "-o", "net.pef", preexec_fn=little_room)
    assert "net.pef" in message_of(done) and "large" in done.stderr
    assert files_in(folder) == ["net.pef"] and is_whole(folder)


def test_output_that_cannot_be_written(folder):
    with open("/dev/full", "w") as full:
        done = run_leat(folder, "info", "net.pef", stdout=full)
    assert "standard output" in message_of(done)


def test_output_into_a_closed_pipe(folder):
    read_end, write_end = os.pipe()
    os.close(read_end)
    done = run_leat(folder, "info", "net.pef", stdout=write_end)
    os.close(write_end)
    assert done.returncode == -signal.SIGPIPE or "standard output" in message_of(done)


@pytest.mark.parametrize("command", [("info",), ("run", "--input", "image=a.npy"), ("compile",)])
@pytest.mark.parametrize("kind", ["pipe", "folder", "/dev/zero", "empty", "nowhere"])
def test_input_that_is_no_file(command, kind, folder):
    os.mkfifo(folder / "pipe")
    (folder / "folder").mkdir()
    (folder / "empty").touch()
    before = files_in(folder)
    done = run_leat(folder, command[0], kind, *command[1:], stdin=subprocess.DEVNULL)
    assert kind in message_of(done)
    assert files_in(folder) == before


def test_weights_that_are_no_file(folder):
    os.mkfifo(folder / "pipe.pt")
    for weights in ("pipe.pt", ".", "/dev/zero"):
        done = run_leat(folder, "run", "net.pef", "--weights", weights)
        assert "not a regular file" in message_of(done)


def start_compile(folder):
    command = [leat_command(), "compile", GRAPHS / "convolutions.graph", "-o", "net.pef"]
    return subprocess.Popen(command, cwd=folder)


def test_compile_killed_at_any_moment(folder):
    """The old file or the new one, never a part; what a killed process left does not disturb the next."""
    generator = random.Random(7)
    for _ in range(20):
        process = start_compile(folder)
        time.sleep(generator.uniform(0, 0.05))
        process.kill()
        process.wait()
        assert is_whole(folder)
    assert run_leat(folder, "compile", GRAPHS / "convolutions.graph", "-o", "net.pef").returncode == 0


def test_interrupted_compile(folder):
    for delay in (0, 0.002, 0.01):
        process = start_compile(folder)
        time.sleep(delay)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) in (0, -signal.SIGINT, 130)
        assert is_whole(folder)


INTERRUPTED = """
import signal, sys, models, torch
from sambaflow import samba
signal.signal(signal.SIGINT, signal.default_int_handler)  # a parent in the background hands it down ignored
work = models.traced("logreg", sys.argv[1])
images, labels = models.random_batch(32, (784,), 0)
print("running", flush=True)
try:
    while True:
        work.step(images, labels, hyperparam_dict={"lr": 0.1})
except KeyboardInterrupt:
    loss, _ = work.step(images, labels, hyperparam_dict={"lr": 0.0})
    print("interrupted", bool(torch.isfinite(loss)), flush=True)
"""


def test_interrupted_run(tmp_path):
    """The step that is under way ends; the session works after it."""
    paths = os.pathsep.join(str(ROOT / name) for name in ("tests/python", "tests", "examples", "python"))
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, str(tmp_path)],
        env={**environment(), "PYTHONPATH": paths},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        for line in process.stdout:
            if line.startswith("running"):
                break
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert out == "interrupted True\n", (out, err)
