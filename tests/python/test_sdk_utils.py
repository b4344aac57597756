# SPDX-License-Identifier: Apache-2.0
"""Helpers of programs: loader, reports, data sets, trainers, switches, schemas, quantised and normed layers."""

import argparse
import copy
import gzip
import io
import json
import os
import struct
import time

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sambaflow import samba
from sambaflow.frameworks.quantized.quantized_linear import QuantizedLinear
from sambaflow.mac.metadata import ConvTilingMetadata
from sambaflow.online_inference_service.sn_sqs_handler import Queue
from sambaflow.samba import env, utils
from sambaflow.samba.argconf.args import CommonArgs, CompileArgs, RunArgs
from sambaflow.samba.graph import FwdGraph, SambaGraph
from sambaflow.samba.sambaloader import DataLoaderException, SambaLoader
from sambaflow.samba.schema.snconfig import SambaConfig, SNConfig
from sambaflow.samba.utils.benchmark_acc import AccuracyReport
from sambaflow.samba.utils.dataset.mnist import dataset_transform
from sambaflow.samba.utils.tensorboard_debug import dump_accuracy_debug_info
from sambaflow.samba.utils.trainer import samba as samba_trainer
from sambaflow.samba.utils.trainer import torch as torch_trainer
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(6, 3)

    def forward(self, image, label):
        logits = self.lin(image)
        return F.cross_entropy(logits, label), logits


def compiled(model, inputs, tmp_path, optimizer=None, **options):
    config = {"output_folder": str(tmp_path), "pef_name": "app"}
    options.setdefault("inference", optimizer is None)
    pef = samba.session.compile(model, inputs, optimizer, config_dict=config, **options)
    return utils.trace_graph(model, inputs, optimizer, pef=pef)


@pytest.fixture(autouse=True)
def no_arguments():
    samba.session.args = None
    yield
    samba.session.args = None


def batches(count=5):
    images, labels = torch.randn(count * 4, 6), torch.randint(3, (count * 4,))
    return DataLoader(TensorDataset(images, labels), batch_size=4)


# ---- SambaLoader


def test_loader_names_tensors_and_has_the_length_of_its_loader():
    inner = batches()
    loader = SambaLoader(inner, ["image", "label"])
    assert len(loader) == 5 and loader.dataloader is inner
    seen = list(loader)
    for (image, label), (expected, target) in zip(seen, inner, strict=True):
        assert (image.sn_name, label.sn_name) == ("image", "label")
        assert torch.equal(image.torch(), expected) and bool((label == target).all())
        assert image.size(0) == 4 and image.batch_dim == 0
    assert len(list(loader)) == 5  # a second epoch


def test_loader_hook_and_original_batch():
    loader = SambaLoader(
        batches(2), ["flat", "label"], function_hook=lambda b: (b[0].flatten() * 2, b[1]), return_original_batch=True
    )
    for tensors, (image, _) in loader:
        assert tensors[0].shape == (24,)
        assert torch.equal(tensors[0].torch(), image.flatten() * 2)


def failing(after):
    yield from [(torch.zeros(1),)] * after
    raise OSError("the disk is gone")


def test_loader_reports_what_its_loader_raised():
    with pytest.raises(DataLoaderException, match="the disk is gone") as caught:
        list(SambaLoader(failing(2), ["x"]))
    assert isinstance(caught.value.__cause__, OSError)
    assert len(list(SambaLoader(failing(2), ["x"], ignore_dataloader_exception=True))) == 2


def test_loader_takes_its_names_from_a_dict_and_the_loader_by_either_keyword():
    batch = {"label": torch.ones(2), "image": torch.zeros(2), "unused": 1}
    for keyword in ("dataloader", "torch_loader"):
        (found,) = SambaLoader(**{keyword: [batch]}, names=["image", "label"])
        assert [t.sn_name for t in found] == ["image", "label"] and torch.equal(samba.to_torch(found[1]), torch.ones(2))
    with pytest.raises(DataLoaderException, match="no entry mask"):
        list(SambaLoader([batch], ["mask"]))
    with pytest.raises(TypeError, match="one argument under two names"):
        SambaLoader([batch], ["image"], torch_loader=[batch])


