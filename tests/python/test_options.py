# SPDX-License-Identifier: Apache-2.0
"""Every option of the table: its effect on the PEF or the run, or how it is refused.

A mark `shows` names the options whose effect a test shows; docs/options.md is made from these marks.
"""

import csv
import io
import json
import logging
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from sambaflow import logging as sambaflow_logging
from sambaflow import samba
from sambaflow._base import options as table
from sambaflow._base.library import UnsupportedError
from sambaflow._runtime.device import Device
from sambaflow.logging import samba_logger
from sambaflow.samba import utils
from sambaflow.samba.utils import benchmark_acc
from sambaflow.samba.utils.argparser import parse_app_args
from support import ROOT
from torch import nn

sys.path.insert(0, str(ROOT / "tools"))
import gen_options  # noqa: E402


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1, self.fc2, self.criterion = nn.Linear(12, 16), nn.Linear(16, 4), nn.CrossEntropyLoss()

    def forward(self, image, label):
        logits = self.fc2(torch.relu(self.fc1(image)))
        return self.criterion(logits, label), logits


@pytest.fixture(autouse=True)
def own_arguments():
    """Options of a test do not reach the next one."""
    yield
    samba.session.args = None


def program(batch=4):
    torch.manual_seed(0)
    model = Net()
    samba.from_torch_model_(model)
    inputs = (samba.randn(batch, 12, name="image"), samba.randint(4, (batch,), name="label"))
    return model, inputs, samba.optim.SGD(model.parameters(), lr=0.1)


def compiled(folder, *argv, name="net", **options):
    """Runs `compile` with these options; the path of the PEF."""
    args = parse_app_args(["compile", "--output-folder", str(folder), "--pef-name", name, "-b", "4", *argv], **options)
    model, inputs, optimizer = program(args.batch_size)
    return Path(samba.session.compile(model, inputs, None if args.inference else optimizer, name=name))


def leat_facts(pef):
    return Device(str(pef)).metadata["leat"]


def rows_of(pef):
    with open(pef.parent / "sections.csv", newline="") as file:
        return list(csv.DictReader(file))


def named(state):
    return [pytest.param(o, id=o.dest) for o in table.options() if o.state == state and o.same_as is None]


def sample(option):
    """Words that give the option a legal value other than its default."""
    match option.type:
        case "flag":
            return [option.name]
        case "numbers":
            return [option.name, "1", "0.5", "0.5"]
        case "bool":
            return [option.name, "false"]
        case "int" | "float" if not option.choices:
            return [option.name, "2"]
    return [option.name, option.choices[-1] if option.choices else "text"]


# ---- the table as a whole


def test_the_page_is_current_and_every_row_has_a_test(capsys):
    assert gen_options.main(["--check"]) == 0, capsys.readouterr().out


def test_every_row_is_whole():
    for option in table.options():
        assert option.help and option.commands and (option.effect or option.same_as), option.names
        assert option.type == "flag" or option.default is None or table.check_value(
            option, table.text_of(option, option.default)) is None  # fmt: skip


@pytest.mark.shows("idle")
@pytest.mark.parametrize("option", named("idle"))
def test_options_without_effect_say_why(option, tmp_path, capsys):
    if any(pair["kind"] == "needs" and pair["option"] == option.name for pair in table.together()):
        with pytest.raises(SystemExit):
            parse_app_args(["compile", *sample(option)])
        assert f"{option.name} needs" in capsys.readouterr().err
        return
    if "compile" not in option.commands:
        for command in option.commands:
            parse_app_args([command, "--pef", "x.pef", *sample(option)])
            assert f"has no effect on native: {option.effect}" in capsys.readouterr().out
        return
    pef = compiled(tmp_path, *sample(option))
    assert f"[warning samba] {'/'.join(option.names)}" in capsys.readouterr().out
    assert f"has no effect on native: {option.effect}" in (tmp_path / "net" / "net.samba.log").read_text()
    plain = compiled(tmp_path, name="plain")
    assert [row["ops"] for row in rows_of(pef)] == [row["ops"] for row in rows_of(plain)]


