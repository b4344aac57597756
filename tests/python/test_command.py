# SPDX-License-Identifier: Apache-2.0
"""The command `leat`, on PEFs that it compiles itself from graph text: no tracing is involved."""

import csv
import io
import json
import subprocess

import numpy as np
import pytest
import torch
from sambaflow import samba
from sambaflow._base import options as table
from support import leat, leat_command
from torch import nn

# A classifier whose logits do not depend on the label; named so that suffixes are told apart.
GRAPH = """leat.graph 1
%0 = symbol() {kind="input", name="image", requires_grad=0} : f32[4,6]
%1 = symbol() {kind="param", name="net__fc__weight", requires_grad=1} : f32[3,6]
%2 = symbol() {kind="param", name="net__fc__bias", requires_grad=1} : f32[3]
%3 = symbol() {kind="input", name="label", requires_grad=0} : i64[4]
%4 = linear(%0, %1, %2) : f32[4,3] @ "net.fc" "net.py:3"
%5 = cross_entropy(%4, %3, none) {ignore_index=-100, label_smoothing=0.0, reduction="mean"} : f32[] @ "net.loss" "net.py:4"
output(%5) {name="net__loss", seed="one"}
output(%4) {name="net__fc__logits", seed="zero"}
optimizer(%1, %2) {kind="sgd", lr=0.5, momentum=0.0, weight_decay=0.0, hyper="lr,momentum,weight_decay"}
"""  # noqa: E501
CODES = {"invalid": 1, "not found": 2, "corrupt": 3}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Both PEFs of GRAPH, and its tensors as .npy files."""
    folder = tmp_path_factory.mktemp("command")
    (folder / "net.graph").write_text(GRAPH)
    leat(folder, "compile", "net.graph", "-o", "train.pef")
    leat(folder, "compile", "net.graph", "-o", "infer.pef", "--inference")
    random = np.random.default_rng(3)
    np.save(folder / "x.npy", random.standard_normal((4, 6), dtype=np.float32))
    np.save(folder / "t.npy", np.array([0, 2, 1, 1]))
    np.save(folder / "w.npy", random.standard_normal((3, 6), dtype=np.float32))
    np.save(folder / "b.npy", random.standard_normal(3, dtype=np.float32))
    return folder


WEIGHTS = ["--input", "weight=w.npy", "--input", "bias=b.npy"]


def loss_and_gradient(folder):
    x, t, w, b = (np.load(folder / f"{name}.npy") for name in "xtwb")
    logits = x.astype(np.float64) @ w.T + b
    p = np.exp(logits - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    return logits, -np.log(p[np.arange(4), t]).mean(), (p - np.eye(3)[t]).T @ x / 4


def test_run_forward(folder):
    leat(folder, "run", "infer.pef", *WEIGHTS, "--input", "image=x.npy", "--input", "label=t.npy",
         "--output", "logits=y.npy", "--output", "0=loss.npy")  # fmt: skip
    logits, loss, _ = loss_and_gradient(folder)
    np.testing.assert_allclose(np.load(folder / "y.npy"), logits, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(np.load(folder / "loss.npy"), loss, rtol=1e-5)


@pytest.mark.parametrize("pef", ["infer.pef", "train.pef"])
def test_an_input_that_no_asked_output_reads_may_be_missing(folder, pef):
    leat(folder, "run", pef, *WEIGHTS, "--input", "image=x.npy", "--output", "logits=alone.npy")
    np.testing.assert_allclose(np.load(folder / "alone.npy"), loss_and_gradient(folder)[0], rtol=1e-5, atol=1e-6)
    message = leat(folder, "run", pef, *WEIGHTS, "--input", "image=x.npy", "--output", "loss=l.npy", code=1)
    assert "input label is missing" in message
    assert not (folder / "l.npy").exists()


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "before-1.6"])
@pytest.mark.parametrize("prefix", ["", "module.", "a.b."])
@pytest.mark.parametrize("container", [None, "model", "state_dict"])
def test_weights_of_a_checkpoint(folder, container, prefix, legacy):
    """Plain or under one key, beside which a checkpoint may hold other tensors; of a model that others wrap."""
    weight, bias = (torch.from_numpy(np.load(folder / f"{name}.npy")) for name in "wb")
    weights = {f"{prefix}fc.weight": weight, f"{prefix}fc.bias": bias}
    saved = weights
    if container:
        state = {i: {"exp_avg": torch.ones(3, 6)} for i in range(9)}
        saved = {
            "optimizer": {"state": state},
            container: weights,
            "momentum": {"fc.weight": torch.ones(3, 6)},
            "epoch": 3,
        }
    torch.save(saved, folder / "weights.pt", _use_new_zipfile_serialization=not legacy)
    leat(folder, "run", "infer.pef", "--weights", "weights.pt", "--input", "image=x.npy", "--output", "logits=z.npy")
    np.testing.assert_allclose(np.load(folder / "z.npy"), loss_and_gradient(folder)[0], rtol=1e-5, atol=1e-6)


def test_weights_that_do_not_fit(folder):
    torch.save({"fc.weight": torch.zeros(3, 6), "fc.scale": torch.zeros(3)}, folder / "wrong.pt")
    message = leat(folder, "run", "infer.pef", "--weights", "wrong.pt", code=7)
    assert "missing: net__fc__bias" in message and "not of the program: fc.scale" in message


def test_unused_entries_of_weights_may_be_let_through(folder):
    weight, bias = (torch.from_numpy(np.load(folder / f"{name}.npy")) for name in "wb")
    torch.save(
        {"fc.weight": weight, "window": torch.ones(3), "fc.bias": bias, "fc.scale": bias.clone()}, folder / "more.pt"
    )
    arguments = ["run", "infer.pef", "--weights", "more.pt", "--input", "image=x.npy", "--output", "logits=z.npy"]
    assert "not of the program: window, fc.scale" in leat(folder, *arguments, code=7)
    done = subprocess.run(
        [leat_command(), *arguments, "--allow-unused"], cwd=folder, capture_output=True, text=True, check=True
    )
    assert done.stderr == "[warning samba] more.pt: not used by the program: window, fc.scale\n"
    np.testing.assert_allclose(np.load(folder / "z.npy"), loss_and_gradient(folder)[0], rtol=1e-5, atol=1e-6)
    torch.save({"fc.weight": weight, "window": torch.ones(3)}, folder / "less.pt")
    message = leat(folder, "run", "infer.pef", "--weights", "less.pt", "--allow-unused", code=7)
    assert "missing: net__fc__bias" in message and "window" not in message


def test_a_second_name_of_a_tied_weight_is_no_entry_too_many(folder):
    weight, bias = (torch.from_numpy(np.load(folder / f"{name}.npy")) for name in "wb")
    arguments = ["run", "infer.pef", "--weights", "tied.pt", "--input", "image=x.npy", "--output", "logits=z.npy"]
    torch.save({"fc.weight": weight, "fc.bias": bias, "head.weight": weight}, folder / "tied.pt")
    leat(folder, *arguments)
    np.testing.assert_allclose(np.load(folder / "z.npy"), loss_and_gradient(folder)[0], rtol=1e-5, atol=1e-6)
    torch.save({"fc.weight": weight, "fc.bias": bias, "head.weight": weight.clone()}, folder / "tied.pt")
    assert "not of the program: head.weight" in leat(folder, *arguments, code=7)


def test_old_names_of_weight_norm_and_old_batch_norms_fit(folder, tmp_path):
    norm = nn.utils.parametrizations.weight_norm
    model = nn.Sequential(norm(nn.Linear(3, 4)), nn.BatchNorm1d(4), norm(nn.Linear(4, 2), dim=None)).eval()
    state = {key: value.detach().clone() for key, value in model.state_dict().items()}
    old = {key.replace("parametrizations.weight.original0", "weight_g").replace(
        "parametrizations.weight.original1", "weight_v"): value for key, value in state.items()
        if "num_batches" not in key}  # fmt: skip
    x = torch.randn(5, 3)
    want = model(x).detach()
    torch.save(old, tmp_path / "old.pt")
    np.save(tmp_path / "x.npy", x.numpy())
    samba.from_torch_model_(model)
    samba.session.compile(model, (samba.from_torch_tensor(x, name="x"),), inference=True,
                          config_dict={"output_folder": str(tmp_path), "pef_name": "n"})  # fmt: skip
    leat(tmp_path, "run", "n/n.pef", "--weights", "old.pt", "--input", "x=x.npy", "--output", "0=y.npy")
    np.testing.assert_allclose(np.load(tmp_path / "y.npy"), want, rtol=1e-5, atol=1e-6)


def test_run_trains(folder):
    leat(folder, "run", "train.pef", *WEIGHTS, "--input", "image=x.npy", "--input", "label=t.npy", "--section", "all",
         "--set", "lr=0.25", "--output", "weight=after.npy", "--output", "weight__grad=grad.npy")  # fmt: skip
    gradient = loss_and_gradient(folder)[2]
    np.testing.assert_allclose(np.load(folder / "grad.npy"), gradient, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(np.load(folder / "after.npy"), np.load(folder / "w.npy") - 0.25 * gradient, rtol=1e-5)


def test_run_reports(folder):
    printed = leat(folder, "run", "infer.pef", *WEIGHTS, "--input", "image=x.npy", "--output", "logits=y.npy",
                   "--steps", "5", "--threads", "1", "--isa", "avx2", "--profile", "--json")  # fmt: skip
    report = json.loads(printed)
    assert report["steps"] == 5 and report["threads"] == 1 and report["median_us"] > 0 and report["report"]


def test_a_profile_without_json_is_a_table(folder):
    printed = leat(folder, "run", "train.pef", *WEIGHTS, "--input", "image=x.npy", "--input", "label=t.npy",
                   "--section", "all", "--steps", "3", "--threads", "1", "--profile")  # fmt: skip
    lines = printed.splitlines()
    assert lines[0].startswith("3 steps on 1 thread, median ") and "{" not in printed
    rows = [line.split() for line in lines[lines.index("") + 3 :]]
    sections = [row for row in rows if row[0].isdigit()]
    assert {row[1] for row in sections} >= {"fwd", "bckwd", "opt"} and all(row[2] == "3" for row in sections)
    assert sum(float(row[4].rstrip("%")) for row in sections) == pytest.approx(100, abs=1)
    assert any(row[1:3] == ["contract", "net.fc"] for row in rows)


@pytest.mark.parametrize("count", ["0", "many", "1025"])
def test_a_wrong_number_of_threads_in_the_environment(folder, monkeypatch, count):
    monkeypatch.setenv("LEAT_NUM_THREADS", count)
    message = leat(folder, "run", "infer.pef", code=CODES["invalid"])
    assert f"LEAT_NUM_THREADS='{count}': a number of threads from 1 to 1024 is expected" in message


def test_info(folder):
    facts = json.loads(leat(folder, "info", "train.pef", "--json"))
    assert {symbol["name"] for symbol in facts["symbols"] if symbol["kind"] == "input"} == {"image", "label"}
    assert {"fwd", "bckwd", "opt"} <= {section["type"] for section in facts["sections"]}
    assert facts["memory"]["peak"] > 0 and not facts["inference"]
    text = leat(folder, "info", "train.pef")
    assert "net__fc__weight" in text and "training" in text
    buffers = [buffer for section in facts["sections"] for buffer in section["tile_buffers"]]
    assert buffers and all(buffer["bytes"] > 0 and buffer["first_stage"] < buffer["last_stage"] for buffer in buffers)
    assert "tile buffers (" in text and buffers[0]["shape"] in text and buffers[0]["name"] in text
    assert {section["type"] for section in json.loads(leat(folder, "info", "infer.pef", "--json"))["sections"]} <= {
        "fwd",
        "prepare",
    }


@pytest.mark.parametrize(
    "arguments, code, words",
    [
        (["nonsense"], "invalid", ["no command 'nonsense'"]),
        (["info"], "invalid", ["info takes 1 file"]),
        (["info", "nothing.pef"], "not found", ["nothing.pef"]),
        (["info", "x.npy"], "corrupt", ["x.npy", "not a PEF"]),
        (["run", "train.pef", "--frobnicate"], "invalid", ["no option --frobnicate"]),
        (["run", "train.pef", "--threads", "many"], "invalid", ["--threads 'many': a whole number from 1 to 1024"]),
        (["run", "train.pef", "--threads", "0"], "invalid", ["--threads 0: 1 to 1024 is legal"]),
        (["run", "train.pef", "--threads", "1025"], "invalid", ["--threads 1025: 1 to 1024 is legal"]),
        (["run", "train.pef", "--steps", "0"], "invalid", ["--steps 0: 1 to 1000000000 is legal"]),
        (["run", "train.pef", "--steps", "-1"], "invalid", ["--steps '-1': a whole number"]),
        (["run", "train.pef", "--steps="], "invalid", ["--steps '': a whole number"]),
        (["run", "train.pef", "--steps", "99999999999999999999"], "invalid", ["--steps 99999999999999999999: 1 to"]),
        (["machine", "--threads", "0"], "invalid", ["--threads 0: 1 to 1024 is legal"]),
        (["run", "train.pef", "--section", "sideways"], "invalid", ["--section sideways"]),
        (["run", "infer.pef", "--input", "image"], "invalid", ["name=value"]),
        (["run", "infer.pef", "--output", "net=y.npy"], "invalid", ["net__loss", "net__fc__logits"]),
        (["run", "infer.pef", "--output", "7=y.npy"], "not found", ["no number 7"]),
        (["run", "infer.pef", "--input", "picture=x.npy"], "not found", ["picture", "image", "label"]),
        (["run", "infer.pef", "--input", "image=t.npy"], "invalid", ["i64[4]", "f32[4,6]"]),
        (["run", "infer.pef", "--input", "image=none.npy"], "not found", ["none.npy"]),
        (["run", "infer.pef", "--input", "image=net.graph"], "corrupt", ["net.graph"]),
        (["run", "infer.pef", "--weights", "none.pt"], "not found", ["none.pt"]),
        (["run", "train.pef", "--set", "speed=1"], "not found", ["speed", "lr"]),
        (["run", "train.pef", "--set", "lr=fast"], "invalid", ["not a number"]),
        (["run", "train.pef", "--set", "lr=0.1x"], "invalid", ["'0.1x' is not a number"]),
        (["compile", "net.graph", "--pef", "a.pef", "--pef-name", "a"], "invalid", ["--pef excludes --pef-name"]),
        (["compile", "net.graph", "-o", "x.pef", "-b", "8"], "invalid", ["-b", "graph text"]),
        (["compile", "net.graph", "-o", "x.pef", "--pef", "y.pef"], "invalid", ["-o excludes --pef:"]),
        (["compile", "net.graph", "-o", "x.pef", "--output-folder", "y"], "invalid", ["-o excludes --output-folder:"]),
        (["compile", "net.graph", "-o", "x.pef", "--max-memory", "0"], "invalid", ["--max-memory 0: 1 to"]),
        (["opt", "net.graph", "--pef-name", "x"], "invalid", ["--pef-name does nothing in leat opt"]),
        (["compile", "net.graph", "-o", "x.pef", "--compilr-mode", "nlp"], "invalid", ["mean '--compiler-mode'"]),
        (["compile", "net.graph", "-o", "x.pef", "--num-tiles", "3"], "invalid", ["1, 2, 4 or 8 is legal"]),
        (["compile", "net.graph", "-o", "x.pef", "-ws", "2"], "invalid", ["needs --data-parallel"]),
        (["compile", "net.graph", "-o", "no/such/folder/x.pef"], "not found", ["no/such/folder"]),
        (["compile", "x.npy", "-o", "x.pef"], "invalid", ["x.npy"]),
    ],
)
def test_wrong_usage(folder, arguments, code, words):
    message = leat(folder, *arguments, code=CODES[code])
    assert all(word in message for word in words), message


def test_section_that_is_not_there(folder):
    inputs = ["--input", "image=x.npy", "--input", "label=t.npy"]
    leat(folder, "run", "infer.pef", *inputs, "--section", "opt", code=CODES["invalid"])


@pytest.mark.parametrize("command", [[], ["info"], ["run"], ["compile"]])
def test_help_teaches(folder, command):
    printed = leat(folder, *command, "--help")
    assert "leat " in printed and (not command or "examples:" in printed)


def test_help_lists_what_the_command_takes(folder):
    printed = leat(folder, "compile", "--debug", "--help")
    named = {word.strip(",") for line in printed.splitlines() for word in line.split() if line.startswith("  -")}
    options = [o for o in table.options() if "compile" in o.commands and o.same_as is None and o.state == "works"]
    assert any(o.name in named for o in options) and any(o.name not in named for o in options)
    for option in options:
        value = [] if option.type == "flag" else ["1"]
        done = subprocess.run([leat_command(), "compile", "net.graph", option.name, *value], cwd=folder,
                              capture_output=True, text=True)  # fmt: skip
        assert ("does nothing in leat compile" in done.stderr) == (option.name not in named), (option.name, done.stderr)


def test_version(folder):
    assert leat(folder, "--version").startswith("leat 0.")


def test_opt_runs_the_named_passes(folder):
    listed = leat(folder, "opt", "--list")
    passes = [line.split()[0] for line in listed.splitlines()]
    assert passes.index("lower") < passes.index("grad") < passes.index("dce")
    lowered = leat(folder, "opt", "net.graph", "--passes", "lower-rest,fold,dce", "--verify=each")
    assert lowered.startswith("leat.graph 1\n") and "linear(" not in lowered and "prim.contract" in lowered
    again = folder / "lowered.graph"
    again.write_text(lowered)
    assert leat(folder, "opt", again, "--passes", "dce") == lowered  # nothing is left to remove, printing is canonical


def test_opt_dumps_every_pass_of_a_compile(folder):
    dumped = leat(folder, "opt", "net.graph", "--dump", "--disable", "cse")
    seen = [line.split()[2].rstrip(":") for line in dumped.splitlines() if line.startswith("# after")]
    assert seen[-1] == "settle" and "grad" in seen and "cse" not in seen
    rounded = leat(folder, "opt", "net.graph", "--passes", "precision", "--graphamp-preset", "mp1")
    assert rounded.count(": bf16[") == 2
    leat(folder, "opt", "net.graph", "--passes", "lower,grad", "--output", "grad.graph")
    assert "net__fc__weight__grad" in (folder / "grad.graph").read_text()


def test_opt_refusals(folder):
    assert "lower-rest" in leat(folder, "opt", "net.graph", "--passes", "lowe", code=1)
    assert "each or end" in leat(folder, "opt", "net.graph", "--verify", "never", code=1)
    assert "needs a file" in leat(folder, "opt", code=1)


def test_info_proves_the_plan(folder):
    assert leat(folder, "info", "train.pef", "--check") == "train.pef: the plan of memory and barriers is legal\n"
    assert "different outputs" in leat(folder, "info", "train.pef", "--check", "--json", code=CODES["invalid"])


def test_info_draws_and_tabulates(folder):
    leat(folder, "info", "train.pef", "--graph", "train.svg")
    assert (folder / "train.svg").read_text().startswith("<svg ")
    rows = leat(folder, "info", "train.pef", "--sections").splitlines()
    sections = json.loads(leat(folder, "info", "train.pef", "--json"))["sections"]
    assert len(rows) == len(sections) + 1 and rows[0].startswith("section,type,name,why,")
    assert len(leat(folder, "info", "train.pef", "--why").splitlines()) >= len(sections)


def test_info_says_what_stages_cost(folder):
    sections = json.loads(leat(folder, "info", "train.pef", "--json"))["sections"]
    stages = list(csv.DictReader(io.StringIO(leat(folder, "info", "train.pef", "--stages"), newline="")))
    for section in sections:
        kinds = [stage["kind"] for stage in stages if int(stage["body"]) == section["body"]]
        assert kinds == [stage["kind"] for stage in section["stages"]]
    product = next(stage for stage in stages if stage["kind"] == "contract")
    assert int(product["flops"]) == 2 * 4 * 6 * 3 and "linear" in product["origin"]
    assert int(product["argument_bytes_in"]) == 4 * (4 * 6 + 3 * 6)  # the weights count once, not once a row
    assert product["shapes"].startswith("f32[4,6] f32[3,6] > f32[")
    assert sum(int(stage["flops"]) for stage in stages if stage["kind"] == "map") > 0
    assert ".svg or a .dot" in leat(folder, "info", "train.pef", "--graph", "train.png", code=1)


def test_info_tells_where_rules_matched(folder):
    leat(folder, "compile", "net.graph", "-o1", "--pef-name", "grouped", "--output-folder", ".")
    told = leat(folder / "grouped", "info", "grouped.pef", "--why")
    assert "fwd       net.fc: a group of its own" in told
    assert "rule gemm" in told and "net.fc, net.py:3" in told


def test_examples_are_listed_and_copied(tmp_path):
    listed = leat(tmp_path, "examples")
    assert "lenet.py" in listed and "tinygpt.py" in listed and "LeNet" in listed
    leat(tmp_path, "examples", "--copy", "mine")
    assert (tmp_path / "mine/lenet.py").is_file() and (tmp_path / "mine/common/loops.py").is_file()
    assert not list(tmp_path.glob("mine/**/__pycache__"))
    assert "mine exists already" in leat(tmp_path, "examples", "--copy", "mine", code=CODES["invalid"])
    leat(tmp_path, "examples", "--copy", "no/such/folder", code=6)
