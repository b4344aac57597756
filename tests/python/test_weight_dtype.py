# SPDX-License-Identifier: Apache-2.0
"""Narrow weights in inference: bit for bit the fp32 program on the weights that they stand for."""

import csv

import pytest
import torch
import torch.nn.functional as F
from sambaflow import samba
from sambaflow._base.library import InvalidArgumentError
from sambaflow.samba import utils
from torch import nn

pytest.importorskip("sambaflow._leat")


def bf16(weight, _group):
    return weight.to(torch.bfloat16).float()


def int8(weight, group):
    """q * s of each line along the terms that are summed, or of each group of them."""
    if group and weight.shape[1] > group and weight.shape[1] % group == 0:
        return int8(weight.reshape(-1, group), 0).reshape(weight.shape)
    scale = weight.abs().amax(dim=1, keepdim=True) / 127
    whole = torch.where(scale == 0, torch.zeros_like(weight), weight / scale).round().clamp(-127, 127)
    return whole * scale


MODELS_OF = {"bf16": bf16, "int8": int8}


class Net(nn.Module):
    """Products of all sizes: panels and what is left of them, one row and many, a tied table, a sum in blocks."""

    def __init__(self, width=96, words=150, inner=200):
        super().__init__()
        self.table, self.head = nn.Embedding(words, width), nn.Linear(width, words, bias=False)
        self.head.weight = self.table.weight
        self.up, self.down = nn.Linear(width, inner), nn.Linear(inner, width, bias=False)
        self.side = nn.Parameter(torch.randn(width, 40) * 0.1)  # [k, n], as Conv1D of transformers has it

    def forward(self, ids):
        x = self.table(ids)
        x = x + self.down(F.gelu(self.up(x)))
        return self.head(x), x @ self.side


def lines_of(name):
    """Dims of weights in the order (outputs, terms)."""
    return (1, 0) if name == "side" else (0, 1)


def narrowed(model, dtype, group=0):
    """A copy of the model's values with the weights of products as they are multiplied."""
    values = {}
    for name, value in model.named_parameters():
        if value.dim() == 2:
            value = MODELS_OF[dtype](value.detach().permute(lines_of(name)), group).permute(lines_of(name)).contiguous()
        values[name] = value.detach().clone()
    return values


def run(model, inputs, folder, **config):
    samba.session.args = None
    samba.from_torch_model_(model)
    tensors = tuple(samba.from_torch_tensor(value, name=f"x{i}", batch_dim=0) for i, value in enumerate(inputs))
    pef = samba.session.compile(
        model, tensors, inference=True, config_dict={"output_folder": str(folder), "pef_name": "p", **config}
    )
    outputs = utils.trace_graph(model, tensors, pef=pef)

    def again(*values):
        given = tuple(samba.from_torch_tensor(v, name=f"x{i}", batch_dim=0) for i, v in enumerate(values or inputs))
        return [samba.to_torch(t).clone() for t in samba.session.run(given, outputs)]

    return again


def words(rows, count=150, window=3):
    return torch.randint(count, (rows, window), generator=torch.Generator().manual_seed(rows))


def model_of(seed=1, **sizes):
    torch.manual_seed(seed)
    return Net(**sizes)


@pytest.mark.shows("--weight-dtype", "--weight-group")
@pytest.mark.parametrize("rows", [1, 2, 9, 40])
@pytest.mark.parametrize(("dtype", "group"), [("bf16", 0), ("int8", 0), ("int8", 32), ("int8", 48)])
def test_a_program_is_the_fp32_one_of_the_weights_that_its_own_stand_for(rows, dtype, group, tmp_path):
    ids = words(rows, window=1 if rows == 1 else 3)
    config = {"weight_dtype": dtype, **({"weight_group": group} if group else {})}
    found = run(model_of(), [ids], tmp_path / "narrow", **config)()
    plain = model_of()
    plain.load_state_dict(
        {**narrowed(plain, dtype, group), "head.weight": narrowed(plain, dtype, group)["table.weight"]}
    )
    expected = run(plain, [ids], tmp_path / "plain")()
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize(("dtype", "tolerance"), [("bf16", 6e-3), ("int8", 2e-2)])
def test_results_are_near_fp32(dtype, tolerance, tmp_path):
    model, ids = model_of(2), words(4)
    with torch.no_grad():
        expected = model(ids)
    for one, other in zip(run(model, [ids], tmp_path, weight_dtype=dtype)(), expected, strict=True):
        assert (one - other).norm() <= tolerance * other.norm()