@pytest.mark.shows("later")
@pytest.mark.parametrize("option", named("later"))
def test_options_that_come_later_are_refused(option, tmp_path, capsys):
    needed = [w for pair in table.together() if pair["kind"] == "needs" and pair["option"] == option.name
              for w in sample(table.by_dest()[pair["other"].lstrip("-").replace("-", "_")])]  # fmt: skip
    for command in option.commands:
        if command != "compile" and option.compiles:
            continue  # compared with the PEF
        with pytest.raises(SystemExit):
            parse_app_args([command, *(["-p", "x"] if command == "run" else []), *sample(option), *needed])
        assert "not yet available" in capsys.readouterr().err
    if "compile" in option.commands and not needed:
        model, inputs, optimizer = program()
        value = True if option.type == "flag" else table.by_dest()[option.dest].value(" ".join(sample(option)[1:]))
        config = {"output_folder": str(tmp_path), "pef_name": "x", option.dest: value}
        with pytest.raises((UnsupportedError, FileNotFoundError)):
            samba.session.compile(model, inputs, optimizer, config_dict=config)
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "argv, message",
    [
        (["-b", "0"], "1 to 1048576 is legal"),
        (["--n-chips", "9"], "1 to 8 is legal"),
        (["--num-tiles", "3"], "1, 2, 4 or 8 is legal"),
        (["--arch", "SN20"], "sn20"),
        (["--tensor-parallel", "both"], "batch or weight is legal"),
        (["--tensor-parallel"], "expected one argument"),
        (["--resources-scaling-factors", "1", "0.8"], "3 numbers"),
        (["--resources-scaling-factors", "1", "0.8", "-1"], "0.01 to 16 is legal"),
        (["--compiler-mode", "cv"], "nlp is legal"),
        (["--graphamp-preset", "mp2"], "mp0, mp1 or mp4 is legal"),
        (["--o1-rule-list", "gpt-neox"], "gpt-neox-training is legal"),
        (["--log-level", "loud"], "debug, info, warning or error is legal"),
        (["-ws", "2"], "needs --data-parallel"),
        (["--model-parallel"], "needs --mac-human-decision"),
        (["-o0", "-o3"], "excludes"),
        (["-b", "6", "-mb", "4"], "does not divide"),
        (["--mac-human-decision", "a.json", "--generate-mapping-decisions"], "excludes"),
        (["--compilr-mode", "nlp"], "did you mean --compiler-mode"),
        (["-psz", "8"], "unrecognized arguments: -psz"),
        (["--use-o1-default-rules", "maybe"], "true or false is legal"),
    ],
)
def test_illegal_values_and_combinations(argv, message, capsys):
    with pytest.raises(SystemExit) as error:
        parse_app_args(["compile", *argv])
    assert error.value.code == 2 and message in capsys.readouterr().err


def test_forms_of_one_value():
    for form in (["-b", "4"], ["-b=4"], ["-b4"], ["--batch-size=4"], ["--batch-size", "4"]):
        assert parse_app_args(["compile", *form]).batch_size == 4
    for form in (["1", "0.8", "0.8"], ["1 0.8 0.8"]):
        args = parse_app_args(["compile", "--resources-scaling-factors", *form])
        assert args.resources_scaling_factors == [1.0, 0.8, 0.8]


def test_help_shows_common_options_and_with_debug_all(capsys):
    texts = []
    for argv in (["compile", "--help"], ["compile", "--debug", "--help"]):
        with pytest.raises(SystemExit) as done:
            parse_app_args(argv)
        assert done.value.code == 0
        texts.append(capsys.readouterr().out)
    assert "--pef-name" in texts[0] and "how it is compiled" in texts[0] and "--mac-v1" not in texts[0]
    missing = [o.name for o in table.options() if "compile" in o.commands and o.name not in texts[1]]
    assert missing == []


