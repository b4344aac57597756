# SPDX-License-Identifier: Apache-2.0
"""Measuring, profiling and comparing a traced program, and the command driver that does all of it."""

import argparse
import json

import pytest
import torch
import torch.nn.functional as F
from sambaflow import samba
from sambaflow.samba import utils
from sambaflow.samba.profiler import Profiler
from sambaflow.samba.test import TestWithGold, compare_with_host, consistency_test
from sambaflow.samba.utils.argparser import parse_app_args
from sambaflow.samba.utils.benchmark_acc import AccuracyReport
from sambaflow.samba.utils.common import common_app_driver
from torch import nn

pytest.importorskip("sambaflow._leat")


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(6)
        self.hidden = nn.Linear(6, 5)
        self.drop = nn.Dropout(0.3)
        self.out = nn.Linear(5, 3)

    def forward(self, image, label):
        logits = self.out(self.drop(torch.tanh(self.hidden(self.norm(image)))))
        return F.cross_entropy(logits, label), logits


def program():
    """Model, inputs and optimizer of a small program."""
    utils.set_seed(7)
    model = Net()
    samba.from_torch_model_(model)
    image = samba.randn(4, 6, name="image", batch_dim=0)
    label = samba.randint(3, (4,), name="label", batch_dim=0)
    return model, (image, label), samba.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)


@pytest.fixture
def no_arguments():
    samba.session.args = None
    yield
    samba.session.args = None


@pytest.fixture
def traced(tmp_path, no_arguments):
    model, inputs, optimizer = program()
    config = {"output_folder": str(tmp_path), "pef_name": "app"}
    pef = utils.compile(model, inputs, optimizer, name="app", app_dir=utils.get_file_dir(__file__), config_dict=config)
    utils.trace_graph(model, inputs, optimizer, pef=pef)
    return model, inputs


def read(path):
    return json.loads(path.read_text())


# ---- measure_performance


def test_performance_in_the_known_form(traced, tmp_path, capsys):
    model, inputs = traced
    stats = tmp_path / "stats.json"
    throughput, latency = utils.measure_performance(
        model, inputs, batch_size=4, n_chips=1, inference=False, run_graph_only=False, n_iterations=5,
        json=str(tmp_path / "m.json"), compiled_stats_json=str(stats), data_parallel=False, reduce_on_rdu=False,
    )  # fmt: skip
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith(f"e2e_throughput: {throughput} samples/s, measured over 5 iterations. Average latency: ")
    assert second.startswith("e2e_latency: ") and second.endswith(" s")
    assert throughput == pytest.approx(4 / latency)
    record = read(tmp_path / "m.json")
    assert record["iterations"] == 5 and record["e2e_latency"] == pytest.approx(5 * latency)
    assert [s["type"] for s in read(stats)["sections"]].count("opt") >= 1


def test_the_graph_alone_trains_too(traced):
    model, inputs = traced
    before = samba.to_torch(model.hidden.weight.sn_data).clone()
    utils.measure_performance(model, inputs, batch_size=4, run_graph_only=True, n_iterations=2)
    after = samba.to_torch(model.hidden.weight.sn_data).clone()
    assert not torch.equal(before, after)
    utils.measure_performance(model, inputs, batch_size=4, run_graph_only=True, inference=True, n_iterations=2)
    assert torch.equal(after, samba.to_torch(model.hidden.weight.sn_data))


def test_min_duration_measures_more_iterations(traced, tmp_path):
    model, inputs = traced
    utils.measure_performance(model, inputs, n_iterations=1, min_duration=0.05, json=str(tmp_path / "m.json"))
    record = read(tmp_path / "m.json")
    assert record["e2e_latency"] >= 0.05 and record["iterations"] > 1


def test_performance_through_the_loader_and_its_bounds(traced):
    model, inputs = traced
    utils.measure_performance(model, inputs, use_sambaloader=True, n_iterations=70)
    with pytest.raises(AssertionError, match="Expected throughput to be at least 1000"):
        utils.measure_performance(model, inputs, n_iterations=1, min_throughput=1e15)
    with pytest.raises(NotImplementedError, match="several processes"):
        utils.measure_performance(model, inputs, data_parallel=True, world_size=2)


def test_performance_of_an_untraced_model():
    with pytest.raises(RuntimeError, match="Linear is not traced"):
        utils.measure_performance(nn.Linear(2, 2), ())


# ---- sections and profiles