@pytest.mark.parametrize("dtype", ["bf16", "int8"])
def test_weights_that_are_written_later_count_and_read_as_they_were_written(dtype, tmp_path):
    model, ids = model_of(3), words(2)
    again = run(model, [ids], tmp_path / "narrow", weight_dtype=dtype)
    first = again()
    other = model_of(4)
    with torch.no_grad():
        for parameter, value in zip(model.parameters(), other.parameters(), strict=True):
            parameter.copy_(value)
    samba.session.to_rdu(model)
    second = again()
    assert not torch.equal(first[0], second[0])
    expected = run(model_of(4), [ids], tmp_path / "other", weight_dtype=dtype)()
    assert all(torch.equal(one, two) for one, two in zip(second, expected, strict=True))


@pytest.mark.parametrize("dtype", ["bf16", "int8"])
def test_parameters_stay_what_they_were(dtype, tmp_path):
    model = model_of(5)
    values = {name: value.detach().clone() for name, value in model.named_parameters()}
    again = run(model, [words(2)], tmp_path, weight_dtype=dtype)
    for _ in range(4):
        again()
    samba.session.to_cpu(model)
    for name, value in model.named_parameters():
        assert torch.equal(samba.to_torch(value), values[name])


def test_lines_of_zeros_and_of_what_is_no_number(tmp_path):
    model = model_of(6)
    with torch.no_grad():
        model.up.weight[3] = 0
        model.up.weight[5, 7] = float("inf")
        model.side[:, 2] = float("nan")
    found = run(model, [words(1)], tmp_path, weight_dtype="int8", weight_error_bound=1e30)()
    assert torch.isnan(found[1][..., 2]).all()  # never a number where a weight is none
    assert not torch.isfinite(found[0]).all()


@pytest.mark.shows("--weight-error-bound", "--weight-keep")
def test_products_that_lose_too_much_stay_fp32(tmp_path, capfd):
    model, ids = model_of(7), words(3)
    with torch.no_grad():
        model.up.weight[:, 0] = 500.0  # one term that makes all others small
        model.table.weight[:, 0] *= 1e-3
    run(model, [ids], tmp_path, weight_dtype="int8")
    said = capfd.readouterr()
    assert "net__up__weight: stay fp32, their rms error is above 0.02" in said.out + said.err
    with open(tmp_path / "p" / "weight_errors.csv", newline="") as file:
        errors = {row["parameter"]: float(row["rms"]) for row in csv.DictReader(file)}
    assert errors["net__up__weight"] > 0.02 > errors["net__down__weight"]
    kept = run(model, [ids], tmp_path / "kept", weight_dtype="int8", weight_keep="net__up__weight")()
    found = run(model, [ids], tmp_path / "found", weight_dtype="int8")()
    assert all(torch.equal(one, two) for one, two in zip(kept, found, strict=True))


@pytest.mark.shows("--calibration", "--weight-errors")
def test_errors_are_measured_on_the_calibration_file(tmp_path):
    model, ids = model_of(8), words(3)
    torch.save({"x0": torch.zeros_like(ids)}, tmp_path / "batch.pt")
    run(model, [ids], tmp_path / "a", weight_dtype="int8", calibration=str(tmp_path / "batch.pt"))
    run(model, [torch.zeros_like(ids)], tmp_path / "b", weight_dtype="int8")
    run(model, [ids], tmp_path / "c", weight_dtype="int8")
    tables = [(tmp_path / name / "p" / "weight_errors.csv").read_text() for name in "abc"]
    assert tables[0] == tables[1] != tables[2]
    torch.save({"y": ids}, tmp_path / "other.pt")
    with pytest.raises(InvalidArgumentError, match="it has no x0"):
        run(model, [ids], tmp_path / "d", weight_dtype="int8", calibration=str(tmp_path / "other.pt"))