def test_help_tells_values_states_and_the_way_to_more(capsys):
    def hook(parser):
        parser.add_argument("--data", help="of the program")

    texts = {}
    for words in ("compile", "run", ""):
        with pytest.raises(SystemExit) as done:
            parse_app_args([*words.split(), "--help"], common_parser_fn=hook)
        assert done.value.code == 0
        texts[words] = capsys.readouterr().out
    lines = [" ".join(line.split()) for line in texts["compile"].splitlines()]
    assert "--microbatch-size N" in texts["compile"] and "--output-folder FOLDER" in texts["compile"]
    assert "MICROBATCH" not in texts["compile"] and "-b N" not in texts["compile"]  # one value after all names
    assert any(line.startswith("-b, --batch-size N ") for line in lines)
    assert "[not yet available]" in texts["compile"] and "[no effect on native]" in texts["compile"]
    assert "--debug --help" in texts["compile"] and "of the program" in texts["run"]
    assert all(command in texts[""] and "COMMAND --help" in texts[""] for command in table.COMMANDS)


# ---- what is compiled


@pytest.mark.shows("--batch-size")
def test_batch_size(tmp_path):
    pef = compiled(tmp_path)
    assert leat_facts(pef)["batch_size"] == 4
    parse_app_args(["run", "-p", str(pef), "-b", "8"])
    model, inputs, optimizer = program()
    with pytest.raises(ValueError, match="--batch-size 8 differs"):
        utils.trace_graph(model, inputs, optimizer, pef=str(pef))


@pytest.mark.shows("--inference")
def test_inference(tmp_path):
    assert {row["type"] for row in rows_of(compiled(tmp_path))} == {"fwd", "bckwd", "opt"}
    assert {row["type"] for row in rows_of(compiled(tmp_path, "--inference"))} <= {"fwd", "prepare"}


# ---- files


@pytest.mark.shows("--pef-name", "--output-folder")
def test_names_and_folders(tmp_path, monkeypatch):
    assert compiled(tmp_path, name="a.pef") == tmp_path / "a" / "a.pef"
    monkeypatch.chdir(tmp_path)
    parse_app_args(["compile", "--pef-name", "b.pef"])
    model, inputs, optimizer = program()
    assert samba.session.compile(model, inputs, optimizer) == "./out/b/b.pef" and Path("out/b/b.pef").exists()
    assert compiled(tmp_path / "new" / "folder") == tmp_path / "new/folder/net/net.pef"


@pytest.mark.shows("--pef")
def test_the_pef_is_one_path_for_every_command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    model, inputs, optimizer = program()
    for path in ("app.pef", "some/where/app.pef", "plain"):
        parse_app_args(["compile", "-b=4", "-mb=2", "-p", path])
        assert samba.session.compile(model, inputs, optimizer) == path
        args = parse_app_args(["run", "-b=4", "-mb=2", "-p", path])
        outputs = utils.trace_graph(model, inputs, optimizer, pef=args.pef)
        assert samba.session.run(inputs, outputs)[1].shape == (4, 4)
    assert sorted(p.name for p in Path("some/where").iterdir())[:3] == ["app.mac.log", "app.pef", "app.samba.log"]
    assert samba.session.compile(model, inputs, optimizer, config_dict={"pef_name": "own"}) == "./out/own/own.pef"
    for other in ("--pef-name", "--output-folder"):
        with pytest.raises(SystemExit):
            parse_app_args(["compile", "-p", "x.pef", other, "y"])
        assert f"--pef excludes {other}" in capsys.readouterr().err
    parse_app_args(["compile", "-p", "some"])
    with pytest.raises(ValueError, match="some is a folder"):
        samba.session.compile(model, inputs, optimizer)


def test_run_needs_a_pef(capsys):
    with pytest.raises(SystemExit):
        parse_app_args(["run"])
    assert "--pef" in capsys.readouterr().err
    assert parse_app_args(["run", "-p=x.pef"]).pef == "x.pef"