def test_an_exit_in_the_loader_reaches_the_loop():
    def leaving():
        yield (torch.zeros(1),)
        raise SystemExit

    with pytest.raises(DataLoaderException, match="SystemExit"):
        list(SambaLoader(leaving(), ["x"], timeout=30))


def test_loader_gives_up_waiting():
    def slow():
        time.sleep(5)
        yield (torch.zeros(1),)

    with pytest.raises(DataLoaderException, match="no batch came within 0.05 seconds"):
        next(iter(SambaLoader(slow(), ["x"], timeout=0.05)))


def test_loader_prepares_at_most_maxsize_batches_ahead():
    made = []

    def source():
        for index in range(100):
            made.append(index)
            yield (torch.zeros(1),)

    iterator = iter(SambaLoader(source(), ["x"], maxsize=2))
    next(iterator)
    time.sleep(0.3)
    assert len(made) <= 4
    iterator.close()


def test_loader_says_how_many_names_it_needs():
    with pytest.raises(DataLoaderException, match="2 tensors, but 1 names"):
        list(SambaLoader(batches(), ["image"]))


def test_batches_of_a_loader_run(tmp_path):
    utils.set_seed(1)
    model = Net()
    samba.from_torch_model_(model)
    inputs = (samba.randn(4, 6, name="image", batch_dim=0), samba.randint(3, (4,), name="label", batch_dim=0))
    outputs = compiled(model, inputs, tmp_path)
    for images, labels in SambaLoader(batches(2), ["image", "label"]):
        found = samba.session.run(input_tensors=(images, labels), output_tensors=outputs)
        torch.testing.assert_close(samba.to_torch(found[1]), model(images, labels)[1].torch().detach())


# ---- reports and data


def test_accuracy_report(tmp_path):
    path = tmp_path / "acc.json"
    AccuracyReport(val_accuracy=torch.tensor(0.5), batch_size=4, num_iterations=10).save(path)
    record = json.loads(path.read_text())
    assert record == {
        "batch_size": 4, "num_iterations": 10, "val_accuracy": 0.5, "val_metrics": {"acc": 0.5}
    }  # fmt: skip
    report = AccuracyReport(val_metrics={"acc": np.float32(0.25), "loss": 1.5}, batch_size=1, num_iterations=2)
    assert report.val_accuracy == 0.25 and report.to_dict()["val_metrics"]["loss"] == 1.5
    with pytest.raises(ValueError, match="val_metrics or val_accuracy"):
        AccuracyReport(batch_size=1)


@pytest.mark.parametrize("args", [{"num_features": 784}, argparse.Namespace(num_features=784), None])
def test_mnist_transform(args):
    pixels = np.arange(784, dtype=np.uint8).reshape(28, 28)
    vector = dataset_transform(args)(pixels)
    assert vector.shape == (784,) and vector.dtype == torch.float32
    torch.testing.assert_close(vector * 0.3081 + 0.1307, torch.from_numpy(pixels.reshape(-1)) / 255)
    torch.testing.assert_close(dataset_transform(args)(torch.from_numpy(pixels) / 255), vector)
    with pytest.raises(ValueError, match=r"\[3, 3\] has 9 pixels, but num_features is 784"):
        dataset_transform(args)(np.zeros((3, 3), np.uint8))


def idx(values, code):
    return struct.pack(f">BBBB{values.ndim}I", 0, 0, code, values.ndim, *values.shape) + values.tobytes()


