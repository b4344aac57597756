# SPDX-License-Identifier: Apache-2.0
"""The command line of programs."""

import pytest
from sambaflow import samba
from sambaflow._base.options import commands
from sambaflow.samba.utils.argparser import parse_app_args, parse_yaml_to_args

# What programs read without defining it.
READ = (
    "command pef mapping inference reduce_on_rdu data_parallel batch_size min_duration num_iterations run_graph_only "
    "compiled_stats_json n_chips distlearn_config num_spatial_batches json visualize acc_report_json bench_report_json "
    "mock_inference num_sections output_folder pef_name data_parallel_mode resource_report_path verbose_report "
    "world_size"
).split()


def required(command):
    return ["-p", "x.pef"] if command == "run" else []


@pytest.mark.parametrize("command", commands())
def test_every_attribute_exists_for_every_command(command):
    args = parse_app_args([command, *required(command)])
    assert args.command == command and not [name for name in READ if not hasattr(args, name)]
    assert samba.session.args is args


def test_defaults():
    args = parse_app_args(["compile"])
    assert (args.batch_size, args.mapping, args.output_folder, args.pef_name) == (1, "section", "./out", None)
    assert (args.n_chips, args.inference, args.world_size, args.data_parallel_mode) == (1, False, 1, "normal")


@pytest.mark.parametrize(
    "argv",
    [
        ["compile", "-b", "4", "--pef-name", "run"],
        ["-b=4", "--pef-name", "run", "compile"],
        ["--pef-name=run", "compile", "--batch-size", "4"],
    ],
)
def test_options_before_and_after_the_command(argv):
    args = parse_app_args(argv)
    assert (args.command, args.batch_size, args.pef_name) == ("compile", 4, "run")


def test_programs_win_over_standard_options():
    def common(parser):
        parser.add_argument("-b", "--batch-size", type=int, default=32)
        parser.add_argument("--h", type=int, default=7)
        parser.add_argument("-bs", type=int)
        parser.add_argument("-lr", type=float)
        parser.add_argument("--data-dir")

    def run(parser):
        parser.add_argument("--data-dir", default="here")
        parser.add_argument("-e", "--num-epochs", type=int)

    argv = ["run", "-p", "a", "--h", "3", "-bs", "5", "-lr", "0.1"]
    args = parse_app_args(argv, common_parser_fn=common, run_parser_fn=run, dev_mode=True)
    assert (args.batch_size, args.h, args.bs, args.lr, args.data_dir) == (32, 3, 5, 0.1, "here")
    assert not hasattr(parse_app_args(["compile"], common_parser_fn=common, run_parser_fn=run), "num_epochs")


def test_test_hook_is_for_test_alone():
    hook = lambda parser: parser.add_argument("--rtol", type=float, default=1.0)  # noqa: E731
    assert parse_app_args(["test"], test_parser_fn=hook).rtol == 1.0
    assert not hasattr(parse_app_args(["compile"], test_parser_fn=hook), "rtol")


@pytest.mark.parametrize(
    "argv, message",
    [
        (["run"], "--pef"),
        ([], "command"),
        (["fly"], "invalid choice"),
        (["run", "-p", "a", "-ws", "2"], "-ws"),
        (["compile", "--batch", "3"], "--batch"),
        (["compile", "-b", "many"], "whole number"),
    ],
)
def test_mistakes(argv, message, capsys):
    with pytest.raises(SystemExit):
        parse_app_args(argv)
    assert message in capsys.readouterr().err


def test_yaml_is_added(tmp_path):
    (tmp_path / "c.yaml").write_text("batch-size: 8\nname: x\n")
    args = parse_yaml_to_args(str(tmp_path / "c.yaml"), parse_app_args(["compile"]))
    assert (args.batch_size, args.name) == (8, "x")
    (tmp_path / "bad.yaml").write_text("- 1\n")
    with pytest.raises(ValueError, match="mapping"):
        parse_yaml_to_args(str(tmp_path / "bad.yaml"), args)


def test_default_pef_name_and_its_folder(tmp_path, monkeypatch):
    from sambaflow.samba._artifacts import output_path

    monkeypatch.chdir(tmp_path)
    with output_path({}) as path:
        assert path.startswith("./out/") and path.endswith(".pef")
    with pytest.raises(ValueError, match="not a file name"), output_path({"pef_name": "../x"}):
        pass
    with pytest.raises(RuntimeError, match="stop"), output_path({"pef_name": "failed"}):
        raise RuntimeError("stop")
    assert not (tmp_path / "out" / "failed").exists()


def test_isa_level_from_the_environment(monkeypatch):
    from sambaflow._base.library import isa_level

    monkeypatch.delenv("LEAT_ISA", raising=False)
    assert isa_level() is None
    monkeypatch.setenv("LEAT_ISA", "avx2")
    assert isa_level() == "avx2"


def test_threads_from_the_environment(monkeypatch):
    from sambaflow._base.library import thread_count

    monkeypatch.delenv("LEAT_NUM_THREADS", raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "2,4")
    assert thread_count() == 2
    monkeypatch.setenv("LEAT_NUM_THREADS", "3")
    assert thread_count() == 3
    monkeypatch.setenv("LEAT_NUM_THREADS", "none")
    with pytest.raises(ValueError, match="LEAT_NUM_THREADS"):
        thread_count()
