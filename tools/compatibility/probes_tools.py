# SPDX-License-Identifier: Apache-2.0
"""Probes of utils, arguments, loader, reports, logging, layers."""

import contextlib
import io
import json
import logging
import os

import numpy as np
import torch
from sambaflow import samba
from sambaflow.frameworks.quantized.quantized_linear import QuantizedLinear
from sambaflow.logging import samba_logger
from sambaflow.mac.metadata import ConvTilingMetadata
from sambaflow.online_inference_service.sn_sqs_handler import Queue
from sambaflow.samba import env, utils
from sambaflow.samba.argconf.args import CommonArgs, CompileArgs, RunArgs
from sambaflow.samba.directives import op_fusion, sdpa_directives
from sambaflow.samba.lazy_param import RNGProviderFactory, lazy_param
from sambaflow.samba.materialize import materialize
from sambaflow.samba.sambaloader import DataLoaderException, SambaLoader
from sambaflow.samba.schema.snconfig import SNConfig
from sambaflow.samba.test import TestWithGold, consistency_test
from sambaflow.samba.utils import argparser, pef_utils
from sambaflow.samba.utils.benchmark_acc import AccuracyReport
from sambaflow.samba.utils.common import common_app_driver
from sambaflow.samba.utils.dataset.mnist import dataset_transform
from sambaflow.samba.utils.tensorboard_debug import dump_accuracy_debug_info
from sambaflow.samba.utils.trainer import samba as samba_trainer
from sambaflow.samba.utils.trainer import torch as torch_trainer
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from world import Net, close, raises

# ---- helpers


def seeds_repeat(world):
    utils.set_seed(5)
    first = torch.rand(2), np.random.rand()
    utils.set_seed(5)
    assert torch.equal(first[0], torch.rand(2)) and first[1] == np.random.rand()


def file_dir(world):
    assert utils.get_file_dir(__file__) == os.path.dirname(os.path.abspath(__file__))


def ranks_of_one_process(world):
    assert (utils.get_rank(), utils.get_world_size(), utils.is_main_process()) == (0, 1, True)


def element_types(world):
    convert = utils.SNType.to_torch_reference_type
    assert convert(utils.SNType.INT32) == torch.int32 and convert(torch.bfloat16) == torch.bfloat16
    assert torch.iinfo(convert(utils.SNType.UINT16)).max >= 2**16 - 1


def assert_close_names_the_worst(world):
    a, b = torch.zeros(3), torch.tensor([0.0, 0.5, 0.1])
    utils.assert_close(a, b, "tensor", threshold=0.6)
    assert "[1]" in raises(AssertionError, lambda: utils.assert_close(a, b, "tensor", threshold=0.2))
    with world.quiet() as text:
        utils.assert_close(a, a, "same", threshold=0.0, visualize=True)
    assert "same" in text.getvalue()


def weight_norm(world):
    model = Net()
    image, label = torch.randn(4, 6), torch.zeros(4, dtype=torch.int64)
    before = model(image, label)[1]
    utils.weight_norm_(model)
    assert "out.weight_magnitude" in dict(model.named_parameters())
    close(model(image, label)[1], before)
    world.traced(model).run()


def affinity_of_one_rank(world):
    before = os.sched_getaffinity(0)
    utils.fix_rdu_affinity()
    assert os.sched_getaffinity(0) == before


def data_sets_from_disk(world):
    np.save(world.path("x.npy"), np.ones(3))
    assert utils.load_dataset(world.path("x.npy")).tolist() == [1, 1, 1]
    assert "downloaded" in raises(FileNotFoundError, lambda: utils.load_dataset(world.path("y.npy")))


def mac_resource_report(world):
    utils.create_mac_resource_report("a", "b", "c", "d")