@pytest.mark.shows("--yaml-config")
def test_yaml_fills_options(tmp_path):
    (tmp_path / "c.yaml").write_text("batch-size: 8\nresources_scaling_factors: [1, 1, 1]\nmine: here\n")
    args = parse_app_args(["test", "-b", "2", "--yaml-config", str(tmp_path / "c.yaml")])
    assert (args.batch_size, args.resources_scaling_factors, args.mine) == (8, [1.0, 1.0, 1.0], "here")


@pytest.mark.parametrize(
    "text, message",
    [
        ("batch-size: many\n", r"c.yaml:1:13: .*whole number"),
        ("x: 1\nn_chips: 99\n", r"c.yaml:2:10: .*1 to 8"),
        ("a: [1\nb: 2\n", r"c.yaml:2:"),
        ("- 1\n", r"c.yaml:1:1: expected a mapping"),
        ("x: !!python/object:os.system {}\n", r"c.yaml:1:"),
        ("inference: 3\n", r"c.yaml:1:12: .*True or False"),
    ],
)
def test_mistakes_in_yaml_have_a_place(text, message, tmp_path):
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(ValueError, match=message):
        parse_app_args(["compile", "--yaml-config", str(tmp_path / "c.yaml")])


# ---- how it is compiled


@pytest.mark.shows("--o0", "--o1", "--o3", "--optim-level")
def test_levels(tmp_path):
    count = {}
    for level in ("o0", "o1", "o3"):
        by_flag = compiled(tmp_path, f"-{level}", name=f"flag-{level}")
        by_name = compiled(tmp_path, "--optim-level", level, name=f"name-{level}")
        count[level] = len(rows_of(by_flag))
        assert rows_of(by_flag) == rows_of(by_name)
    assert count["o0"] >= count["o1"] >= count["o3"] and count["o0"] > count["o3"]
    assert len(rows_of(compiled(tmp_path))) == count["o3"]


@pytest.mark.shows("--graphamp-preset")
def test_precision(tmp_path):
    bytes_of = {p: compiled(tmp_path, "--graphamp-preset", p, name=p).read_bytes() for p in ("mp0", "mp1", "mp4")}
    assert len(set(bytes_of.values())) == 3
    assert rows_of(tmp_path / "mp0" / "mp0.pef") == rows_of(compiled(tmp_path))


@pytest.mark.shows("--verify-each", "--disable-passes")
def test_passes(tmp_path):
    assert rows_of(compiled(tmp_path, "--verify-each", name="checked")) == rows_of(compiled(tmp_path))
    less = compiled(tmp_path, "--disable-passes", "fold,cse,dce", "--verify-each", name="less")
    assert sum(float(r["flops"]) for r in rows_of(less)) >= sum(float(r["flops"]) for r in rows_of(compiled(tmp_path)))
    assert rows_of(less) != rows_of(compiled(tmp_path))
    with pytest.raises(ValueError, match="settle.* cannot be disabled: .*fold"):
        compiled(tmp_path, "--disable-passes", "settle", name="not")
    assert not (tmp_path / "not" / "not.pef").exists()
    assert "[error ]" in (tmp_path / "not" / "not.samba.log").read_text()


RULES = "mine:\n  priority: 3\n  pattern:\n    fc: {op_type: linear, child: act}\n    act: {op_type: relu}\n"


@pytest.mark.shows("--o1-rule-list", "--optimization-rules", "--use-o1-default-rules", "--why")
def test_fusion_rules(tmp_path, capsys):
    (tmp_path / "rules.yaml").write_text(RULES)
    own = ["-o1", "--optimization-rules", str(tmp_path / "rules.yaml"), "--use-o1-default-rules", "false"]
    pef = compiled(tmp_path, *own, "--why", "fusion", name="own")
    assert "mine" in capsys.readouterr().out and "mine" in (pef.parent / "fusion.json").read_text()
    listed = compiled(tmp_path, "-o1", "--o1-rule-list", "gpt2", name="listed")
    assert (listed.parent / "fusion.json").read_text() != (pef.parent / "fusion.json").read_text()
    compiled(tmp_path, "--o1-rule-list", "gpt2", name="o3")
    assert "--o1-rule-list has no effect without -o1" in capsys.readouterr().out
    with pytest.raises(FileNotFoundError):
        compiled(tmp_path, "-o1", "--optimization-rules", str(tmp_path / "absent.yaml"), name="absent")


