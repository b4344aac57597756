# SPDX-License-Identifier: Apache-2.0
"""Every option of the table: its effect on the PEF or the run, or how it is refused.

A mark `shows` names the options whose effect a test shows; docs/options.md is made from these marks.
"""

import json
import re
import sys
from pathlib import Path

import pytest
from option_support import compiled, leat_facts, own_arguments, program, rows_of  # noqa: F401 - a fixture
from sambaflow import samba
from sambaflow._base import options as table
from sambaflow._base.library import UnsupportedError
from sambaflow.samba import utils
from sambaflow.samba.utils.argparser import parse_app_args
from support import ROOT

sys.path.insert(0, str(ROOT / "tools"))
import gen_options  # noqa: E402


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
    assert all(command in texts[""] and "COMMAND --help" in texts[""] for command in table.commands())


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