def test_sections_have_times(traced, tmp_path, capsys):
    model, inputs = traced
    records = utils.measure_sections(
        model, inputs, n_iterations=3, batch_size=4, json=str(tmp_path / "s.json"), min_duration=0
    )
    assert {"fwd", "bckwd", "opt"} <= {r["type"] for r in records}
    assert all(r["runs"] == 3 and r["seconds"] > 0 for r in records if r["type"] != "prepare")
    assert read(tmp_path / "s.json")["sections"] == records
    assert "us/run" in capsys.readouterr().out
    assert len(utils.measure_sections(model, inputs, num_sections=1, n_iterations=1)) == 1
    assert "runs" not in samba.session._bound_device().report()["sections"][0]  # nothing is timed any more


def test_profiles_do_not_change_results(traced, tmp_path):
    model, inputs = traced
    forward = {"section_types": ["fwd"], "hyperparam_dict": {"p": 0.0}}
    plain = samba.to_torch(samba.session.run(inputs, model.output_tensors, **forward)[1]).clone()
    samba.session.start_runtime_profile()
    timed = samba.session.run(inputs, model.output_tensors, **forward)[1]
    samba.session.run(inputs, model.output_tensors, **forward)
    records = samba.session.end_runtime_profile(tmp_path / "profile.json")
    assert torch.equal(plain, samba.to_torch(timed))
    assert {r["type"] for r in records} == {"fwd"} and {r["runs"] for r in records} == {2}
    assert read(tmp_path / "profile.json")["sections"] == records


def test_runtime_profile_as_a_table(traced, tmp_path):
    model, inputs = traced
    samba.session.start_runtime_profile()
    samba.session.run(inputs, model.output_tensors)
    samba.session.end_runtime_profile(str(tmp_path / "run.log"))
    head, columns, *rows = (tmp_path / "run.log").read_text().splitlines()
    assert head.startswith("# ") and columns.split()[0] == "section"
    assert sum(float(row.split()[4].rstrip("%")) for row in rows) == pytest.approx(100, abs=1)


def test_samba_profile_holds_runs_and_events(traced, tmp_path):
    model, inputs = traced
    samba.session.start_samba_profile()
    for _ in range(2):
        event = samba.session.profiler.start_event("step")
        samba.session.run(inputs, model.output_tensors)
        samba.session.profiler.end_event(event)
    samba.session.end_samba_profile(filename=str(tmp_path / "trace.json"))
    samba.session.run(inputs, model.output_tensors)
    names = [e["name"] for e in read(tmp_path / "trace.json")["traceEvents"]]
    assert names == ["step", "session.run"] * 2
    assert "run" not in vars(samba.session)


def test_profiles_that_were_not_begun(tmp_path):
    with pytest.raises(RuntimeError, match="start_runtime_profile"):
        samba.session.end_runtime_profile("x")
    with pytest.raises(RuntimeError, match="start_samba_profile"):
        samba.session.end_samba_profile("x")


def test_the_folder_of_a_report_is_made(tmp_path):
    AccuracyReport(val_accuracy=0.5).save(str(tmp_path / "new" / "accuracy.json"))
    assert (tmp_path / "new" / "accuracy.json").exists()


def test_the_folder_of_a_profile_is_made(traced, tmp_path):
    samba.session.start_runtime_profile()
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        samba.session.end_runtime_profile(tmp_path / "file" / "run.log")
    samba.session.end_runtime_profile(tmp_path / "new" / "run.log")  # the profile is still there
    assert (tmp_path / "new" / "run.log").exists()


def test_profiler_reads_events_of_the_session():
    profiler = Profiler()
    profiler.start_profile()
    for _ in range(3):
        event = samba.session.profiler.start_event("fwd")
        samba.session.profiler.end_event(event)
    profiler.stop_profile()
    samba.session.profiler.end_event(samba.session.profiler.start_event("fwd"))
    times = profiler._get_iter_times("fwd", 0)
    assert len(times) == 3 and times[-1] <= event.seconds
    mean = sum(times[1:]) / 2
    assert profiler.get_latencies(["fwd", "none"], 1) == {"fwd": pytest.approx(mean), "none": 0.0}
    assert profiler.get_throughputs(["fwd"], 8, 1) == {"fwd": pytest.approx(8 / mean)}


# ---- comparisons with the host


def test_device_and_host_agree_and_the_device_is_left_as_it_was(traced):
    model, inputs = traced
    weight = samba.to_torch(model.hidden.weight.sn_data).clone()
    statistics = samba.session.buffer_dict["net__norm__running_mean"].sn_data.clone()
    comparisons = compare_with_host(model, inputs)
    assert {c.name for c in comparisons} >= {"hidden.weight.grad", "out.bias.grad", "norm.weight.grad"}
    assert len(comparisons) == 2 + 6
    assert torch.equal(weight, samba.to_torch(model.hidden.weight.sn_data))
    assert torch.equal(statistics, samba.session.buffer_dict["net__norm__running_mean"].sn_data)


