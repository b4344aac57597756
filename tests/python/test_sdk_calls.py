# SPDX-License-Identifier: Apache-2.0
"""Ways in which programs elsewhere call the SDK: each works, or says by name why not."""

import copy

import pytest
import torch
import torch.nn.functional as F
from sambaflow import samba
from sambaflow.samba import utils
from sambaflow.samba.directives import op_fusion
from sambaflow.samba.test import TestWithGold, compare_with_host
from sambaflow.samba.utils.argparser import parse_app_args
from sambaflow.samba.utils.checkpoint import save_checkpoint
from sambaflow.samba.utils.common import common_app_driver
from torch import nn

pytest.importorskip("sambaflow._leat")


class Net(nn.Module):
    def __init__(self, bias=True):
        super().__init__()
        self.fc = nn.Linear(6, 4, bias=bias)
        self.criterion = nn.CrossEntropyLoss()

    def forward(self, x, y):
        logits = self.fc(x)
        return self.criterion(logits, y), logits


class Function(nn.Module):
    """`function(self, *inputs)` as a model with an embedding and a linear layer."""

    def __init__(self, function):
        super().__init__()
        self.table, self.fc, self.function = nn.Embedding(5, 4), nn.Linear(6, 4), function

    def forward(self, *inputs):
        return self.function(self, *inputs)


@pytest.fixture(autouse=True)
def own_arguments():
    """Options of a test do not reach the next one."""
    samba.session.args = None
    yield
    samba.session.args = None


@pytest.fixture
def config(tmp_path):
    return {"output_folder": str(tmp_path), "pef_name": "net"}


def inputs(batch=3):
    return samba.randn(batch, 6, name="x", batch_dim=0), samba.randint(4, (batch,), name="y", batch_dim=0)


def built(config, seed=0, **options):
    """A traced training program: model, inputs, optimizer, PEF."""
    torch.manual_seed(seed)
    model = Net()
    samba.from_torch_model_(model)
    optimizer, given = samba.optim.SGD(model.parameters(), lr=0.1), inputs()
    pef = samba.session.compile(model, given, optimizer, config_dict=config, **options)
    utils.trace_graph(model, given, optimizer, pef=pef)
    return model, given, optimizer, pef


def inferred(model, given, config):
    """The outputs of an inference program."""
    samba.from_torch_model_(model)
    pef = samba.session.compile(model, given, None, inference=True, config_dict=config)
    traced = utils.trace_graph(model, given, pef=pef)
    return [samba.to_torch(t) for t in samba.session.run(given, traced)]


# ---- the session


def test_tracing_may_be_set_to_what_it_is(config):
    model, given, _, _ = built(config)
    samba.session.tracing = False
    gold = model(*given)
    utils.assert_close(samba.session.run(given, model.output_tensors)[1], gold[1], "logits")
    with pytest.raises(NotImplementedError, match="tracing is begun by session.compile"):
        samba.session.tracing = True

    def leaves(self, x):
        samba.session.tracing = False
        return self.fc(x)

    with pytest.raises(NotImplementedError, match="inside forward"):
        inferred(Function(leaves), given[:1], config)


def test_optimizers_go_by_either_keyword(config):
    model, given, optimizer, _ = built(config)
    first = samba.session.compile(model, given, optim=optimizer, config_dict={**config, "pef_name": "again"})
    utils.trace_graph(model, given, optimizers=optimizer, pef=first)
    assert "opt" in samba.session._runner.section_names
    with pytest.raises(TypeError, match="one argument under two names"):
        samba.session.compile(model, given, optimizer, optim=optimizer, config_dict=config)
    with pytest.raises(TypeError, match=r"utils\.trace_graph\(\) got an unexpected keyword argument 'loss_index'"):
        utils.trace_graph(model, given, optimizer, pef=first, loss_index=0)


