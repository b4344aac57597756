# SPDX-License-Identifier: Apache-2.0
"""Records of machines: what leat machine writes, --arch takes and reports tell. No test asks for a time."""

import csv
import io
import json
import math

import numpy as np
import pytest
import torch
from sambaflow import samba
from support import leat
from torch import nn

GRAPH = """leat.graph 1
%0 = symbol() {kind="input", name="image", requires_grad=0} : f32[64,96]
%1 = symbol() {kind="param", name="net__fc__weight", requires_grad=1} : f32[32,96]
%2 = linear(%0, %1, none) : f32[64,32] @ "net.fc" "net.py:3"
output(%2) {name="net__fc__logits", seed="zero"}
"""
RECORD = "target: native\nname: a slow desk\nlevel: portable\nf32_portable: 1e6\nread_bytes: 1e12\nl2_bytes: 65536\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("machine")
    (folder / "net.graph").write_text(GRAPH)
    (folder / "slow.machine").write_text(RECORD)
    leat(folder, "compile", "net.graph", "-o", "plain.pef", "--inference", "--arch", "native:32768,1048576,33554432")
    leat(folder, "compile", "net.graph", "-o", "slow.pef", "--inference", "--arch", "slow.machine")
    return folder


def facts(text):
    lines = (line.split("#")[0].strip() for line in text.splitlines())
    return dict(line.split(": ", 1) for line in lines if line)


def test_a_measured_record_is_taken_by_arch_and_reports(folder):
    shown = leat(folder, "machine", "-o", "here.machine", "--name", "  under test ", "--threads", 2)
    found = facts((folder / "here.machine").read_text())
    assert found["target"] == "native" and found["name"] == "under test" and found["cores"] == "2"
    assert not any(line != line.rstrip() for line in (shown + (folder / "here.machine").read_text()).splitlines())
    assert "under test" in shown and "here.machine" in shown
    for fact in ("f32_portable", "f32_avx2", "f64_avx512", "read_bytes", "triad_bytes_all", "barrier_seconds"):
        assert math.isfinite(float(found[fact])) and float(found[fact]) > 0
    leat(folder, "compile", "net.graph", "-o", "here.pef", "--inference", "--arch", "here.machine")
    told = json.loads(leat(folder, "info", "here.pef", "--json"))
    assert told["machine"]["name"] == "under test" and not told["machine"]["built_in"]
    assert told["machine"]["read_bytes"] == float(found["read_bytes"])
    assert facts(told["arch"])["f32_avx2"] == found["f32_avx2"]


def test_equal_records_give_equal_bytes(folder):
    (folder / "again.machine").write_text("# moved, and explained\n" + RECORD.replace("\n", "  # so\n"))
    leat(folder, "compile", "net.graph", "-o", "again.pef", "--inference", "--arch", "again.machine")
    assert (folder / "again.pef").read_bytes() == (folder / "slow.pef").read_bytes()
    assert (folder / "again.pef").read_bytes() != (folder / "plain.pef").read_bytes()


@pytest.mark.parametrize(
    ("pef", "options", "name", "seconds"),
    [
        ("plain.pef", [], "native:32768,1048576,33554432", 2 * 64 * 32 * 96 / 100e9),
        ("slow.pef", [], "a slow desk", 2 * 64 * 32 * 96 / 1e6),
        ("plain.pef", ["--machine", "slow.machine"], "a slow desk", 2 * 64 * 32 * 96 / 1e6),
    ],
)
def test_reports_tell_the_roofline_of_a_machine_by_name(folder, pef, options, name, seconds):
    told = json.loads(leat(folder, "info", pef, "--json", *options))
    fwd = next(section for section in told["sections"] if section["type"] == "fwd")
    assert told["machine"]["name"] == name
    memory = fwd["bytes"] / told["machine"]["read_bytes"]
    assert fwd["roofline_seconds"] == pytest.approx(max(seconds, memory), rel=1e-6)
    assert fwd["bound"] == ("memory" if memory > seconds else "compute")
    rows = list(csv.DictReader(io.StringIO(leat(folder, "info", pef, "--sections", *options))))
    row = next(row for row in rows if row["type"] == "fwd")
    assert row["machine"] == name and float(row["roofline_us"]) == pytest.approx(
        fwd["roofline_seconds"] * 1e6, abs=1e-3
    )
    leat(folder, "info", pef, "--graph", "net.svg", *options)
    leat(folder, "info", pef, "--graph", "net.dot", *options)
    assert name in (folder / "net.svg").read_text() and name in (folder / "net.dot").read_text()
    assert f"a core of {name}" in leat(folder, "info", pef, *options)


