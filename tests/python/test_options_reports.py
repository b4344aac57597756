# SPDX-License-Identifier: Apache-2.0
"""Options of messages, reports and measuring: what is shown, written and asserted."""

import io
import json
import logging
import subprocess
import sys

import pytest
import torch
from option_support import compiled, leat_facts, own_arguments, program, rows_of  # noqa: F401 - a fixture
from sambaflow import logging as sambaflow_logging
from sambaflow import samba
from sambaflow.logging import samba_logger
from sambaflow.samba import utils
from sambaflow.samba.utils import benchmark_acc
from sambaflow.samba.utils.argparser import parse_app_args

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