def test_an_optimizer_is_left_aside_with_inference(config, tmp_path):
    args = parse_app_args(["compile", "--inference", "--pef-name", "net", "--output-folder", str(tmp_path)])
    model = Net()
    samba.from_torch_model_(model)
    optimizer, given = samba.optim.SGD(model.parameters(), lr=0.1), inputs()
    pef = samba.session.compile(model, given, optimizer, config_dict=vars(args))
    parse_app_args(["run", "--inference", "--pef", pef])
    traced = utils.trace_graph(model, given, optimizer, pef=pef)
    utils.assert_close(samba.session.run(given, traced)[1], model(*given)[1])
    samba.session.args = None
    with pytest.raises(ValueError, match="compiled for inference and cannot train"):
        utils.trace_graph(model, given, optimizer, pef=pef)


def test_several_models_live_in_one_process(config):
    first, given, optimizer, pef = built(config)
    second = Net()
    samba.from_torch_model_(second)
    other = samba.optim.SGD(second.parameters(), lr=0.5, momentum=0.9)
    utils.trace_graph(second, given, other, pef=samba.session.compile(second, given, other, config_dict={
        **config, "pef_name": "second"}))  # fmt: skip
    references = [copy.deepcopy(first), copy.deepcopy(second)]
    optimizers = [torch.optim.SGD(references[0].parameters(), lr=0.1),
                  torch.optim.SGD(references[1].parameters(), lr=0.5, momentum=0.9)]  # fmt: skip
    plain = [samba.to_torch(t) for t in given]
    for _ in range(3):
        for model, reference, step in zip((first, second), references, optimizers, strict=True):
            loss, _ = samba.session.run(given, model.output_tensors)
            step.zero_grad()
            gold = reference(*plain)[0]
            gold.backward()
            utils.assert_close(model.fc.weight.sn_grad, reference.fc.weight.grad, "gradient")
            step.step()
            utils.assert_close(loss, gold)
    for model, reference in zip((first, second), references, strict=True):
        samba.session.to_cpu(model)
        utils.assert_close(model.fc.weight, reference.fc.weight)
        utils.assert_close(model.fc.weight.sn_data, reference.fc.weight)
    assert "momentum_buffer" in other.state[second.fc.weight]
    with torch.no_grad():
        first.fc.weight.zero_()
    samba.session.to_rdu(first)
    assert not samba.to_torch(first.fc.weight.sn_data).any() and samba.to_torch(second.fc.weight.sn_data).any()
    assert utils.trace_graph(first, given, optimizer, pef=pef)[0].sn_name == "net__criterion__cross_entropy__outputs__0"


def test_a_checkpoint_of_a_model_that_was_not_traced_holds_its_own_weights(config, tmp_path):
    traced, given, _, _ = built(config)
    other = Net()
    samba.from_torch_model_(other)
    before = samba.to_torch(other.fc.weight).detach().clone()
    samba.session.run(given, traced.output_tensors)
    for model in (other, traced):
        save_checkpoint(str(tmp_path / "c.pt"), model)
        saved = torch.load(tmp_path / "c.pt", weights_only=True)["model"]["fc.weight"]
        assert torch.equal(saved, before if model is other else samba.to_torch(traced.fc.weight.sn_data))


def test_a_model_without_parameters_is_copied_to_either_side(config):
    given = inputs()[:1]
    (found,) = inferred(torch.nn.Tanh(), given, config)
    assert found.shape == (3, 6)
    model = torch.nn.Tanh()
    samba.session.to_cpu(model)
    samba.session.to_rdu(model)


def test_names_may_be_given_to_every_tensor_of_a_model(config, tmp_path):
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc, self.norm = nn.Linear(6, 4), nn.BatchNorm1d(4)
            self.register_buffer("scale", samba.SambaTensor(torch.full((4,), 2.0)))
            self.register_buffer("shift", samba.SambaTensor(torch.full((4,), 0.5)))

        def forward(self, x):
            return self.norm(self.fc(x)) * self.scale + self.shift

    model = Scaled()
    samba.from_torch_model_(model)
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        if isinstance(tensor, samba.SambaTensor) and name != "shift":
            tensor.sn_name = f"mine.{name}"
    given = inputs()[:1]
    pef = samba.session.compile(model, given, None, inference=True, config_dict=config)
    traced = utils.trace_graph(model, given, pef=pef)
    names = ["mine.fc.weight", "mine.scale", "scaled__shift", "scaled__norm__running_mean"]
    found = samba.session.get_tensors_by_name(names)
    assert [tuple(t.shape) for t in found] == [(4, 6), (4,), (4,), (4,)]
    torch.save({**model.state_dict(), "scale": torch.full((4,), 3.0)}, tmp_path / "state.pt")
    utils.checkpoint.load_sharded_checkpoint(model, str(tmp_path / "state.pt"))
    samba.session.to_cpu(model)
    assert bool((model.scale == 3).all())
    utils.assert_close(samba.session.run(given, traced)[0], model.eval()(*given))


