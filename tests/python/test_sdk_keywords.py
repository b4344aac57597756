# SPDX-License-Identifier: Apache-2.0
"""Keywords of other releases, options that a program took over, and how a program ends on a mistake of its user."""

import os
import subprocess
import sys
import textwrap

import pytest
import torch
from sambaflow import samba
from sambaflow.samba import utils

PROGRAM = """
import sys
from sambaflow import samba
from sambaflow.samba import utils
from sambaflow.samba.utils.argparser import parse_app_args
import torch

def options(parser):
    parser.add_argument("-w", "--width", type=int, default=3)
    parser.add_argument("--log-dir", default="runs")
    parser.add_argument("--log-level", default="WARN")
    parser.add_argument("--microbatch-size", type=float, default=0.5)
    parser.add_argument("--data-parallel", default="by hand")
    parser.add_argument("--mapping", default="none")
    parser.add_argument("--stop-on-nan", default="always")

args = parse_app_args(common_parser_fn=options)
model = torch.nn.Linear(args.width, 1)
samba.from_torch_model_(model)
inputs = (samba.randn(2, args.width, name="x"),)
if args.command == "compile":
    samba.session.compile(model, inputs, config_dict=vars(args), inference=True)
else:
    outputs = utils.trace_graph(model, inputs, pef=args.pef, mapping=args.mapping)
    samba.session.run(inputs, outputs)
    print(args.log_dir, args.log_level, args.microbatch_size, args.data_parallel, args.mapping, args.stop_on_nan)
    if args.width == 3:
        raise ValueError("of the program")
"""


@pytest.fixture
def net():
    model = torch.nn.Linear(3, 1)
    samba.from_torch_model_(model)
    return model, (samba.randn(2, 3, name="x"),)


@pytest.fixture
def config(tmp_path):
    return {"config_dict": {"output_folder": str(tmp_path), "pef_name": "net"}, "inference": True}


def test_keywords_of_other_releases_warn_once(net, config, capsys):
    for _ in range(2):
        samba.session.compile(*net, io_host_memory=True, is_split_batch=False, **config)
    written = capsys.readouterr().out
    assert written.count("[warning samba] session.compile(io_host_memory=...) has no effect") == 1
    assert "is_split_batch" not in written


def test_a_hook_that_would_change_the_program_is_refused(net, config, tmp_path):
    with pytest.raises(NotImplementedError, match=r"session\.compile\(graph_transform_hook=\.\.\.\) is not supported"):
        samba.session.compile(*net, graph_transform_hook=lambda graph: graph, **config)
    assert not list(tmp_path.iterdir())
    assert os.path.isfile(samba.session.compile(*net, graph_transform_hook=None, **config))


def test_unknown_keywords_are_named(net, config, tmp_path):
    with pytest.raises(TypeError, match=r"session\.compile\(\) got an unexpected keyword argument 'optimizer', 'pef'"):
        samba.session.compile(*net, optimizer=None, pef="x", **config)
    assert not list(tmp_path.iterdir())
    model, inputs = net
    pef = samba.session.compile(model, inputs, **config)
    outputs = utils.trace_graph(model, inputs, pef=pef)
    with pytest.raises(TypeError, match=r"session\.run\(\) got an unexpected keyword argument 'hyperparams'"):
        samba.session.run(inputs, outputs, hyperparams={"lr": 1.0})
    assert len(samba.session.run(inputs, outputs, data_parallel_mode="normal")) == 1


def start(folder, *options):
    """The program, in a process of its own."""
    path = folder / "program.py"
    path.write_text(textwrap.dedent(PROGRAM))
    return subprocess.run([sys.executable, path, *options], cwd=folder, capture_output=True, text=True, check=False)


def test_options_that_a_program_took_over_are_its_own(tmp_path):
    compiled = start(tmp_path, "compile", "--pef-name", "net", "-w", "4")
    assert compiled.returncode == 0, compiled.stderr
    done = start(tmp_path, "run", "-p", "out/net/net.pef", "-w", "4", "--mapping", "polar")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split("\n")[-2] == "runs WARN 0.5 by hand polar always"


def test_mistakes_of_the_user_are_one_line(tmp_path):
    assert start(tmp_path, "compile", "--pef-name", "net").returncode == 0
    for options, status, words in (
        ([], 2, "the following arguments are required: command"),
        (["train"], 2, "invalid choice: 'train'"),
        (["run"], 2, "required: -p/--pef"),
        (["run", "-p", "missing.pef"], 1, "missing.pef"),
        (["run", "-p", "out/net/net.pef", "-w", "5"], 1, "compiled from another program: its forward pass differs"),
        (["compile", "--output-folder", "program.py"], 1, "program.py/"),
        (["compile", "-p", "x.pef", "--pef-name", "y"], 2, "--pef excludes --pef-name"),
        (["compile", "-o1", "--optimization-rules", "missing.yaml"], 1, "missing.yaml: No such file"),
    ):
        done = start(tmp_path, *options)
        lines = [line for line in done.stderr.splitlines() if not line.startswith("usage: ")]
        assert done.returncode == status and len(lines) == 1 and words in lines[0], done.stderr
        assert lines[0].startswith("program.py")
    assert start(tmp_path, "run", "--help").returncode == 0


def test_errors_of_the_program_keep_their_traceback(tmp_path):
    assert start(tmp_path, "compile", "--pef-name", "net").returncode == 0
    done = start(tmp_path, "run", "-p", "out/net/net.pef")
    assert done.returncode == 1 and "Traceback" in done.stderr and done.stderr.endswith("ValueError: of the program\n")
    done = start(tmp_path, "run", "-p", "missing.pef", "--debug")
    assert done.returncode == 1 and "Traceback" in done.stderr and "missing.pef" in done.stderr