def performance_is_measured(world):
    program = world.traced()
    files = {"json": world.path("m.json"), "compiled_stats_json": world.path("s.json")}
    options = {"data_parallel": False, "reduce_on_rdu": False, "min_duration": 0, "n_iterations": 3, "world_size": 1}
    seeds = []
    with world.quiet() as text:
        throughput, latency = utils.measure_performance(
            program.model,
            program.inputs,
            4,
            1,
            False,
            run_graph_only=False,
            set_output_grads=seeds.append,
            **files,
            **options,
        )
        utils.measure_performance(program.model, program.inputs, 4, 1, True, run_graph_only=True, **options)
        utils.measure_performance(program.model, program.inputs, 4, 1, False, use_sambaloader=True, **options)
    assert abs(throughput * latency - 4) < 1e-6 and "e2e_throughput" in text.getvalue() and len(seeds) == 1
    assert all(os.path.getsize(path) for path in files.values())


def performance_of_ranks(world):
    program = world.traced()
    utils.measure_performance(program.model, program.inputs, data_parallel=True, world_size=2)


def sections_are_measured(world):
    program = world.traced()
    with world.quiet():
        records = utils.measure_sections(
            program.model, program.inputs, num_sections=None, n_iterations=3, batch_size=4, json=world.path("s.json")
        )
    assert {"fwd", "bckwd", "opt"} <= {r["type"] for r in records} and all(r["seconds"] >= 0 for r in records)


def driver(world):
    def drive(*argv):
        utils.set_seed(3)
        model = Net()
        samba.from_torch_model_(model)
        optimizer = samba.optim.SGD(model.parameters(), lr=0.1)
        args = argparser.parse_app_args(argv=[*argv, "-b", "4"])
        with world.quiet() as text:
            common_app_driver(args, model, world.inputs(), optim=optimizer, name="net", app_dir=world.folder,
                              squeeze_bs_dim=True, init_output_grads=True, metadata={})  # fmt: skip
        return text.getvalue()

    drive("compile", "--pef-name", "net", "--output-folder", world.folder)
    pef = ("--pef", world.path("net/net.pef"))
    assert "e2e_throughput" in drive("measure-performance", *pef, "--num-iterations", "2")
    assert "us/run" in drive("measure-sections", *pef, "--num-iterations", "2")
    assert "hidden.weight.grad" in drive("test", *pef)
    assert drive("run", *pef) == ""


def accuracy_report(world):
    AccuracyReport(val_metrics={"acc": 0.5}, batch_size=4, num_iterations=2).save(world.path("a.json"))
    AccuracyReport(val_accuracy=torch.tensor(0.5), batch_size=4, num_iterations=2).save(world.path("b.json"))
    with open(world.path("a.json")) as a, open(world.path("b.json")) as b:
        assert json.load(a) == json.load(b)


def mnist_transform(world):
    vector = dataset_transform({"num_features": 784})(np.zeros((28, 28), np.uint8))
    close(vector, torch.full((784,), -0.1307 / 0.3081))


def accuracy_debug_info(world):
    program = world.traced()
    program.run()
    path = dump_accuracy_debug_info(world.path("debug"), program.model, {"nan": torch.tensor([float("nan")])})
    with open(path) as file:
        record = json.load(file)
    assert record["tensors"]["nan"]["nan"] == 1 and "gradient" in record["parameters"]["out.weight"]


def trainers(world):
    program = world.traced(optimizer=lambda p: samba.optim.SGD(p, lr=0.1))
    loader = [(torch.randn(4, 6), torch.randint(3, (4,))) for _ in range(3)]
    found = samba_trainer.train(program.model, loader, ["image", "label"])
    expected = torch_trainer.train(program.reference, loader, torch.optim.SGD(program.reference.parameters(), lr=0.1))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def sharded_checkpoint(world):
    program = world.traced()
    state = {name: torch.full_like(t, 0.5) for name, t in program.reference.state_dict().items()}
    torch.save({k: v for k, v in state.items() if "hidden" in k}, world.path("a.bin"))
    torch.save({k: v for k, v in state.items() if "out" in k}, world.path("b.bin"))
    index = {"weight_map": {k: "a.bin" if "hidden" in k else "b.bin" for k in state}}
    with open(world.path("pytorch_model.bin.index.json"), "w") as file:
        json.dump(index, file)
    utils.checkpoint.load_sharded_checkpoint(program.model, world.folder, ignore_dtype_mismatch=True)
    assert float(program.model.out.bias.sn_data.sum()) == 1.5