def test_load_dataset_reads_what_is_on_disk(tmp_path):
    images = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx(images, 8))
    (tmp_path / "floats.idx.gz").write_bytes(gzip.compress(idx(np.array([1.5, -2], ">f4"), 13)))
    np.save(tmp_path / "more.npy", np.eye(2))
    np.savez(tmp_path / "both.npz", a=np.ones(2), b=np.zeros(3))
    torch.save({"x": torch.ones(1)}, tmp_path / "saved.pt")
    data = utils.load_dataset(tmp_path)
    assert set(data) == {"train-images-idx3-ubyte", "floats", "more", "both", "saved"}
    assert torch.equal(data["train-images-idx3-ubyte"], torch.from_numpy(images))
    assert data["floats"].tolist() == [1.5, -2.0] and data["both"]["b"].shape == (3,)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it starts with nothing"),
        (b"\x01\x02\x03\x04", "not an IDX file"),
        (b"\0\0\x08\x03\0\0", "truncated at byte 6, in the sizes of its 3 dims"),
        (b"\0\0\x08\x01\0\0\0\x05ab", r"it has 10 bytes, but its shape \[5\] needs 13"),
        (b"\0\0\x08\x02\xff\xff\xff\xff\xff\xff\xff\xff", "but its shape"),
    ],
)
def test_damaged_idx_files(tmp_path, content, message):
    path = tmp_path / "x.idx"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        utils.load_dataset(path)


