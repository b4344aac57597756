# SPDX-License-Identifier: Apache-2.0
"""Mapping decisions: written by the compiler, read back as they are, edited, and refused with a reason."""

import json
from pathlib import Path

import pytest
import torch
from sambaflow import samba
from sambaflow._runtime.device import Device
from test_command import GRAPH, leat
from test_compile_modes import compile_and_train, compile_deep, compile_gpt2, sections_of

pytest.importorskip("sambaflow._leat")


@pytest.mark.shows("--generate-mapping-decisions")
def test_what_is_written_reads_back_to_the_same_bytes(tmp_path):
    (tmp_path / "net.graph").write_text(GRAPH)
    (tmp_path / "out").mkdir()
    folder = ["--output-folder", "out", "--pef-name"]
    leat(tmp_path, "compile", "net.graph", *folder, "plain")
    leat(tmp_path, "compile", "net.graph", *folder, "writes", "--generate-mapping-decisions")
    decisions = "out/writes/decisions.json"
    leat(tmp_path, "compile", "net.graph", *folder, "reads", "--mac-human-decision", decisions)
    plain, writes, reads = ((tmp_path / "out" / n / f"{n}.pef").read_bytes() for n in ("plain", "writes", "reads"))
    assert plain == writes == reads
    assert not (tmp_path / "out" / "plain" / "decisions.json").exists()
    read = json.loads((tmp_path / decisions).read_text())
    assert read["version"] == 1 and [section["type"] for section in read["sections"]] == ["fwd", "bckwd", "opt"]
    first = {"op": "contract", "traced": "linear", "module": "net.fc", "source": "net.py:3", "number": 0}
    assert read["sections"][0]["ops"][0] == first and read["sections"][0]["name"] == "net.fc .. net.loss"


@pytest.mark.parametrize("name", ["lenet", "gpt2", "llama"])
def test_models_train_the_same_from_their_decisions(name, tmp_path):
    cutter = compile_and_train(name, "o3", tmp_path, pef_name="cutter", generate_mapping_decisions=True)
    path = str(tmp_path / "cutter" / "decisions.json")
    decided = compile_and_train(name, "o3", tmp_path, pef_name="decided", mac_human_decision=path)
    assert Device(cutter[3]).report()["sections"] == Device(decided[3]).report()["sections"]
    assert cutter[0] == decided[0] and torch.equal(cutter[1], decided[1])
    assert all(torch.equal(cutter[2][key], decided[2][key]) for key in cutter[2])


def chain():
    torch.manual_seed(2)
    return torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.Tanh(), torch.nn.Linear(64, 64), torch.nn.Tanh())


@pytest.fixture
def edited(tmp_path):
    """Compiles a chain of two layers as `change` leaves its decisions: its forward sections and its result."""
    x = torch.randn(256, 64, generator=torch.Generator().manual_seed(1))

    def run(name, **config):
        model = chain()
        pef = compile_deep(tmp_path, name, model, x, **config)
        inputs = (samba.from_torch_tensor(x, name="x", batch_dim=0),)
        outputs = samba.utils.trace_graph(model, inputs, pef=pef)
        (result,) = samba.session.run(input_tensors=inputs, output_tensors=outputs)
        return sections_of(pef), samba.to_torch(result).clone(), pef

    plain = run("plain", generate_mapping_decisions=True)

    def compile_edited(name, change):
        decisions = json.loads((tmp_path / "plain" / "decisions.json").read_text())
        change(decisions)
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps(decisions))
        return run(name, mac_human_decision=str(path))

    return plain, compile_edited


def forward_of(decisions):
    return [section for section in decisions["sections"] if section["type"] == "fwd"]


def split(decisions):
    """The forward section ends before its second product."""
    (section,) = forward_of(decisions)
    second = [i for i, op in enumerate(section["ops"]) if op["op"] == "contract"][1]
    tail = {**section, "ops": section["ops"][second:], "why": "I want it so"}
    section["ops"] = section["ops"][:second]
    decisions["sections"].insert(decisions["sections"].index(section) + 1, tail)


