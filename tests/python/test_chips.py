# SPDX-License-Identifier: Apache-2.0
"""leat plan: what it tells of a PEF on a chip, as text and as JSON, and what it refuses."""

import json
from pathlib import Path

import pytest
from support import leat

ARCH = Path(__file__).resolve().parent.parent / "arch"
TRACED = """leat.graph 1
%0 = symbol() {kind="input", name="image", requires_grad=0} : f32[64,96]
%1 = symbol() {kind="param", name="net__fc__weight", requires_grad=1} : f32[32,96]
%2 = linear(%0, %1, none) : f32[64,32] @ "net.fc" "net.py:3"
output(%2) {name="net__fc__logits", seed="one"}
"""
FFN0 = """leat.graph 1
%0 = symbol() {kind="input", name="x", requires_grad=0} : bf16[2048,12288]
%1 = symbol() {kind="param", name="w", requires_grad=0} : bf16[6144,12288]
%2 = linear(%0, %1, none) : bf16[2048,6144] @ "ffn0" "net.py:3"
output(%2) {name="y", seed="one"}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("chips")
    (folder / "net.graph").write_text(TRACED)
    leat(folder, "compile", "net.graph", "-o", "net.pef", "--arch", "native:32768,1048576,33554432")
    return folder


def plan(folder, *arguments):
    return json.loads(leat(folder, "plan", "net.pef", "--json", *arguments))


def test_a_plan_tells_every_section_and_what_bounds_it(folder):
    told = plan(folder, "--arch", "sn10")
    sections = json.loads(leat(folder, "info", "net.pef", "--json"))["sections"]
    assert told["chip"] == "sn10" and told["tiles"] == 4 and told["fits"]
    assert [section["type"] for section in told["sections"]] == [section["type"] for section in sections]
    assert told["memory_of_chip"] == 384e9 and told["memory_bytes"] > 64 * 96 * 4
    for section in told["sections"]:
        assert section["pcus"] >= section["stages"] >= 1 and section["pmus"] >= 0
        assert section["interval_seconds"] >= max(section["compute_seconds"], section["memory_seconds"])
        terms = ("arguments", "launch", "weights", "fill", "stream")
        assert section["call_seconds"] == pytest.approx(sum(section[f"{term}_seconds"] for term in terms))
        assert section["bound"] in ("compute", "memory", "fill", "weights", "load")
    run = sum(section["seconds"] for section in told["sections"] if section["type"] != "prepare")
    assert told["run_seconds"] == pytest.approx(run)


def test_a_shard_of_ffn0_exactly(folder):
    """The first feed-forward product of GPT3-175B, a shard of 8, as DFModel's log has it; weights come once besides."""
    (folder / "ffn0.graph").write_text(FFN0)
    leat(folder, "compile", "ffn0.graph", "-o", "ffn0.pef", "--inference", "--arch", "native:32768,1048576,33554432")
    told = json.loads(leat(folder, "plan", "ffn0.pef", "--arch", ARCH / "dfmodel.yaml", "--json"))
    section = next(section for section in told["sections"] if section["type"] == "fwd")
    assert section["tile_rows"] == 32 and section["tiles"] == 64 and section["pcus"] <= 640
    assert section["compute_cycles"] == section["interval_cycles"] == 24576
    assert section["stream_seconds"] == pytest.approx(1.258291e-3, abs=0.5e-9)
    assert section["weights_seconds"] == pytest.approx(6144 * 12288 * 2 / 100e9)


def test_numbers_that_nobody_has_published_are_listed(folder):
    def assumed(arch):
        return {row["fact"] for row in plan(folder, "--arch", arch)["assumed"] if "fact" in row}

    assert "ddr_effective" not in assumed("sn10") and "ddr_effective" in assumed("sn30")
    assert assumed("sn10") < assumed("sn20")
    text = leat(folder, "plan", "net.pef", "--arch", "sn30")
    assert "modelled" in text and "nothing was run" in text
    assert "ASSUMED" in text and "ddr_effective 1.5e+11" in text


def test_text_and_json_tell_the_same_sections(folder):
    text = leat(folder, "plan", "net.pef", "--arch", "tiny")
    for section in plan(folder, "--arch", "tiny")["sections"]:
        line = next(line for line in text.splitlines() if line.split()[:2] == [str(section["call"]), section["type"]])
        assert section["bound"] in line.split() and line.endswith(section["name"])


def test_a_chip_of_ones_own(folder):
    (folder / "slow.yaml").write_text("target: chip\nbase: sn10\nname: slow memory\nddr_tile: 1 GB/s\n")
    slow, fast = plan(folder, "--arch", "slow.yaml"), plan(folder, "--arch", "sn10")
    assert slow["chip"] == "slow memory" and slow["run_seconds"] > fast["run_seconds"]
    assert plan(folder, "--arch", ARCH / "half.yaml")["chip"] == "half the PCUs, twice the SRAM"
    modelled = plan(folder, "--arch", ARCH / "dfmodel.yaml")
    assert all(section["launch_seconds"] == 0 for section in modelled["sections"])


def test_tiles_of_a_chip(folder):
    assert plan(folder)["tiles"] == 8  # sn30
    assert plan(folder, "--num-tiles", 4)["tiles"] == 4
    assert "6 tiles of sn30" in leat(folder, "plan", "net.pef", "--num-tiles", 6, code=1)
    assert "16 tiles are more than the 8 of sn30" in leat(folder, "plan", "net.pef", "--num-tiles", 16, code=1)


def test_what_is_refused(folder):
    assert "--arch: 'sn11' is no chip: use sn10" in leat(folder, "plan", "net.pef", "--arch", "sn11", code=1)
    (folder / "bad.yaml").write_text("target: chip\nbase: sn10\npcus: many\n")
    told = leat(folder, "plan", "net.pef", "--arch", "bad.yaml", code=1)
    assert "bad.yaml:3: pcus is 'many', which is no number" in told
    assert "nothing.pef" in leat(folder, "plan", "nothing.pef", code=2)
    (folder / "small.yaml").write_text("target: chip\nbase: tiny\npmus: 1\n")
    told = leat(folder, "plan", "net.pef", "--arch", "small.yaml", code=4)
    assert "net.pef: section" in told and "PMUs for one row" in told and "more than the 0" in told