def test_missing_data(tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing is downloaded"):
        utils.load_dataset(tmp_path / "none.npy")
    with pytest.raises(FileNotFoundError, match="holds no data file"):
        utils.load_dataset(tmp_path)
    (tmp_path / "x.gz").write_bytes(gzip.compress(b"abc")[:-3])
    with pytest.raises(ValueError, match="not a whole gzip file"):
        utils.load_dataset(tmp_path / "x.gz")


# ---- trainers and debug dumps


def test_both_trainers_take_the_same_steps(tmp_path):
    utils.set_seed(4)
    model = Net()
    reference = Net()
    reference.load_state_dict(model.state_dict())
    samba.from_torch_model_(model)
    inputs = (samba.randn(4, 6, name="image", batch_dim=0), samba.randint(3, (4,), name="label", batch_dim=0))
    compiled(model, inputs, tmp_path, samba.optim.SGD(model.parameters(), lr=0.0))
    loader, steps = list(batches(3)), []
    hyper = {"lr": 0.1}
    found = samba_trainer.train(
        model, loader, ["image", "label"], num_epochs=2, hyperparam_dict=hyper, on_step=lambda *s: steps.append(s)
    )
    expected = torch_trainer.train(reference, loader, torch.optim.SGD(reference.parameters(), lr=0.1), num_epochs=2)
    assert len(found) == 6 and [s for s, _ in steps] == list(range(1, 7))
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    torch.testing.assert_close(samba.to_torch(model.lin.weight), reference.lin.weight)
    assert len(samba_trainer.train(model, loader, ["image", "label"], num_steps=2)) == 2
    path = dump_accuracy_debug_info(tmp_path / "debug", model, {"bad": torch.tensor([1.0, float("nan"), 0.0])}, step=3)
    record = json.loads(open(path).read())
    assert record["step"] == 3 and record["tensors"]["bad"]["nan"] == 1 and record["tensors"]["bad"]["max"] == 1.0
    weight = record["parameters"]["lin.weight"]
    assert weight["value"]["shape"] == [3, 6] and weight["gradient"]["std"] > 0


def test_trainer_of_an_untraced_model():
    with pytest.raises(RuntimeError, match="Net is not traced"):
        samba_trainer.train(Net(), [], [])


# ---- layers


def test_weight_norm_keeps_the_function_and_trains_magnitude_and_direction(tmp_path):
    utils.set_seed(2)
    model = Net()
    image, label = torch.randn(4, 6), torch.randint(3, (4,))
    before = model(image, label)[1].detach()
    assert utils.weight_norm_(model) is model
    assert {n for n, _ in model.named_parameters()} == {"lin.bias", "lin.weight_magnitude", "lin.weight_direction"}
    torch.testing.assert_close(model(image, label)[1].detach(), before)
    samba.from_torch_model_(model)
    assert model.lin.weight_magnitude.sn_name == "net__lin__weight_magnitude"
    inputs = (samba.from_torch_tensor(image, name="image"), samba.from_torch_tensor(label, name="label"))
    outputs = compiled(model, inputs, tmp_path, samba.optim.SGD(model.parameters(), lr=0.1))
    samba.session.run(inputs, outputs)
    model(image, label)[0].backward()
    for parameter in model.parameters():
        torch.testing.assert_close(samba.to_torch(parameter.sn_grad), parameter.grad, rtol=1e-4, atol=1e-6)
    buffer = io.BytesIO()
    torch.save(model.lin, buffer)
    buffer.seek(0)
    again = torch.load(buffer, weights_only=False)
    assert type(again).__name__ == "Linear"
    torch.testing.assert_close(again(image).detach(), model.lin(image).torch().detach())
    with pytest.raises(ValueError, match="ReLU has no parameter 'weight'"):
        utils.weight_norm_(nn.ReLU())


def test_quantized_linear_is_near_its_origin_and_compiles(tmp_path):
    torch.manual_seed(3)
    linear = nn.Linear(16, 8)
    quantized = QuantizedLinear.from_float(linear)
    step = linear.weight.detach().abs().amax(1, keepdim=True) / 127
    assert quantized.weight.is_quantized and quantized.weight.dtype == torch.qint8
    error = (quantized.weight.dequantize() - linear.weight.detach()).abs()
    assert bool((error <= step * 0.5001).all())
    x = torch.randn(4, 16)
    expected = quantized(x).detach()
    samba.from_torch_model_(quantized)
    inputs = (samba.from_torch_tensor(x, name="x"),)
    found = samba.session.run(inputs, compiled(quantized, inputs, tmp_path))[0]
    torch.testing.assert_close(samba.to_torch(found), expected, rtol=1e-5, atol=1e-6)


def test_the_weights_of_a_quantized_linear_come_from_every_form_of_state():
    linear, x = nn.Linear(6, 4), torch.randn(3, 6)
    quantized = QuantizedLinear.from_float(linear)
    state = quantized.state_dict()
    assert set(state) == {"weight", "bias"} and state["weight"].is_quantized
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    per_tensor = torch.quantize_per_tensor(linear.weight.detach(), 0.01, 0, torch.qint8)
    integers = {"weight": state["weight"].int_repr(), "scale": state["weight"].q_per_channel_scales().float()}
    for saved, tolerance in ((torch.load(file, weights_only=True), 0), (linear.state_dict(), 0),
                             ({**integers, "bias": state["bias"]}, 0),
                             ({"weight": per_tensor, "bias": state["bias"]}, 0.1)):  # fmt: skip
        other = QuantizedLinear(6, 4)
        other.load_state_dict(saved)
        torch.testing.assert_close(other(x), quantized(x), rtol=0, atol=tolerance)
    with pytest.raises(ValueError, match="zero point"):
        quantized.weight = torch.quantize_per_tensor(linear.weight.detach(), 0.01, 3, torch.qint8)
    again = copy.deepcopy(quantized)
    again.weight = per_tensor
    assert torch.equal(again.weight.dequantize(), per_tensor.dequantize())


# ---- arguments


def test_run_args_survive_their_own_dump():
    args = RunArgs(pef="a.pef")
    assert RunArgs(**args.model_dump()) == args
    assert "pef" in type(args).model_fields and RunArgs().pef is None
    assert set(CommonArgs.model_fields) <= set(CompileArgs.model_fields)


def test_compile_args_take_known_and_unknown_fields():
    args = CompileArgs(arch="sn30", optim_level="o1", resources_scaling_factors=[4, 0.5], some_new_field=3)
    assert args.resources_scaling_factors == ["4", "0.5"] and args.some_new_field == 3
    assert args.model_dump()["some_new_field"] == 3
    with pytest.raises(ValueError, match="optim_level"):
        CompileArgs(optim_level="o2")


def test_a_program_compiles_from_compile_args(tmp_path):
    model = Net()
    samba.from_torch_model_(model)
    inputs = (samba.randn(4, 6, name="image"), samba.randint(3, (4,), name="label"))
    args = CompileArgs(output_folder=str(tmp_path), pef_name="zoo", inference=True)
    samba.session.setup(args)
    pef = samba.session.compile(model, inputs, inference=True, config_dict=args.model_dump())
    assert pef == str(tmp_path / "zoo" / "zoo.pef")
    samba.session.setup(RunArgs(pef=pef))
    assert len(utils.trace_graph(model, inputs, pef=pef)) == 2


def test_samba_config_checks_and_fills():
    given = argparse.Namespace(command="run", pef="a.pef", n_chips=None, lr=0.1)
    params = SambaConfig(given, SNConfig).get_all_params()
    assert (params.pef, params.lr, params.command, params.n_chips) == ("a.pef", 0.1, "run", 1)
    with pytest.raises(ValueError, match="SNConfig: n_chips: "):
        SambaConfig({"n_chips": "many"}, SNConfig)


# ---- small things


@pytest.mark.parametrize("name", env.SWITCHES)
def test_switches_follow_their_variables(name, monkeypatch):
    switch, variable = getattr(env, name), f"SAMBA_{name.upper()}"
    monkeypatch.delenv(variable, raising=False)
    assert switch() is env.SWITCHES[name]
    monkeypatch.setenv(variable, "0" if env.SWITCHES[name] else "1")
    assert switch() is not env.SWITCHES[name]
    monkeypatch.setenv(variable, "maybe")
    with pytest.raises(ValueError, match=f"{variable}='maybe': expected 0 or 1"):
        switch()


def test_graphs_flatten_to_their_tensors():
    a, b, c = (samba.randn(2, name=name) for name in "abc")
    graph = FwdGraph({"x": a, "cache": {"pairs": [(b, None), (a, True)]}}, (c, [(b, c)]), name="fwd")
    assert [t.sn_name for t in graph.start] == ["a", "b"] and [t.sn_name for t in graph.stop] == ["c", "b"]
    assert isinstance(graph, SambaGraph) and graph.name == "fwd"
    with pytest.raises(ValueError, match="stop holds no SambaTensor"):
        FwdGraph((a,), (), "empty")


@pytest.mark.parametrize(
    "call",
    [
        lambda: samba.session.add_graph(FwdGraph((), (samba.randn(1, name="y"),), "g")),
        lambda: samba.session.compile_multigraph(name="x", config_dict={}, enable_hypersection=True, inference=True),
        lambda: samba.session.init_multigraph_runtime("x.pef"),
        lambda: utils.trace_multigraph(None, {}, trace_prefix="p"),
    ],
)
def test_several_graphs_are_refused_with_one_message(call):
    with pytest.raises(NotImplementedError, match="several graphs in one PEF are not supported yet; compile each"):
        call()


def test_what_makes_no_sense_on_a_cpu_says_so():
    with pytest.raises(NotImplementedError, match="no units of a chip"):
        utils.create_mac_resource_report("a", "b", "c", "d")
    with pytest.raises(NotImplementedError, match="talks to a network"):
        Queue(request_queue_name="q", mock_inputs=[])
    with pytest.raises(NotImplementedError, match="shapes are fixed"):
        samba.session.create_dynamic_dim("batch", 1, 16)


def test_conv_tiling_metadata_is_accepted(tmp_path):
    model = nn.Conv2d(1, 2, 3)
    samba.from_torch_model_(model)
    image = samba.randn(1, 1, 6, 6, name="image")
    metadata = {ConvTilingMetadata.key: ConvTilingMetadata(original_size=image.shape)}
    assert metadata[ConvTilingMetadata.key].original_size == (1, 1, 6, 6)
    assert compiled(model, (image,), tmp_path, metadata=metadata)[0].shape == (1, 2, 4, 4)


def test_affinity_of_ranks(monkeypatch):
    before = os.sched_getaffinity(0)
    try:
        utils.fix_rdu_affinity()
        assert os.sched_getaffinity(0) == before
        if len(before) > 1:
            shares = []
            for rank in ("0", "1"):
                monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
                monkeypatch.setenv("LOCAL_RANK", rank)
                os.sched_setaffinity(0, before)
                utils.fix_rdu_affinity()
                shares.append(os.sched_getaffinity(0))
            assert shares[0] | shares[1] == before and not shares[0] & shares[1]
    finally:
        os.sched_setaffinity(0, before)