@pytest.mark.shows("--mac-human-decision")
def test_sections_are_split_and_merged_by_hand(edited):
    (sections, result, _), compile_edited = edited
    assert result.abs().max() > 0.1

    def split_and_merge(decisions):
        split(decisions)
        head, tail = forward_of(decisions)
        head["ops"] += tail["ops"]
        decisions["sections"].remove(tail)

    def one_row(decisions):
        forward_of(decisions)[0]["rows"] = 1

    def thin(decisions):
        del forward_of(decisions)[0]["rows"]
        forward_of(decisions)[0]["tile_rows"] = 32

    two, two_result, pef = compile_edited("two", split)
    assert len(two) == 2 and len(sections) == 1
    assert "I want it so" in (Path(pef).parent / "sections.csv").read_text()
    merged, merged_result, _ = compile_edited("merged", split_and_merge)
    assert merged == sections
    whole, whole_result, _ = compile_edited("whole", one_row)
    assert [section["tiles"] for section in whole] == [1]
    tiles, tiles_result, _ = compile_edited("thin", thin)
    assert tiles[0]["tiles"] == 8
    for other in (two_result, merged_result, whole_result, tiles_result):
        torch.testing.assert_close(other, result)


def reverse(decisions):
    split(decisions)
    decisions["sections"].reverse()


def change_op(**members):
    return lambda decisions: forward_of(decisions)[0]["ops"][0].update(members)


def change_section(**members):
    return lambda decisions: forward_of(decisions)[0].update(members)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(version=2), 'version" must be 1'),
        (lambda d: d.update(section=[]), 'the file has no member "section"'),
        (lambda d: d.update(sections={}), 'sections" is missing, or not a list'),
        (change_section(type="forward"), "there is no section type 'forward'"),
        (change_section(type="bckwd"), "is of type fwd"),
        (change_section(row=4), 'a section has no member "row"'),
        (change_section(rows=0), 'rows" is not an integer from 1'),
        (change_section(rows=7), "cannot go through the 7 rows of its section"),
        (change_section(ops=[]), 'ops" is missing'),
        (change_op(number=77), "the program has no op 'contract' number 77 from 'linear'"),
        (change_op(module="other"), "module other"),
        (lambda d: forward_of(d)[0]["ops"].append(forward_of(d)[0]["ops"][0]), "is in section . already"),
        (lambda d: forward_of(d)[0]["ops"].pop(), "is in no section"),
        (reverse, "sections cannot run in this order: op .* reads what op .* computes in section"),
    ],
)
def test_what_is_wrong_is_said_with_the_file(change, message, edited):
    with pytest.raises(Exception, match=f"wrong.json: .*{message}"):
        edited[1]("wrong", change)


def test_bad_json_has_a_position(tmp_path):
    (tmp_path / "net.graph").write_text(GRAPH)
    (tmp_path / "bad.json").write_text('{"version": 1,\n  "sections": [}\n')
    error = leat(tmp_path, "compile", "net.graph", "-o", "x.pef", "--mac-human-decision", "bad.json", code=1)
    assert "bad.json: line 2, column 16: this is not JSON" in error
    assert not (tmp_path / "x.pef").exists()


def test_decisions_are_for_the_whole_graph(tmp_path):
    (tmp_path / "net.graph").write_text(GRAPH)
    for level in ("-o0", "-o1"):
        error = leat(tmp_path, "compile", "net.graph", level, "--generate-mapping-decisions", code=4)
        assert "mapping decisions say where the whole graph is cut" in error and "compile with -o3" in error
    with pytest.raises(Exception, match="mapping decisions say where the whole graph is cut"):
        compile_gpt2(3, "o3", tmp_path, compiler_mode="nlp", generate_mapping_decisions=True)
    error = leat(tmp_path, "compile", "net.graph", "-o", "x.pef", "--generate-mapping-decisions", code=1)
    assert "go to the folder of the reports, and there is none" in error