def test_data_is_a_plain_tensor_of_the_same_memory():
    model = Net()
    samba.from_torch_model_(model)
    data = model.fc.weight.data
    assert type(data) is torch.Tensor and not data.requires_grad
    data.fill_(2.0)
    assert bool((model.fc.weight == 2).all()) and type(samba.randn(2, name="x").data) is torch.Tensor


def test_tensors_are_made_as_in_torch_with_a_name_and_a_batch_dim():
    array = torch.arange(6.0).reshape(2, 3).numpy()
    made = {
        "zeros": [2, 3], "ones": [(2, 3)], "empty": [2, 3], "full": [(2, 3), 4.0], "rand": [[2, 3]], "randn": [2, 3],
        "randint": [5, (2, 3)], "rand_like": [torch.ones(2, 3)], "randn_like": [torch.ones(2, 3)],
        "from_numpy": [array], "tensor": [array.tolist()], "eye": [2, 3],
    }  # fmt: skip
    for function, arguments in made.items():
        tensor = getattr(samba, function)(*arguments, name=function, batch_dim=0)
        assert (tensor.sn_name, tensor.batch_dim, tuple(tensor.shape)) == (function, 0, (2, 3)), function
    for function, arguments in {"arange": [4], "linspace": [0, 1, 4], "randperm": [4]}.items():
        assert getattr(samba, function)(*arguments, name=function).shape == (4,)


# ---- losses


def gradient_of(model, config):
    """Seeds of the outputs, and the gradient of `fc.weight`."""
    given = inputs()
    samba.from_torch_model_(model)
    optimizer = samba.optim.SGD(model.parameters(), lr=0.1)
    pef = samba.session.compile(model, given, optimizer, config_dict=config)
    traced = utils.trace_graph(model, given, optimizer, pef=pef)
    samba.session.run(given, traced, section_types=["fwd", "bckwd"])
    return [t._binding.seed for t in traced], model.fc.weight.sn_grad, [samba.to_torch(t) for t in given]


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 1, 0)])
def test_a_loss_of_each_sample_beside_the_mean_is_no_loss(config, order):
    def function(self, x, y):
        logits = self.fc(x)
        each = F.cross_entropy(logits, y, reduction="none")
        return [(each.mean(), each, logits)[i] for i in order]

    model = Function(function)
    seeds, gradient, (x, y) = gradient_of(model, config)
    assert [seeds[order.index(i)] for i in range(3)] == ["one", "zero", "zero"]
    F.cross_entropy(model.fc(x), y).backward()
    utils.assert_close(gradient, model.fc.weight.grad)


def test_a_weighted_sum_of_losses_is_the_loss_and_its_parts_are_not(config):
    def function(self, x, y):
        logits = self.fc(x)
        first, second = F.cross_entropy(logits, y), F.mse_loss(logits, torch.zeros_like(logits))
        return first + 0.25 * second, first, second, first.detach().exp()

    model = Function(function)
    seeds, gradient, (x, y) = gradient_of(model, config)
    assert seeds == ["one", "zero", "zero", "zero"]
    function(model, x, y)[0].backward()
    utils.assert_close(gradient, model.fc.weight.grad)


def test_the_exponential_of_a_loss_behind_it_is_no_loss(config):
    def function(self, x, y):
        loss = F.cross_entropy(self.fc(x), y)
        return loss, loss.exp()

    assert gradient_of(Function(function), config)[0] == ["one", "zero"]


# ---- integers