@pytest.mark.shows("--o1-experimental-opts")
def test_experimental_rules_fuse_what_is_left_over(tmp_path):
    pefs = [compiled(tmp_path, "-o1", *more, name=str(len(more))) for more in ([], ["--o1-experimental-opts"])]
    plain, more = (json.loads((pef.parent / "fusion.json").read_text())["rules"] for pef in pefs)
    assert {rule["name"] for rule in more} - {rule["name"] for rule in plain} == {"elementwise_chain", "moves"}


@pytest.mark.shows("--arch")
def test_targets(tmp_path, capsys):
    small, large = (compiled(tmp_path, "--arch", f"native:32768,{l2},33554432", name=str(l2)) for l2 in (4096, 1 << 22))
    assert small.read_bytes() != large.read_bytes()
    native = compiled(tmp_path, name="native").read_bytes()
    for chip in ("sn10", "sn20", "sn30"):
        capsys.readouterr()
        pef = compiled(tmp_path, "--arch", chip, name=chip)
        assert capsys.readouterr().out.count(f"[warning samba] --arch {chip}: this target is not available yet") == 1
        assert rows_of(pef) == rows_of(tmp_path / "native" / "native.pef") and len(pef.read_bytes()) == len(native)


def test_the_pef_remembers_its_arguments(tmp_path):
    pef = compiled(tmp_path, "-o0", "--graphamp-preset", "mp1", "--enable-conv-tiling", "--log-level", "error")
    assert leat_facts(pef)["arguments"] == {
        "batch_size": 4, "o0": True, "graphamp_preset": "mp1", "enable_conv_tiling": True}  # fmt: skip


def test_options_of_the_program_mean_what_it_says(tmp_path):
    def hook(parser):
        parser.add_argument("--world-size", type=int, default=7)
        parser.add_argument("--enable-conv-tiling", default="mine")
        parser.add_argument("--n-chips", default="many")

    pef = compiled(tmp_path, "--world-size", "9", common_parser_fn=hook)
    assert samba.session.args.world_size == 9 and leat_facts(pef)["arguments"] == {"batch_size": 4}


@pytest.mark.shows("--compiler-configs-file")
def test_settings_of_the_compiler_come_from_a_file(tmp_path, capsys):
    def with_file(content, *argv):
        (tmp_path / "c.json").write_text(content if isinstance(content, str) else json.dumps(content))
        return compiled(tmp_path, "--compiler-configs-file", str(tmp_path / "c.json"), *argv)

    plain = rows_of(compiled(tmp_path, "-o0", name="o0"))
    assert [r["ops"] for r in rows_of(with_file({"o0": True}))] == [r["ops"] for r in plain]
    assert [r["ops"] for r in rows_of(with_file({"--optim-level": "o0"}))] == [r["ops"] for r in plain]
    assert [r["ops"] for r in rows_of(with_file({"optim_level": "o0"}, "--optim-level", "o3"))] != [
        r["ops"] for r in plain
    ]
    capsys.readouterr()
    with_file({"mac_flags": ["-x"], "prism_flags": {}, "graphamp-preset": "mp1"})
    assert "c.json: mac_flags, prism_flags have no effect on native" in capsys.readouterr().out
    for content, words in (
        ({"mac_flag": 1}, "no setting 'mac_flag'; did you mean 'mac_flags'"),
        ({"batch_size": 4}, "'batch_size' is no setting of the compiler"),
        ({"optim_level": "o7"}, "c.json: --optim-level 'o7'"),
        ({"n_chips": 2}, "not yet available"),
        ([], "expected an object"),
        ("{", "this is not JSON"),
    ):
        with pytest.raises(RuntimeError, match=re.escape(words)):
            with_file(content)
    with pytest.raises(FileNotFoundError):
        compiled(tmp_path, "--compiler-configs-file", str(tmp_path / "absent.json"))