def saved_tensors(world):
    before = set(os.listdir(world.folder))
    utils.checkpoint.save_tensors({"x": samba.ones(2, name="x")}, world.path("tensors.pt"))
    assert set(os.listdir(world.folder)) - before


def consistency(world):
    program = world.traced()

    @consistency_test()
    def test(args, model, inputs, outputs):
        return [("loss", samba.session.run(inputs, outputs)[0])]

    assert test(None, program.model, program.inputs, program.outputs)[0][0] == "loss"


def with_gold(world):
    program = world.traced()

    @TestWithGold()
    def test(args, model, inputs, outputs):
        loss, logits = samba.session.run(inputs, outputs, section_types=["fwd", "bckwd"])
        return [("loss", loss), ("logits", logits), ("out.weight.grad", model.out.weight.sn_grad)]

    with world.quiet() as text:
        test(None, program.model, program.inputs, program.outputs)
    assert text.getvalue().count("ok") == 3


# ---- arguments


def parses_commands(world):
    seen = []
    hook = lambda name: lambda parser: (seen.append(name), parser.add_argument(f"--{name}", type=int, default=3))  # noqa: E731
    hooks = {f"{n}_parser_fn": hook(n) for n in ("common", "compile", "run", "test")}
    args = argparser.parse_app_args(argv=["run", "--pef", "a.pef", "--run", "5"], dev_mode=True, **hooks)
    assert (args.command, args.pef, args.run, args.common) == ("run", "a.pef", 5, 3)
    for command in ("compile", "test", "measure-performance", "measure-sections"):
        assert argparser.parse_app_args(argv=[command], **hooks).command == command


def programs_redefine_options(world):
    def common(parser):
        parser.add_argument("-b", "--batch-size", type=int, default=32)
        parser.add_argument("-e", "--num-epochs", type=int, default=1)
        parser.add_argument("-n", "--num-iterations", type=int, default=7)
        parser.add_argument("--world-size", type=int, default=9)
        parser.add_argument("--visualize", action="store_true")
        parser.add_argument("--data-dir", default="x")
        parser.add_argument("--h", type=int, default=2)

    args = argparser.parse_app_args(argv=["compile", "--h", "4"], common_parser_fn=common)
    assert (args.batch_size, args.num_iterations, args.world_size, args.h) == (32, 7, 9, 4)


def single_dash_flags(world):
    def common(parser):
        for name in ("-bs", "-mbsize", "-psz", "-lr"):
            parser.add_argument(name, type=float, default=0.0)
        parser.add_argument("-print", action="store_true")

    args = argparser.parse_app_args(
        argv=["compile", "-bs", "4", "-lr", "0.5", "-print", "-mbsize", "2"], common_parser_fn=common
    )
    assert (args.bs, args.lr, args.mbsize, args.print, args.batch_size) == (4, 0.5, 2, True, 1)


def attributes_on_every_command(world):
    compiled = vars(argparser.parse_app_args(argv=["compile"]))
    ran = vars(argparser.parse_app_args(argv=["run", "--pef", "x"]))
    assert set(compiled) == set(ran)


def run_needs_pef(world):
    with contextlib.redirect_stderr(io.StringIO()) as text:
        raises(SystemExit, lambda: argparser.parse_app_args(argv=["run"]))
    assert "--pef" in text.getvalue()


def yaml_to_args(world):
    with open(world.path("a.yaml"), "w") as file:
        file.write("lr: 0.5\nbatch-size: 8\n")
    args = argparser.parse_yaml_to_args(world.path("a.yaml"), argparser.parse_app_args(argv=["compile"]))
    assert (args.lr, args.batch_size) == (0.5, 8)


def samba_config(world):
    args = argparser.parse_app_args(argv=["compile", "--pef-name", "x"])
    assert argparser.SambaConfig(args, SNConfig).get_all_params().pef_name == "x"