def test_a_difference_is_named(traced):
    model, inputs = traced
    with pytest.raises(AssertionError, match=r"(?s)of 8 tensors differ from the gold:.*hidden.weight.grad"):
        compare_with_host(model, inputs, rtol=0.0, threshold=0.0)


def test_consistency_test_runs_twice_from_one_state(traced, tmp_path):
    calls = []

    @consistency_test()
    def test(args, model, inputs, outputs):
        calls.append(args)
        found = samba.session.run(inputs, outputs)
        return [("loss", found[0]), ("weight", model.hidden.weight.sn_data)]

    model, inputs = traced
    args = argparse.Namespace(gold_file_path=str(tmp_path / "gold.pt"))
    results = test(args, model, inputs, model.output_tensors)
    assert len(calls) == 2 and [name for name, _ in results] == ["loss", "weight"]
    assert set(torch.load(tmp_path / "gold.pt", weights_only=True)) == {"loss", "weight"}
    with pytest.raises(AssertionError, match="differ from the gold"):  # one step further than the gold file
        test(args, model, inputs, model.output_tensors)


def test_consistency_test_finds_what_is_not_repeatable(traced):
    model, inputs = traced
    test = consistency_test()(lambda *_: [("noise", torch.rand(3))])
    with pytest.raises(AssertionError, match="noise"):
        test(None, model, inputs, model.output_tensors)


def test_with_gold_compares_by_name_and_place(traced, capsys):
    @TestWithGold()
    def test(args, model, inputs, outputs):
        types = ["fwd", "bckwd"]
        loss, logits = samba.session.run(inputs, outputs, hyperparam_dict={"p": 0.0}, section_types=types)
        return [("loss", loss), ("logits", logits), ("out.weight.grad", model.out.weight.sn_grad)]

    model, inputs = traced
    test(argparse.Namespace(), model, inputs, model.output_tensors)
    assert capsys.readouterr().out.count("ok  ") == 3
    wrong = TestWithGold(gold=lambda model, inputs: [torch.zeros(()), torch.zeros(4, 3), torch.zeros(3, 5)])(test)
    with pytest.raises(AssertionError, match="loss"):
        wrong(argparse.Namespace(), model, inputs, model.output_tensors)


# ---- the driver


def driven(argv, **options):
    args = parse_app_args(argv=argv)
    model, inputs, optimizer = program()
    common_app_driver(args, model, inputs, optim=optimizer, name="net", app_dir=utils.get_file_dir(__file__), **options)
    return model


def test_driver_does_all_commands(tmp_path, capsys, no_arguments):
    driven(["compile", "--pef-name", "net", "--output-folder", str(tmp_path), "-b", "4"])
    pef = str(tmp_path / "net" / "net.pef")
    capsys.readouterr()
    driven(["test", "--pef", pef, "-b", "4"])
    assert capsys.readouterr().out.count("ok  ") == 8
    driven(["measure-performance", "--pef", pef, "-b", "4", "--num-iterations", "3"])
    assert "measured over 3 iterations" in capsys.readouterr().out
    driven(["measure-sections", "--pef", pef, "-b", "4", "--num-iterations", "2"])
    assert "us/run" in capsys.readouterr().out
    model = driven(["run", "--pef", pef, "-b", "4"])
    assert capsys.readouterr().out == "" and not hasattr(model, "output_tensors")


def test_driver_takes_gradients_of_outputs(tmp_path, capsys, no_arguments):
    grads = lambda outputs: [torch.full(outputs[0].shape, 2.0), None]  # noqa: E731
    driven(["compile", "--pef-name", "net", "--output-folder", str(tmp_path), "-b", "4"], get_output_grads=grads)
    argv = ["measure-performance", "--pef", str(tmp_path / "net" / "net.pef"), "-b", "4", "--num-iterations", "1"]
    model = driven(argv, get_output_grads=grads)
    assert float(model.output_tensors[0].sn_grad) == 2.0
    with pytest.raises(ValueError, match="1 gradients were given for 2 outputs"):
        driven(argv, get_output_grads=lambda outputs: torch.ones(()))


def test_init_output_grads_by_name(tmp_path, no_arguments):
    model, inputs, optimizer = program()
    config = {"output_folder": str(tmp_path), "pef_name": "seeds"}
    options = {"init_output_grads": False, "loss_indices": [0, 1]}
    pef = samba.session.compile(model, inputs, optimizer, config_dict=config, **options)
    loss, logits = utils.trace_graph(model, inputs, optimizer, pef=pef, **options)
    utils.init_output_grads([loss.sn_name, logits.sn_name], [], {logits.sn_name: torch.zeros(4, 3)})
    assert float(loss.sn_grad) == 1.0 and not logits.sn_grad.any()
    with pytest.raises(ValueError, match="no output nothing; there are net__"):
        utils.init_output_grads(["nothing"])