PLACES = {
    "embedding": lambda self, x, i: self.table(i),
    "cross_entropy": lambda self, x, i: F.cross_entropy(x[:, :5], i[:, 0], reduction="none"),
    "nll_loss": lambda self, x, i: F.nll_loss(F.log_softmax(x[:, :5], -1), i[:, 0]),
    "gather": lambda self, x, i: x.gather(1, i),
    "take_along_dim": lambda self, x, i: torch.take_along_dim(x, i, 1),
    "index_select": lambda self, x, i: x.index_select(1, i[0]),
    "scatter": lambda self, x, i: torch.zeros_like(x).scatter(1, i, 1.0),
    "scatter_add": lambda self, x, i: x.scatter_add(1, i, x),
    "index_add": lambda self, x, i: x.index_add(0, i[:, 0] % 3, x),
    "one_hot": lambda self, x, i: F.one_hot(i, 5),
    "embedding_bag": lambda self, x, i: F.embedding_bag(i, self.table.weight),
    "index": lambda self, x, i: x[:, i],
}


@pytest.mark.parametrize("dtype", [torch.int16, torch.uint8, torch.int32], ids=str)
@pytest.mark.parametrize("name", PLACES)
def test_places_and_labels_may_be_narrow_integers(config, name, dtype):
    if name == "index" and dtype == torch.uint8:
        pytest.skip("a uint8 index is a mask, as in torch")
    model, x = Function(PLACES[name]), torch.randn(3, 6)
    places = torch.tensor([[0, 1, 2], [1, 3, 0], [4, 0, 2]])
    want = PLACES[name](model, x, places)
    given = samba.from_torch_tensor(x, name="x"), samba.from_torch_tensor(places.to(dtype), name="i")
    (found,) = inferred(model, given, config)
    torch.testing.assert_close(found, want.detach(), check_dtype=False)


def test_int16_labels_may_be_ignored(config):
    def function(self, x, y):
        return F.cross_entropy(self.fc(x), y)

    labels = torch.tensor([1, -100, 3], dtype=torch.int16)
    model, given = Function(function), (samba.randn(3, 6, name="x"), samba.from_torch_tensor(labels, name="y"))
    (found,) = inferred(model, given, config)
    torch.testing.assert_close(found, function(model, samba.to_torch(given[0]), labels.long()).detach())


# ---- directives


def test_op_fusion_leaves_the_id_to_the_program(config):
    seen = []

    def function(self, x):
        with op_fusion(func_name="part", heuristic=None, plugins=None, reuse_last_id=False, user_annotated=False):
            seen.append(dict(samba.session._context_directives))
            with samba.session._add_directives({"opfusion_id": "gemm"}):
                seen.append(dict(samba.session._context_directives))
                return self.fc(x)

    inferred(Function(function), inputs()[:1], config)
    assert "opfusion_id" not in seen[0] and seen[1]["opfusion_id"] == "gemm"
    assert not samba.session._context_directives


# ---- comparisons


def test_assert_close_without_tolerances_allows_for_rounding():
    x = torch.tensor([100.0, 1e-4])
    utils.assert_close(x + torch.tensor([1e-3, 1e-3]), x, "fp32")
    utils.assert_close((x * 1.005).bfloat16(), x, "bf16")
    with pytest.raises(AssertionError, match="fp32: worst at"):
        utils.assert_close(x * 1.005, x, "fp32")
    with pytest.raises(AssertionError, match="integers"):
        utils.assert_close(torch.tensor([1, 2]), torch.tensor([1, 3]), "integers")
    with pytest.raises(AssertionError, match="threshold 0.001"):
        utils.assert_close(x + 0.01, x, threshold=0.001)


