# SPDX-License-Identifier: Apache-2.0
"""Wrong command lines and files given to the example programs: a message, a status, and nothing half-written."""

import gzip
import pickle
import struct

import numpy as np
import pytest
import torch
from common.idx import IdxError, read_idx
from support import run_example


def files_in(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compiled")
    (folder / "out").mkdir()
    run_example("logreg", "compile", "--pef-name", "logreg", cwd=folder)
    return folder


def test_output_folder_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    done = run_example(
        "logreg", "compile", "--pef-name", "x", "--output-folder", "file/there", cwd=tmp_path, expect_error=True
    )
    assert "file/there" in done.stderr and "Traceback" not in done.stderr
    assert files_in(tmp_path) == ["file"]


@pytest.mark.parametrize(
    "option, value, word",
    [
        ("-b", "16", "batch"),
        ("--batch-size", "64", "batch"),
        ("-mb", "7", "microbatch"),
        ("--mapping", "spatial", "mapping"),
    ],
)
def test_run_differs_from_the_pef(option, value, word, compiled):
    before = files_in(compiled)
    done = run_example(
        "logreg", "run", "--pef", "out/logreg/logreg.pef", "-e", 1, option, value, cwd=compiled, expect_error=True
    )
    assert word in done.stderr.lower() and value in done.stderr
    assert files_in(compiled) == before


def test_missing_pef(tmp_path):
    done = run_example("logreg", "run", "--pef", "nowhere.pef", cwd=tmp_path, expect_error=True)
    assert "nowhere.pef" in done.stderr
    assert files_in(tmp_path) == []


def test_training_from_an_inference_pef(tmp_path):
    (tmp_path / "out").mkdir()
    run_example("logreg", "compile", "--pef-name", "i", "--inference", cwd=tmp_path)
    before = files_in(tmp_path)
    done = run_example("logreg", "run", "--pef", "out/i/i.pef", cwd=tmp_path, expect_error=True)
    assert "inference" in done.stderr
    assert files_in(tmp_path) == before


def test_no_data_folder(compiled):
    done = run_example(
        "logreg", "run", "--pef", "out/logreg/logreg.pef", "--data-dir", "absent", cwd=compiled, expect_error=True
    )
    assert "absent" in done.stderr


def idx(array, kind=0x08):
    return struct.pack(f">HBB{array.ndim}I", 0, kind, array.ndim, *array.shape) + array.tobytes()


WHOLE = idx(np.zeros((3, 28, 28), np.uint8))
MALFORMED = {
    "empty": b"",
    "three bytes": WHOLE[:3],
    "header cut": WHOLE[:9],
    "data cut": WHOLE[:-1],
    "data go on": WHOLE + b"x",
    "not IDX": b"\x89PNG" + WHOLE,
    "unknown type": idx(np.zeros(3, np.uint8), kind=0x77),
    "no dimensions": b"\0\0\x08\0",
    "too many dimensions": b"\0\0\x08\xff" + bytes(2000),
    "a large lie": b"\0\0\x08\x03" + struct.pack(">3I", 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF),
    "a smaller lie": b"\0\0\x08\x01" + struct.pack(">I", 1 << 30) + bytes(100),
    "gzip cut": gzip.compress(WHOLE)[:-9],
    "gzip damaged": gzip.compress(WHOLE)[:20] + b"\xff" * 20,
    "gzip of nothing": gzip.compress(b""),
}


@pytest.mark.parametrize("name", list(MALFORMED))
def test_malformed_idx(name, tmp_path):
    (tmp_path / "file").write_bytes(MALFORMED[name])
    with pytest.raises(IdxError, match="file"):
        read_idx(tmp_path / "file")


def test_malformed_idx_in_a_program(compiled, tmp_path):
    (tmp_path / "train-images-idx3-ubyte").write_bytes(MALFORMED["data cut"])
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx(np.zeros(3, np.uint8)))
    before = files_in(compiled)
    done = run_example(
        "logreg", "run", "--pef", "out/logreg/logreg.pef", "--data-dir", tmp_path, cwd=compiled, expect_error=True
    )
    assert "train-images-idx3-ubyte" in done.stderr
    assert files_in(compiled) == before


class Hostile:
    """A pickle that would make a file when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("form", ["torch", "pickle"])
def test_hostile_checkpoint(form, compiled, tmp_path):
    mark, checkpoint = tmp_path / "was-executed", tmp_path / "hostile.pt"
    content = {"model": {"lin_layer.weight": Hostile(mark)}}
    if form == "torch":
        torch.save(content, checkpoint)
    else:
        checkpoint.write_bytes(pickle.dumps(content))
    done = run_example(
        "logreg",
        "run",
        "--pef",
        "out/logreg/logreg.pef",
        "--init-ckpt-path",
        checkpoint,
        cwd=compiled,
        expect_error=True,
    )
    assert "hostile.pt" in done.stderr
    assert not mark.exists()


def test_checkpoint_of_another_model(compiled, tmp_path):
    torch.save({"model": {"something.else": torch.zeros(3)}, "epoch": 1}, tmp_path / "other.pt")
    done = run_example(
        "logreg", "run", "--pef", "out/logreg/logreg.pef", "--init-ckpt-path", tmp_path / "other.pt", cwd=compiled,
        expect_error=True,
    )  # fmt: skip
    assert "lin_layer" in done.stderr or "something.else" in done.stderr