@pytest.mark.parametrize("word", ["compile", "run"])
def test_help_lists_what_the_reference_lists(word, capsys):
    with pytest.raises(SystemExit):
        parse_app_args([word, "--help"])
    shown = capsys.readouterr().out
    named = ["--batch-size", "--inference", "--pef", "--verbose", "--debug", "--log-dir", "--num-spatial-batches",
             "--grad-accumulation-steps"]  # fmt: skip
    if word == "compile":
        named += ["--pef-name", "--output-folder", "-o0", "-o1", "-o3", "--o1-experimental-opts", "--o1-rule-list",
                  "--compiler-mode", "--enable-hypersection", "--resources-scaling-factors", "--mac-v2", "--arch",
                  "--n-chips", "--data-parallel", "--world-size", "--compiler-configs-file", "--mac-human-decision",
                  "--model-parallel"]  # fmt: skip
    assert not [name for name in named if name not in shown]


# ---- messages


@pytest.mark.shows("--verbose", "--debug", "--log-level")
def test_lines_on_the_screen_and_in_the_logs(tmp_path, capsys):
    def shown(*argv):
        pef = compiled(tmp_path, *argv)
        logs = [(pef.parent / f"net.{layer}.log").read_text() for layer in ("samba", "mac")]
        return capsys.readouterr().out.splitlines(), logs

    lines, logs = shown()
    assert lines[0] == f"[info ] Placing log files in {tmp_path}/net/net.samba.log"
    assert lines[-1] == f"[info ] PEF file {tmp_path}/net/net.pef created"
    assert any(line.startswith("[info ] Compilation succeeded for partition_0_") for line in lines)
    assert "PEF file" in logs[0] and "partition_0_" in logs[1] and "[debug]" not in logs[1]
    for option in ("-v", "--debug"):
        lines, logs = shown(option)
        assert any(line.startswith("[debug] pass settle") for line in lines) and "[debug] pass settle" in logs[1]
        assert "PEF file" not in lines[-1] and any("PEF file" in line for line in lines)
    lines, logs = shown("--log-level", "error")
    assert lines == [] and "PEF file" in logs[0]
    lines, _ = shown("--log-level", "warning", "--enable-conv-tiling")
    assert len(lines) == 1 and lines[0].startswith("[warning samba] --enable-conv-tiling")


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_bar_on_a_terminal_only(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stderr", Terminal())
    compiled(tmp_path)
    shown = sys.stderr.getvalue()
    assert "] 0/" in shown and "cut" in shown and shown.endswith("\r\x1b[K")
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    compiled(tmp_path)
    assert sys.stderr.getvalue() == ""


@pytest.mark.shows("--log-dir")
def test_logs_with_warnings_go_to_a_folder_of_their_own(tmp_path):
    pef = compiled(tmp_path, "--log-dir", str(tmp_path / "logs"), "--enable-conv-tiling")
    assert "conv-tiling" in (tmp_path / "logs" / "net.samba.log").read_text()
    assert (pef.parent / "net.mac.log").exists() and not (pef.parent / "net.samba.log").exists()


@pytest.mark.shows("--log-dir", "--verbose", "--debug")
def test_a_run_tells_what_it_loads_and_keeps_its_warnings(tmp_path, capsys, monkeypatch):
    pef, (model, inputs, optimizer) = compiled(tmp_path), program()

    def run(*argv):
        monkeypatch.setattr(logging.getLogger("sambaflow"), "handlers", [])
        monkeypatch.setattr("sambaflow.logging.samba_logger._logger", sambaflow_logging._logger())
        capsys.readouterr()
        args = parse_app_args(["run", "-b", "4", "--pef", str(pef), "--log-dir", str(tmp_path / "logs/run"), *argv])
        samba.session.run(inputs, utils.trace_graph(model, inputs, optimizer, pef=args.pef), section_types=["fwd"])
        return capsys.readouterr().out

    assert run() == "" and not (tmp_path / "logs").exists()
    for option in ("-v", "--debug"):
        shown = run(option)
        assert f"[debug] loaded {pef}: 3 sections" in shown and "parameter" in shown and "[debug] run" in shown
    assert not (tmp_path / "logs").exists()
    shown = run("-v", "--verbose-report")
    assert (tmp_path / "logs/run/net.run.log").read_text() == shown and shown.startswith("[warning samba]")
    assert "[debug] loaded" not in run("--verbose-report")


def test_an_error_is_written_once(tmp_path, capsys):
    model, inputs, optimizer = program()
    wrong, config = (inputs[0], samba.randn(3, 3, name="label")), {"output_folder": str(tmp_path), "pef_name": "net"}
    with pytest.raises((RuntimeError, ValueError)):
        samba.session.compile(model, wrong, optimizer, config_dict=config)
    assert "[error ]" not in capsys.readouterr().out


def test_the_logger_of_programs_speaks_like_the_compiler(capsys):
    for _ in range(3):
        samba_logger.warning("few", log_limit=1)
    samba_logger.info("said %d", 3)
    samba_logger.debug("hidden")
    assert capsys.readouterr().out == "[warning samba] few\n[info ] said 3\n"


@pytest.mark.shows("--compiled-stats-json", "--resource-report-path")
def test_statistics_of_a_compile(tmp_path):
    pef = compiled(tmp_path, "--compiled-stats-json", str(tmp_path / "s.json"), "--resource-report-path",
                   str(tmp_path / "r.csv"))  # fmt: skip
    stats = json.loads((tmp_path / "s.json").read_text())
    assert stats["pef_bytes"] == pef.stat().st_size and len(stats["sections"]) == len(rows_of(pef))
    assert stats["memory"]["peak_bytes"] > 0 and (tmp_path / "r.csv").read_text().startswith("section,type")


@pytest.mark.shows("--stop-on-nan")
def test_a_run_stops_at_nan(tmp_path):
    pef = compiled(tmp_path)
    model, inputs, optimizer = program()
    for words, stops in (["--stop-on-nan"], True), ([], False):
        args = parse_app_args(["run", "-p", str(pef), "-b", "4", *words])
        outputs = utils.trace_graph(model, inputs, optimizer, pef=args.pef)
        wrong = [samba.from_torch_tensor(torch.full((4, 12), float("nan")), name="image"), inputs[1]]
        if stops:
            with pytest.raises(FloatingPointError):
                samba.session.run(wrong, outputs)
        else:
            assert samba.to_torch(samba.session.run(wrong, outputs)[0]).isnan()


@pytest.mark.shows("--data-parallel-mode")
def test_there_is_one_mode_of_replicas(tmp_path, capsys):
    assert parse_app_args("run -p x --data-parallel-mode normal".split()).data_parallel_mode == "normal"
    with pytest.raises(SystemExit):
        parse_app_args("run -p x --data-parallel-mode pipelined".split())
    assert "normal" in capsys.readouterr().err
    pef = compiled(tmp_path)
    model, inputs, optimizer = program()
    with pytest.raises(ValueError, match="data-parallel-mode.*normal"):
        utils.trace_graph(model, inputs, optimizer, pef=str(pef), data_parallel_mode="pipelined")


@pytest.mark.shows("--visualize")
def test_pictures_and_comparisons_are_shown(tmp_path, capsys):
    def own_visualize(parser):
        parser.add_argument("--visualize", action="store_true")

    pef = compiled(tmp_path, "--visualize")
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2:] == [f"[info ] picture of the graph: {pef.parent}/graph.svg", f"[info ] PEF file {pef} created"]
    assert "<svg" in (pef.parent / "graph.svg").read_text()
    for words, shown in ((["--visualize"], "same: worst at []: 1 against 1\n"), ([], "")):
        parse_app_args(["run", "-p", str(pef), *words])
        utils.assert_close(torch.ones(()), torch.ones(()), "same")
        assert capsys.readouterr().out == shown
    parse_app_args(["run", "-p", str(pef), "--visualize"], run_parser_fn=own_visualize)
    utils.assert_close(torch.ones(()), torch.ones(()), "same")
    assert capsys.readouterr().out == ""  # the program's own option