def pef_metadata(world):
    args = argparser.parse_app_args(argv=["compile", "-b", "4"])
    meta = pef_utils.get_pefmeta(args, Net())
    nested = pef_utils.get_pefmeta_dict({"a": {"b": [1, None, 2.5, True]}, "set": {1}}, Net())
    model = Net()
    samba.from_torch_model_(model)
    with world.quiet():
        pef = samba.session.compile(
            model, world.inputs(), inference=True, config_dict=world.config(), pef_metadata={**meta, **nested}
        )
    fields = {name: pef_utils.PefInfoStruct(mock_value=None) for name in ("batch_size", "a", "set")}
    assert pef_utils.get_pef_info(pef, fields) == {"batch_size": 4, "a": {"b": [1, None, 2.5, True]}, "set": "{1}"}


def missing_pef_field(world):
    pef = world.traced().pef
    call = lambda: pef_utils.get_pef_info(pef, {"nothing": pef_utils.PefInfoStruct({})})  # noqa: E731
    assert "nothing" in raises(ValueError, call)


def argument_models(world):
    args = RunArgs(pef="a.pef")
    assert RunArgs(**args.model_dump()) == args and set(CommonArgs.model_fields) < set(CompileArgs.model_fields)
    assert CompileArgs(arch="sn30", unknown_field=3).model_dump()["unknown_field"] == 3


# ---- nn and switches


def nn_is_torch(world):
    assert samba.nn.Module is nn.Module
    model = samba.nn.Sequential(
        samba.nn.Conv2d(in_channels=1, out_channels=2, kernel_size=3, padding=1, bias=True),
        samba.nn.BatchNorm2d(num_features=2), samba.nn.ReLU(inplace=True), samba.nn.MaxPool2d(kernel_size=2, stride=2),
        samba.nn.ConvTranspose2d(2, 1, kernel_size=2, stride=2), samba.nn.Linear(4, 2),
    )  # fmt: skip
    program = world.traced(model, (samba.randn(2, 1, 4, 4, name="x"),), optimizer=None)
    close(program.run()[0], program.reference.eval()(*program.plain()))


def lazy_parameters(world):
    with lazy_param():
        model = nn.Linear(3, 2)
    assert not model.weight.has_data
    with materialize(model):
        assert 0 < float(model.weight.detach().abs().max()) < 1
    assert not model.weight.has_data


def lazy_quantized(world):
    linear = nn.Linear(3, 2)
    with lazy_param(quantized=True):
        models = QuantizedLinear.from_float(linear), QuantizedLinear.from_float(nn.Linear(3, 2))
    assert not models[0].int_weight.has_data and all(model.weight.is_quantized for model in models)
    assert all(bool(model.int_weight.any()) for model in models)


def random_providers(world):
    rng = RNGProviderFactory().build_provider()()
    drawn = rng.normal(0.0, 1.0, torch.Size([4, 2]), dtype=torch.bfloat16)
    drawn[0].zero_()
    assert drawn.dtype == torch.bfloat16 and drawn.shape == (4, 2)


def mock_runtime(world):
    assert env.use_mock_samba_runtime() is False
    os.environ["SAMBA_USE_MOCK_SAMBA_RUNTIME"] = "1"
    try:
        assert env.use_mock_samba_runtime() is True
        assert pef_utils.get_pef_info("none.pef", {"x": pef_utils.PefInfoStruct(5)}) == {"x": 5}
    finally:
        del os.environ["SAMBA_USE_MOCK_SAMBA_RUNTIME"]


def switches(world):
    assert [env.enable_conv_grad_accum_stoc(), env.enable_addbias_grad_accum_stoc(), env.disable_sgd_stoc()] == [
        False, False, True]  # fmt: skip


def quantized_linear(world):
    linear = nn.Linear(8, 4)
    quantized = QuantizedLinear.from_float(linear)
    x = torch.randn(2, 8)
    close(quantized(x), linear(x), rtol=0.05, atol=0.05)
    program = world.traced(quantized, (samba.from_torch_tensor(x, name="x"),), optimizer=None)
    close(program.run()[0], program.reference(x))