@pytest.mark.shows("--gold-file-path")
def test_gold_files_are_written_and_compared_with(config, tmp_path, capsys):
    model, given, optimizer, pef = built(config)
    assert parse_app_args(["run", "--pef", pef]).gold_file_path is None
    args = parse_app_args(["test", "--pef", pef, "--gold-file-path", str(tmp_path / "gold" / "files")])
    TestWithGold(args, "net", model, None, optimizer).test()
    gold = torch.load(tmp_path / "gold" / "files" / "net.pt", weights_only=True)
    assert set(gold) == {t.sn_name for t in model.output_tensors} | {"fc.weight.grad", "fc.bias.grad"}
    common_app_driver(args, model, given, optimizer, name="net")
    assert capsys.readouterr().out.count("ok  ") == 8
    samba.session.run(given, model.output_tensors)
    with pytest.raises(AssertionError, match="differ from the gold"):  # one step further than the file
        TestWithGold(args, "net", model, given, optimizer).test()
    parse_app_args(["test", "--pef", pef])
    TestWithGold(
        samba.session.args, "net", model, None, optimizer
    ).test()  # PyTorch on the host has the device's weights


def test_a_model_that_was_not_traced_is_traced_for_its_test(config, capsys):
    _, given, _, _ = built(config)
    model = Net()
    samba.from_torch_model_(model)
    optimizer = samba.optim.SGD(model.parameters(), lr=0.1)
    pef = samba.session.compile(model, given, optimizer, config_dict={**config, "pef_name": "other"})
    TestWithGold(parse_app_args(["test", "--pef", pef]), "net", model, given, optimizer).test()
    assert capsys.readouterr().out.count("ok  ") == 4 and model.output_tensors


def test_the_driver_takes_false_for_no_gradients(config, capsys):
    model, given, optimizer, pef = built(config)
    args = parse_app_args(["measure-performance", "--pef", pef, "--num-iterations", "2"])
    common_app_driver(args, model, given, optimizer, get_output_grads=False)
    assert "throughput" in capsys.readouterr().out
    with pytest.raises(ValueError, match="pass the function"):
        common_app_driver(args, model, given, optimizer, get_output_grads=True)


def test_the_test_command_compares_mixed_dtypes(tmp_path, capsys):
    def function(self, x, i):
        return ((self.fc(x) - self.table(i)) ** 2).mean()

    model = Function(function)
    samba.from_torch_model_(model)
    model.bfloat16()
    optimizer = samba.optim.SGD(model.parameters(), lr=1e-3)
    given = samba.randn(3, 6, name="x"), samba.from_torch_tensor(torch.tensor([0, 2, 4], dtype=torch.int16), name="i")
    args = parse_app_args(["compile", "--pef-name", "net", "--output-folder", str(tmp_path)])
    common_app_driver(args, model, given, optimizer, name="net")
    common_app_driver(parse_app_args(["test", "--pef", str(tmp_path / "net/net.pef")]), model, given, optimizer)
    assert capsys.readouterr().out.count("ok  ") == 4


def test_comparing_takes_no_part_in_a_sum_of_gradients(config):
    model, given, optimizer, _ = built({**config, "grad_accumulation_steps": 2})
    reference = copy.deepcopy(model.fc)
    x, y = (samba.to_torch(t) for t in given)
    F.cross_entropy(reference(x), y).backward()
    samba.session.run(given, model.output_tensors)
    for _ in range(3):
        compare_with_host(model, given)
    assert samba.session._runner.pending_batches == (1, 2)
    samba.session.run(given, model.output_tensors)
    utils.assert_close(model.fc.weight.sn_data, reference.weight.data - 0.1 * reference.weight.grad, rtol=1e-6)


# ---- weights in parts


def test_weights_may_be_normed_after_conversion(config):
    model = Net(bias=False)
    samba.from_torch_model_(model)
    utils.weight_norm_(model.fc)
    assert model.fc.weight_magnitude.sn_name == "net__fc__weight_magnitude"
    optimizer, given = samba.optim.SGD(model.parameters(), lr=0.1), inputs()
    pef = samba.session.compile(model, given, optimizer, config_dict=config)
    traced = utils.trace_graph(model, given, optimizer, pef=pef)
    loss, _ = samba.session.run(given, traced, section_types=["fwd", "bckwd"])
    (found,) = samba.session.get_tensors_by_name(["net__fc__weight_magnitude"])
    assert torch.equal(samba.to_torch(found), samba.to_torch(model.fc.weight_magnitude).detach())
    gold = model(*given)[0]
    gold.backward()
    utils.assert_close(loss, gold.detach())
    utils.assert_close(model.fc.weight_direction.sn_grad, model.fc.weight_direction.grad)