def test_the_measured_error_is_that_of_the_product(tmp_path):
    model, ids = nn.Sequential(nn.Linear(64, 32, bias=False)), torch.randn(5, 64)
    weight = model[0].weight.detach().clone()
    run(model, [ids], tmp_path, weight_dtype="int8")
    with open(tmp_path / "p" / "weight_errors.csv", newline="") as file:
        (row,) = csv.DictReader(file)
    plain, narrow = ids @ weight.T, ids @ int8(weight, 0).T
    assert float(row["greatest"]) == pytest.approx(((narrow - plain).abs().max() / plain.abs().max()).item(), rel=1e-3)
    assert float(row["rms"]) == pytest.approx(((narrow - plain).norm() / plain.norm()).item(), rel=1e-3)


@pytest.mark.parametrize("option", ["o0", "o1"])
def test_in_every_mode(option, tmp_path):
    model, ids = model_of(), words(2)
    plain = model_of()
    plain.load_state_dict({**narrowed(plain, "int8"), "head.weight": narrowed(plain, "int8")["table.weight"]})
    with torch.no_grad():  # groups know their own ops only: the lookup is not that of the head
        x = model.table(ids)
        x = x + plain.down(F.gelu(plain.up(x)))
        expected = plain.head(x), x @ plain.side
    for one, other in zip(run(model, [ids], tmp_path, weight_dtype="int8", **{option: True})(), expected, strict=True):
        assert torch.allclose(one, other, rtol=1e-5, atol=1e-5)


def test_other_rows(tmp_path):
    again = run(model_of(9), [words(4)], tmp_path / "four", weight_dtype="int8")
    few = again(words(4)[:3])
    expected = run(model_of(9), [words(4)[:3]], tmp_path / "three", weight_dtype="int8")()
    assert all(torch.equal(one, two) for one, two in zip(few, expected, strict=True))


def test_refusals(tmp_path):
    model, x = nn.Sequential(nn.Linear(8, 4)), torch.randn(2, 8)
    samba.from_torch_model_(model)
    tensor = samba.from_torch_tensor(x, name="x", batch_dim=0)
    optimizer = samba.optim.SGD(model.parameters(), lr=0.1)
    config = {"output_folder": str(tmp_path), "pef_name": "p"}
    with pytest.raises(InvalidArgumentError, match="the program trains, and only programs that infer"):
        samba.session.compile(model, (tensor,), optimizer, config_dict={**config, "weight_dtype": "int8"})
    with pytest.raises(InvalidArgumentError, match="only weights of int8 have scales"):
        settings = {**config, "weight_dtype": "bf16", "weight_group": 64}
        samba.session.compile(model, (tensor,), inference=True, config_dict=settings)
    with pytest.raises(InvalidArgumentError, match="weight-dtype"):
        samba.session.compile(model, (tensor,), inference=True, config_dict={**config, "weight_group": 64})
    with pytest.raises(InvalidArgumentError, match=r"bf16.*int8"):
        samba.session.compile(model, (tensor,), inference=True, config_dict={**config, "weight_dtype": "int4"})


def test_gpt2_of_transformers(tmp_path):
    transformers = pytest.importorskip("transformers")
    config = transformers.GPT2Config(n_layer=2, n_embd=64, n_head=2, vocab_size=300, n_positions=32)

    class Logits(nn.Module):
        def __init__(self):
            super().__init__()
            self.gpt = transformers.GPT2LMHeadModel(config).eval()

        def forward(self, ids):
            return self.gpt(input_ids=ids, use_cache=False).logits

    torch.manual_seed(3)
    model, ids = Logits(), words(1, 300, 16)
    with torch.no_grad():
        expected = model(ids)
    for dtype, tolerance in (("bf16", 1e-2), ("int8", 3e-2)):
        found = run(model, [ids], tmp_path / dtype, weight_dtype=dtype)()[0]
        assert (found - expected).norm() <= tolerance * expected.norm()