@pytest.mark.shows("--acc-report-json")
def test_accuracy_reports_are_saved(tmp_path):
    path = tmp_path / "acc.json"
    parse_app_args(["run", "-p", "x", "--acc-report-json", str(path)])
    for accuracy in (0.25, 0.75):
        benchmark_acc.AccuracyReport(val_accuracy=accuracy, batch_size=4)
        assert json.loads(path.read_text())["val_accuracy"] == accuracy


AT_THE_END = """
import sys
sys.path[:0] = sys.argv.pop(1).split(":")
from test_options import parse_app_args, program, samba, utils
args = parse_app_args()
model, inputs, optimizer = program()
outputs = utils.trace_graph(model, inputs, optimizer, pef=args.pef)
for _ in range(3):
    samba.session.run(inputs, outputs)
"""


@pytest.mark.shows("--samba_runtime_profile", "--enable-profiler", "--acc-report-json")
def test_profiles_are_written_when_the_program_ends(tmp_path):
    pef = compiled(tmp_path)
    folders = ":".join(sys.path)
    words = ["--samba_runtime_profile", "--enable-profiler", "--acc-report-json", "acc.json"]
    done = subprocess.run([sys.executable, "-c", AT_THE_END, folders, "run", "-p", str(pef), "-b", "4", *words],
                          cwd=tmp_path, capture_output=True, text=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "[info ] runtime profile written to runtime_profile.log" in done.stdout
    assert "[warning samba] --acc-report-json: acc.json was not written" in done.stdout
    table = [line.split() for line in (tmp_path / "runtime_profile.log").read_text().splitlines()[2:]]
    assert table and all(line[2] == "3" for line in table)  # runs
    events = json.loads((tmp_path / "samba_profile.json").read_text())["traceEvents"]
    assert [event["name"] for event in events] == ["session.run"] * 3


# ---- measuring


def measured(folder, command, *argv):
    pef = compiled(folder)
    args = parse_app_args([command, "-p", str(pef), "-b", "4", *argv])
    model, inputs, optimizer = program()
    utils.common.common_app_driver(args, model, inputs, optimizer)


@pytest.mark.shows("--num-iterations", "--json", "--bench-report-json", "--run-graph-only", "--min-duration")
def test_measuring(tmp_path):
    measured(tmp_path, "measure-performance", "--num-iterations", "7", "--json", str(tmp_path / "m.json"))
    assert json.loads((tmp_path / "m.json").read_text())["iterations"] == 7
    measured(tmp_path, "measure-performance", "--num-iterations", "2", "--run-graph-only", "--min-duration", "0.02",
             "--bench-report-json", str(tmp_path / "b.json"))  # fmt: skip
    record = json.loads((tmp_path / "b.json").read_text())
    assert record["run_graph_only"] and record["iterations"] > 2


@pytest.mark.shows("--min-throughput", "--max-throughput")
def test_bounds_of_throughput(tmp_path):
    for bound in (["--min-throughput", "1e12"], ["--max-throughput", "1e-3"]):
        with pytest.raises(AssertionError, match="Expected throughput"):
            measured(tmp_path, "measure-performance", "--num-iterations", "2", *bound)


@pytest.mark.shows("--num-sections")
def test_sections_measured(tmp_path):
    measured(tmp_path, "measure-sections", "--num-sections", "2", "--json", str(tmp_path / "s.json"))
    assert len(json.loads((tmp_path / "s.json").read_text())["sections"]) == 2


@pytest.mark.shows("--absolute-numeric-threshold", "--relative-numeric-threshold")
def test_thresholds_of_test(tmp_path, capsys):
    measured(tmp_path, "test", "--absolute-numeric-threshold", "1", "--relative-numeric-threshold", "1")
    with pytest.raises(AssertionError):
        measured(tmp_path, "test", "--absolute-numeric-threshold", "0", "--relative-numeric-threshold", "0")