def test_weights_that_are_not_there_are_named_before_a_run(config):
    model = nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4, device="meta"), nn.Linear(4, 2, device="meta"))
    given = (samba.randn(3, 6, name="x"),)
    samba.from_torch_model_(model)
    pef = samba.session.compile(model, given, None, inference=True, config_dict=config)
    traced = utils.trace_graph(model, given, pef=pef)
    for section_types in (None, ["fwd"]):
        with pytest.raises(
            ValueError, match=r"sequential__1__bias, .*running_var, .*sequential__2__bias, .*__2__weight"
        ):
            samba.session.run(given, traced, section_types=section_types)
    for index, missing in ((2, r"^sequential__1__bias, sequential__1__num_batches_tracked, "), (1, None)):
        made = [nn.Linear(6, 4), nn.BatchNorm1d(4), nn.Linear(4, 2)][index]
        model[index].load_state_dict(made.state_dict(), assign=True)
        samba.from_torch_model_(model)
        samba.session.to_rdu(model)
        if missing:
            with pytest.raises(ValueError, match=missing):
                samba.session.run(given, traced)
    utils.assert_close(samba.session.run(given, traced)[0], model.eval()(*given))


def test_weights_that_were_not_moved_are_named(config):
    model, given, optimizer, pef = built(config)
    traced = utils.trace_graph(model, given, optimizer, pef=pef, transfer_device=False)
    with pytest.raises(ValueError, match="^net__fc__bias, net__fc__weight: no values on the device"):
        samba.session.run(given, traced)
    model.fc.weight.rdu()
    with pytest.raises(ValueError, match="^net__fc__bias: no values on the device"):
        samba.session.run(given, traced)
    samba.session.to_device()
    utils.assert_close(samba.session.run(given, traced)[1], model(*given)[1])


@pytest.mark.parametrize("normed", [False, True])
def test_spatial_mapping_takes_a_loss_into_its_one_section(tmp_path, normed):
    class Classifier(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc, self.norm = nn.Linear(784, 10, bias=False), nn.BatchNorm1d(10) if normed else nn.Identity()

        def forward(self, x, y):
            logits = self.norm(self.fc(x))
            return F.cross_entropy(logits, y), logits

    torch.manual_seed(0)
    model = Classifier()
    reference = copy.deepcopy(model)
    samba.from_torch_model_(model)
    args = parse_app_args(["compile", "--mapping", "spatial", "--num-spatial-batches", "2", "-b", "8",
                           "--pef-name", "net", "--output-folder", str(tmp_path)])  # fmt: skip
    given = samba.randn(8, 784, name="x", batch_dim=0), samba.randint(10, (8,), name="y", batch_dim=0)
    optimizer = samba.optim.SGD(model.parameters(), lr=0.1)
    pef = samba.session.compile(model, given, optimizer, config_dict=vars(args))
    traced = utils.trace_graph(model, given, optimizer, pef=pef, mapping="spatial")
    types = [section["type"] for section in samba.session._device.report()["sections"]]
    assert sorted(types) == ["bckwd", "fwd", "opt"]
    step, (x, y) = torch.optim.SGD(reference.parameters(), lr=0.1), (samba.to_torch(t) for t in given)
    for _ in range(3):
        loss, logits = samba.session.run(given, traced)
        step.zero_grad()
        gold = reference(x, y)
        gold[0].backward()
        step.step()
        utils.assert_close(loss, gold[0])
        utils.assert_close(logits, gold[1])
    samba.session.to_cpu(model)
    utils.assert_close(model.fc.weight, reference.fc.weight)


class Cache:
    """A sequence of a library's own, as the key and value caches of transformers are."""

    def __init__(self, *items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __iter__(self):
        return iter(self.items)


def test_a_sequence_of_another_kind_gives_its_tensors(config):
    given = inputs()[:1]
    model = Function(lambda self, x: {"logits": self.fc(x), "cache": Cache((x + 1, x + 2), (x * 3, None))})
    found = inferred(model, given, config)
    assert len(found) == 4 and torch.equal(found[3], samba.to_torch(given[0]) * 3)