def conv_tiling(world):
    metadata = {ConvTilingMetadata.key: ConvTilingMetadata(original_size=(1, 1, 8, 8))}
    program = world.traced(nn.Conv2d(1, 1, 3), (samba.randn(1, 1, 8, 8, name="x"),), optimizer=None)
    with world.quiet():
        samba.session.compile(
            program.model, program.inputs, inference=True, config_dict=world.config("b"), metadata=metadata
        )


def request_queue(world):
    Queue(request_queue_name="requests", mock_inputs=[])


# ---- directives, loader, logging


def op_fusion_is_reusable(world):
    fusion = op_fusion(func_name="encoder", heuristic={"tiling": 1}, heuristic_params={}, plugins=["a"],
                       reuse_last_id=False, user_annotated=True)  # fmt: skip
    for _ in range(2):
        with fusion:
            assert samba.session._context_directives["func_name"] == "encoder"
            assert "opfusion_id" not in samba.session._context_directives  # programs set it inside
    assert not samba.session._context_directives


def op_fusion_of_a_module(world):
    op_fusion(nn.Linear(1, 1), "Encoder")


def sdpa_directives_enter(world):
    with sdpa_directives({"sdp_mixed_p": True, "sdp_block_size": None}):
        pass


def _loader(**options):
    data = TensorDataset(torch.randn(8, 6), torch.randint(3, (8,)))
    return SambaLoader(DataLoader(data, batch_size=4), ["image", "label"], **options)


def loader_forms(world):
    loader = _loader(maxsize=2, function_hook=lambda b: [b[0] * 0, b[1]], timeout=30)
    assert len(loader) == 2 and isinstance(loader.dataloader, DataLoader)
    for image, label in loader:
        assert (image.sn_name, label.sn_name, image.size(0)) == ("image", "label", 4) and not image.any()


def loader_errors(world):
    def broken():
        yield (torch.zeros(1),)
        raise OSError("gone")

    assert "gone" in raises(DataLoaderException, lambda: list(SambaLoader(broken(), ["x"])))
    assert len(list(SambaLoader(broken(), ["x"], ignore_dataloader_exception=True))) == 1


def loader_original_batch(world):
    program = world.traced()
    for tensors, (image, label) in _loader(return_original_batch=True):
        found = samba.session.run(input_tensors=(tensors,), output_tensors=program.outputs, section_types=["fwd"])
        close(found[1], program.reference(image, label)[1])


def logger_limits(world):
    shown, careful = [], f"careful in {world.folder}"
    handler = logging.Handler()
    handler.emit = lambda record: shown.append(record.getMessage())
    logger = logging.getLogger("sambaflow")
    level = logger.level
    logger.addHandler(handler)
    try:
        logger.setLevel(logging.INFO)
        with world.quiet():
            for _ in range(3):
                samba_logger.warning(careful, log_limit=1)
                samba_logger.info("compatibility: hello")
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
    assert shown.count(careful) == 1 and shown.count("compatibility: hello") == 3


# ---- state dicts


def state_dicts(world):
    program = world.traced()
    program.run()
    samba.session.to_cpu(program.model)
    torch.save({"model": program.model.state_dict(), "optimizer": program.optimizer.state_dict()}, world.path("c.pt"))
    loaded = torch.load(world.path("c.pt"))
    program.model.load_state_dict(loaded["model"])
    program.reference.load_state_dict(loaded["model"])
    program.optimizer.load_state_dict(loaded["optimizer"])
    close(program.model.out.weight, program.reference.out.weight)


def whole_models(world):
    model = nn.Linear(2, 2)
    samba.from_torch_model_(model)
    torch.save(model, world.path("m.pt"))
    close(torch.load(world.path("m.pt"), weights_only=False).weight, model.weight)


def lstm_follows(world):
    lstm = nn.LSTM(3, 4)
    samba.from_torch_model_(lstm)
    assert all(a is b for a, b in zip(lstm._flat_weights, lstm.parameters(), strict=True))
    close(lstm(torch.ones(2, 1, 3))[0], lstm(torch.ones(2, 1, 3))[0])
