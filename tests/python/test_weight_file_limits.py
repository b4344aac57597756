# SPDX-License-Identifier: Apache-2.0
"""Weight files that would unfold into far more than they are: refused within memory and time that follow their size."""

import io
import json
import random
import resource
import struct
import subprocess
import zipfile

import pytest
import torch
from sambaflow import samba
from support import leat_command

MEMORY = 512 << 20


@pytest.fixture(scope="module")
def pef(tmp_path_factory):
    model = torch.nn.Linear(4, 2)
    samba.from_torch_model_(model)
    folder = str(tmp_path_factory.mktemp("pef"))
    return samba.session.compile(
        model, (samba.randn(2, 4, name="x"),), inference=True, config_dict={"output_folder": folder}
    )


def pickled(content):
    """An archive of torch.save whose pickle is `content`, compressed."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x/data.pkl", content)
    return stream.getvalue()


def saved(value):
    stream = io.BytesIO()
    torch.save(value, stream)
    return stream.getvalue()


def overlapping():
    """A thousand names for one compressed storage."""
    data = bytearray(pickled(b"\x80\x02}q\x00." + random.Random(0).randbytes(100_000)))
    end = data.rfind(b"PK\x05\x06")
    (start,) = struct.unpack_from("<I", data, end + 16)
    record = bytes(data[start:end])
    names = [record[:46] + f"x/data.{i:03}".encode() + record[46 + 10 :] for i in range(1000)]
    directory = record + b"".join(names)
    tail = bytearray(data[end:])
    struct.pack_into("<HHI", tail, 8, 1001, 1001, len(directory))
    return bytes(data[:start]) + directory + bytes(tail)


def header(text):
    return struct.pack("<Q", len(text)) + text.encode()


EMPTY = '{"dtype":"F32","shape":[0],"data_offsets":[0,0]}'
FILES = {
    "w.pt": {
        "a pickle that unpacks a thousandfold": (pickled(b"\x80\x02](" + b"N" * 150_000_000 + b"e."), "unpacks to"),
        "a value for every byte": (pickled(b"\x80\x02](" + b"]" * 20_000_000 + b"e."), "far more than the file"),
        "a long key for every tensor": (saved({"k" * 60_000: [torch.zeros(())] * 20_000}), "names of its tensors"),
        "entries that overlap": (overlapping(), "entries overlap"),
        "control characters in a name": (saved({"a\x1b[31m": {1.5: torch.zeros(1)}}), "under 'a?[31m'"),
    },
    "w.safetensors": {
        "nesting": (header('{"a":{"x":' + "[" * 400_000 + "]" * 400_000 + "}}"), "no dtype"),
        "a shape of a million dims": (header('{"a":{"shape":[' + "0," * 1_000_000 + "0]}}"), "more than 8 dimensions"),
        "a million fields": (
            header('{"a":' + json.dumps(dict.fromkeys(map(str, range(200_000)), 1)) + "}"),
            "no dtype",
        ),
        "one name often": (header("{" + ",".join([f'"a":{EMPTY}'] * 50_000) + "}"), "two tensors are called 'a'"),
        "many names": (
            header("{" + ",".join(f'"t{i}":{EMPTY}' for i in range(50_000)) + "}"),
            "does not fit the program",
        ),
    },
}
CASES = [(file, name) for file, cases in FILES.items() for name in cases]


def limited():
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


@pytest.mark.parametrize(("file", "name"), CASES)
def test_a_weight_file_is_refused_within_bounds(file, name, pef, tmp_path):
    content, message = FILES[file][name]
    (tmp_path / file).write_bytes(content)
    command = [leat_command(), "run", pef, "--weights", file]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, preexec_fn=limited, timeout=60, check=False
    )
    assert done.returncode > 0 and message in done.stderr, done.stderr[:500]