def test_a_profile_tells_the_roofline_of_the_file_s_machine(folder):
    np.save(folder / "x.npy", np.ones((64, 96), np.float32))
    np.save(folder / "w.npy", np.ones((32, 96), np.float32))
    words = ["--input", "image=x.npy", "--input", "weight=w.npy", "--profile", "--json", "--isa", "portable"]
    report = json.loads(leat(folder, "run", "slow.pef", "--threads", 1, *words))["report"]
    assert report["machine"] == {
        "name": "a slow desk", "built_in": False, "level": "portable", "f32": 1e6, "f64": 0.2e9, "read_bytes": 1e12,
    }  # fmt: skip
    fwd = next(section for section in report["sections"] if section["type"] == "fwd")
    assert fwd["roofline_seconds"] == pytest.approx(2 * 64 * 32 * 96 / 1e6, rel=1e-6) and fwd["bound"] == "compute"
    assert fwd["moved_bytes"] == (64 * 96 + 32 * 96 + 64 * 32) * 4 and fwd["dtype"] == "f32"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("l2_bytes: 65536\n", "bad.machine:1: a record of a machine begins with 'target: native'"),
        ("target: native\nl2_bytes: lots\n", "bad.machine:2: l2_bytes is 'lots', which is no whole number"),
        ("target: sn99\n", "of the target 'sn99', which is unknown"),
        ("", "bad.machine: nothing but blanks and comments; a record of a machine begins with 'target: native'"),
        ("target: native\n\x00\n", "bad.machine:2: character 1 is no text"),
    ],
)
def test_records_that_are_none_are_refused_with_their_line(folder, text, told):
    (folder / "bad.machine").write_text(text)
    for arguments in (["compile", "net.graph", "-o", "bad.pef", "--arch", "bad.machine"],):
        message = leat(folder, *arguments, code=1)
        assert told in message and message.count("\n") == 1
    assert not (folder / "bad.pef").exists()
    if "sn99" not in text:
        assert told in leat(folder, "info", "plain.pef", "--machine", "bad.machine", code=1)
    assert "missing.machine" in leat(folder, "compile", "net.graph", "--arch", "missing.machine", code=2)


@pytest.mark.parametrize("words", [["--json"], ["--sections"], ["--why"], ["--check"], ["--graph", "other.svg"], []])
def test_reports_refuse_a_machine_of_another_target(folder, words):
    (folder / "other.machine").write_text("target: sn20\nname: a chip\n")
    assert leat(folder, "info", "slow.pef", "--machine", "other.machine", *words, code=1) == (
        "leat: --machine other.machine: a record of the target 'sn20', and the PEF was compiled for 'native'\n"
    )
    assert not (folder / "other.svg").exists()


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("", "--name: name has 1 to 95 characters"),
        (" \t", "--name: name has 1 to 95 characters"),
        ("x" * 96, "--name: name has 1 to 95 characters"),
        ("a # b", "--name: name has a '#', which begins comments"),
        ("a\nlevel: avx2", "--name: name: character 2 is no text"),
    ],
)
def test_names_that_no_record_can_hold_are_refused_before_anything_is_measured(folder, name, told):
    assert leat(folder, "machine", "-o", "named.machine", "--name", name, code=1) == f"leat: {told}\n"
    assert not (folder / "named.machine").exists()


def test_a_smaller_batch_is_compiled_for_the_same_machine_without_its_file(tmp_path):
    """The file of the record may be gone when a last batch with fewer rows comes: the PEF has its text."""
    record = tmp_path / "gone.machine"
    record.write_text(RECORD)
    torch.manual_seed(1)
    model = nn.Linear(12, 5)
    expected = model(torch.ones(3, 12)).detach().clone()
    samba.from_torch_model_(model)
    inputs = (samba.randn(8, 12, name="x"),)
    config = {"output_folder": str(tmp_path), "pef_name": "rows", "arch": str(record)}
    pef = samba.session.compile(model, inputs, name="rows", config_dict=config, inference=True)
    record.unlink()
    samba.utils.trace_graph(model, inputs, pef=pef)
    (found,) = samba.session.run(
        input_tensors=[samba.from_torch_tensor(torch.ones(3, 12), name="x")],
        output_tensors=model.output_tensors,
        section_types=["fwd"],
    )
    torch.testing.assert_close(samba.to_torch(found), expected)
