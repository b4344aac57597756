# SPDX-License-Identifier: Apache-2.0
"""Indices, class labels and divisors that eager PyTorch refuses are refused, with input, place and value."""

import copy
import subprocess

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sambaflow import samba
from sambaflow._base.library import OutOfRangeError
from sambaflow.samba import utils
from support import leat_command
from torch import nn


def table(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def ids(*values, dtype=torch.int64):
    return torch.tensor(values, dtype=dtype)


def _put(x, i):
    y = x.clone()
    y[i] = 1.0
    return y


# name: (function of x and i, x, legal indices, more indices that eager takes or refuses)
CASES = {
    "embedding": (lambda x, i: F.embedding(i, x), (5, 3), (0, 4, 2), (0, 5, 2), (0, -1, 2), (2**40, 0, 1)),
    "padding_idx": (lambda x, i: F.embedding(i, x, padding_idx=-1), (5, 3), (0, 4, 2), (0, 5, 2), (0, -1, 2)),
    "embedding_bag": (lambda x, i: F.embedding_bag(i.view(2, 2), x), (5, 3), (0, 4, 2, 1), (0, 5, 2, 1), (0, -1, 2, 1)),
    "gather": (lambda x, i: x.gather(1, i.view(3, 1)), (3, 4), (0, 3, 2), (0, 4, 2), (0, -1, 2)),
    "gather rows": (lambda x, i: x.gather(0, i.view(2, 2)), (3, 4), (0, 1, 2, 2), (0, 3, 2, 1), (0, -1, 2, 1)),
    "take_along_dim": (lambda x, i: torch.take_along_dim(x, i.view(3, 1), 1), (3, 4), (0, 3, 2), (0, 4, 2), (0, -1, 2)),
    "take": (torch.take, (3, 4), (0, 11, 2), (0, 12, 2), (0, -1, 2), (0, -12, 2), (0, -13, 2)),
    "index_select": (lambda x, i: x.index_select(1, i), (3, 4), (0, 3, 2), (0, 4, 2), (0, -1, 2)),
    "x[i]": (lambda x, i: x[i], (3, 4), (0, 1, 2), (0, 3, 2), (0, -1, 2), (0, -3, 2), (0, -4, 2)),
    "x[:, i]": (lambda x, i: x[:, i], (3, 4), (0, 1, 2), (0, 4, 2), (0, -4, 2), (0, -5, 2)),
    "x[i, i]": (lambda x, i: x[i, i], (3, 4), (0, 1, 2), (0, 3, 2), (0, -1, 2), (0, -4, 2)),
    "x[number]": (lambda x, i: x[i[0]], (3, 4), (1,), (3,), (-1,), (-4,)),
    "x[i] = y": (_put, (3, 4), (0, 1), (0, 3), (0, -1), (0, -4)),
    "index_add": (lambda x, i: x.index_add(0, i, torch.ones(2, 4)), (3, 4), (0, 1), (0, 3), (0, -1)),
    "index_copy": (lambda x, i: x.index_copy(0, i, torch.ones(2, 4)), (3, 4), (0, 1), (0, 3), (0, -1)),
    "index_fill": (lambda x, i: x.index_fill(0, i, 2.0), (3, 4), (0, 1), (0, 3), (0, -1), (0, -4)),
    "scatter": (lambda x, i: x.scatter(1, i.view(3, 1), 2.0), (3, 4), (0, 1, 3), (0, 4, 1), (0, -1, 1)),
    "scatter_add": (
        lambda x, i: x.scatter_add(1, i.view(3, 1), torch.ones(3, 1)), (3, 4), (0, 1, 3), (0, 4, 1), (0, -1, 1),
    ),
    "cross_entropy": (F.cross_entropy, (3, 4), (0, 1, 3), (0, 4, 1), (0, -1, 1), (0, -100, 1)),
    "ignore_index": (lambda x, i: F.cross_entropy(x, i, ignore_index=7), (3, 4), (0, 1, 7), (0, 4, 1), (0, -100, 1)),
    "cross_entropy of pictures": (
        lambda x, i: F.cross_entropy(x, i.view(1, 2, 2)), (1, 4, 2, 2), (0, 1, 3, 2), (0, 4, 1, 1), (0, -1, 1, 1),
    ),
    "cross_entropy of one": (lambda x, i: F.cross_entropy(x, i[0]), (4,), (3,), (4,), (-1,)),
    "nll_loss": (lambda x, i: F.nll_loss(x, i), (3, 4), (0, 1, 3), (0, 4, 1), (0, -1, 1), (0, -100, 1)),
    "one_hot": (lambda x, i: F.one_hot(i, 4) + x, (3, 4), (0, 1, 3), (0, 4, 1), (0, -1, 1)),
    "multi_margin_loss": (F.multi_margin_loss, (3, 4), (0, 1, 3), (0, 4, 1), (0, -1, 1)),
    "multilabel_margin_loss": (
        lambda x, i: F.multilabel_margin_loss(x, i.view(2, 3)), (2, 3), (0, 2, -1, 1, -1, -1), (0, -1, 1, 2, 1, 0),
        (0, 3, -1, 1, 1, 1), (0, -1, -2, 1, 1, 1), (0, -1, 3, 1, 1, 1),
    ),
    "a cut of a transposed input": (
        lambda x, i: F.embedding(i.view(2, 3).t().reshape(-1)[:3], x), (5, 3), (0, 1, 9, 2, 9, 9), (0, 7, 9, 2, 9, 9),
    ),
    "repeated, padded": (lambda x, i: F.embedding(F.pad(i, (1, 1), value=2), x), (5, 3), (0, 4), (5, 0)),
    "labels moved by one": (
        lambda x, i: F.cross_entropy(x.view(2, 3, 4)[:, :-1].flatten(0, 1), i.view(2, 3)[:, 1:].flatten()), (6, 4),
        (-1, 1, 3, 77, -100, 0), (0, 1, 4, 0, 0, 0), (0, 1, 3, 0, -1, 0),
    ),
    # part of an input
    "a slice": (lambda x, i: F.cross_entropy(x, i[1:]), (2, 4), (-55, 1, 3), (0, 4, 1)),
    "every second": (lambda x, i: F.cross_entropy(x, i[::2]), (2, 4), (1, -55, 3), (1, 0, 4)),
    "transposed and cut": (
        lambda x, i: F.embedding(i.view(2, 3).t()[1:], x), (5, 3), (77, 1, 2, -5, 4, 0), (0, 0, 5, 0, 0, 0),
        (0, 0, 0, 0, 0, -1),
    ),
    "two tables": (lambda x, i: F.embedding(i, x[:3]).sum() + F.embedding(i, x), (5, 3), (0, 2, 1), (0, 3, 1)),
    # computed ones
    "i + 1": (lambda x, i: F.embedding(i + 1, x), (5, 3), (0, 3, 2), (0, 4, 2), (-2, 0, 0)),
    "where": (lambda x, i: F.embedding(torch.where(i < 0, 0, i), x), (5, 3), (0, 4, -2), (0, 5, 2)),
    "cumsum": (lambda x, i: F.embedding(i.cumsum(0), x), (5, 3), (0, 2, 2), (0, 3, 2)),
    "of floats": (lambda x, i: F.embedding((i.float() * 2).long(), x), (5, 3), (0, 2, 1), (0, 3, 2)),
    "of a table": (
        lambda x, i: F.embedding(F.embedding(i, torch.tensor([[0.0], [7.0], [2.0]])).long().squeeze(-1), x), (5, 3),
        (0, 2, 2), (0, 1, 2),
    ),
    # divisors of integers
    "7 // i": (lambda x, i: x[0, 0] + 7 // i, (3, 4), (1, -2, 3), (0, 1, 2), (5, -7, 0)),
    "x % i": (lambda x, i: x.long() % i, (3,), (1, -2, 3), (0, 1, 2), (5, 7, 0)),
    "fmod": (lambda x, i: torch.fmod(i.view(3, 1), i[1:]) + x, (3, 2), (0, -2, 3), (4, 1, 0)),
    "towards zero": (lambda x, i: torch.div(9, i, rounding_mode="trunc") * x, (3,), (1, -2, 3), (4, 0, 1)),
    "a computed divisor": (lambda x, i: 9 // (i - 4) * x, (3,), (1, 2, 3), (0, 4, 1)),
    "a divisor in a branch": (lambda x, i: torch.where(i == 0, x, 9 // i), (3,), (1, -2, 3), (0, 1, 2)),
    "a divisor that is never 0": (lambda x, i: 9 // (i.clamp(max=7) - 8) * x, (3,), (1, 2, 9), (8, 0, 7)),
    "a divisor of floats": (lambda x, i: x.abs() / i + x.abs() % (i * 0.5 + 4), (3,), (1, -2, 3), (0, 1, 2)),
    # always legal
    "clamp": (lambda x, i: F.embedding(i.clamp(0, 4), x), (5, 3), (0, 4, 2), (0, 5, 2), (-9, 0, 0)),
    "remainder": (lambda x, i: F.embedding(i % 5, x), (5, 3), (0, 7, -2), (0, 500, 2)),
    "argmax": (lambda x, i: x.gather(1, x.argmax(1, keepdim=True)) + i, (3, 3), (0, 1, 2), (9, 9, 9)),
    "last token": (
        lambda x, i: x[torch.arange(2), (i.view(2, 2) != 0).sum(-1) - 1], (2, 2, 3), (1, 1, 1, 0), (0, 0, 1, 1),
    ),
}  # fmt: skip


class Model(nn.Module):
    """A scale before `function`, so that there is something to train."""

    def __init__(self, function):
        super().__init__()
        self.function, self.scale = function, nn.Parameter(torch.ones(()))

    def forward(self, x, i):
        return self.function(x * self.scale, i).float()


def load(tmp_path, model, inputs, make=None, **config):
    """Compiles and loads `model`; the tensors of `inputs` are named x, i or as they are keyed."""
    eager = copy.deepcopy(model)
    samba.from_torch_model_(model)
    optimizer = None if make is None else make(model.parameters())
    named = [samba.from_torch_tensor(t, name=n) for n, t in inputs.items()]
    config = {"output_folder": str(tmp_path), "pef_name": "bounds", "inference": make is None, **config}
    pef = samba.session.compile(model, named, optimizer, config_dict=config)
    outputs = utils.trace_graph(model, named, optimizer, pef=pef)

    def run(*tensors, **more):
        given = [samba.from_torch_tensor(t, name=n) for n, t in zip(inputs, tensors, strict=True)]
        return [samba.to_torch(t) for t in samba.session.run(given, outputs, **more)]

    return eager, run, pef


def outcome(function, *tensors):
    """What `function` gives, or None where it refuses the indices."""
    try:
        return function(*tensors)
    except (IndexError, RuntimeError):
        return None


@pytest.fixture(autouse=True)
def own_arguments():
    yield
    samba.session.args = None


@pytest.mark.parametrize("name", CASES)
def test_indices_are_taken_and_refused_as_in_eager(tmp_path, name):
    function, shape, legal, *others = CASES[name]
    x = table(*shape)
    eager, run, _ = load(tmp_path, Model(function), {"x": x, "i": ids(*legal)})
    for values in (legal, *others, legal):
        want = outcome(eager, x, ids(*values))
        if want is None:
            with pytest.raises(OutOfRangeError, match="out of range|divides integers by it"):
                run(x, ids(*values))
        else:
            torch.testing.assert_close(run(x, ids(*values))[0], want.detach())


@pytest.mark.parametrize("dtype", [torch.int32, torch.int16, torch.int8, torch.uint8])
def test_labels_of_narrow_dtypes(tmp_path, dtype):
    x = table(3, 4)
    labels = ids(0, 1, 3, dtype=dtype)
    _, run, _ = load(tmp_path, Model(lambda x, i: F.cross_entropy(x, i.long())), {"x": x, "i": labels})
    run(x, labels)
    with pytest.raises(OutOfRangeError, match=r'input "i" is 4 in row 2, .* takes 0 to 3, or -100 to be ignored'):
        run(x, ids(0, 1, 4, dtype=dtype))


class Trained(nn.Module):
    """Batch statistics and dropout, which forward updates, before an index that is computed."""

    def __init__(self):
        super().__init__()
        self.norm, self.head, self.table = nn.BatchNorm1d(3), nn.Linear(3, 4), nn.Embedding(6, 4)
        self.dropout = nn.Dropout(0.2)

    def forward(self, x, i, y):
        hidden = self.dropout(self.head(self.norm(x))) + self.table(i + 2)
        return F.cross_entropy(hidden, y), hidden


def state_of(model):
    samba.session.to_cpu(model)
    random = samba.session.random_state()
    return [samba.to_torch(t).clone() for t in (*model.state_dict().values(), random)]


@pytest.mark.parametrize("options", [{}, {"o0": True}, {"o1": True}])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_nothing_is_updated_by_a_run_that_is_refused(tmp_path, options, momentum):
    torch.manual_seed(0)
    model, x = Trained(), table(5, 3)
    legal = (x, ids(0, 1, 2, 3, 0), ids(0, 1, 2, 3, -100))
    inputs = dict(zip("xiy", legal, strict=True))
    _, run, _ = load(tmp_path, model, inputs, lambda p: samba.optim.SGD(p, 0.1, momentum=momentum), **options)
    run(*legal)
    before = state_of(model)
    with pytest.raises(OutOfRangeError, match=r'input "y" is 4 in row 3, .* cross_entropy at trained \(test_index_bo'):
        run(legal[0], legal[1], ids(0, 1, 2, 4, 1))
    with pytest.raises(IndexError, match=r"that the program computes is 6 in row 1, .* embedding at trained.table"):
        run(legal[0], ids(0, 4, 0, 0, 0), legal[2])
    assert all(torch.equal(a, b) for a, b in zip(before, state_of(model), strict=True))
    run(*legal)
    assert not torch.equal(before[3], state_of(model)[3])


def test_no_batch_of_a_run_updates_where_one_is_refused(tmp_path):
    torch.manual_seed(0)
    model, x = Trained(), table(4, 3)
    inputs = {"x": x[:2], "i": ids(0, 0), "y": ids(0, 0)}
    _, run, _ = load(tmp_path, model, inputs, lambda p: samba.optim.SGD(p, 0.1), num_spatial_batches=2)
    before = state_of(model)
    with pytest.raises(OutOfRangeError, match=r'batch 2 of 2: input "y" is 9 in row 1'):
        run(x, ids(0, 0, 0, 0), ids(0, 1, 2, 9))
    assert all(torch.equal(a, b) for a, b in zip(before, state_of(model), strict=True))


def test_no_batch_of_a_run_updates_where_the_smaller_last_one_is_refused(tmp_path):
    torch.manual_seed(0)
    model, x = Trained(), table(5, 3)
    inputs = {"x": x[:3], "i": ids(0, 0, 0), "y": ids(0, 0, 0)}
    _, run, _ = load(tmp_path, model, inputs, lambda p: samba.optim.SGD(p, 0.1), num_spatial_batches=2)
    run(x, ids(0, 0, 0, 0, 0), ids(0, 1, 2, 0, 3))
    before = state_of(model)
    with pytest.raises(OutOfRangeError, match=r'input "y" is 9 in row 1'):
        run(x, ids(0, 0, 0, 0, 0), ids(0, 1, 2, 0, 9))
    assert all(torch.equal(a, b) for a, b in zip(before, state_of(model), strict=True))


def test_micro_batches_and_smaller_batches_are_checked(tmp_path):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Embedding(6, 4), nn.Linear(4, 3))

    class Loss(nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, x, i):
            return F.cross_entropy(self.model(x), i)

    inputs = {"x": ids(0, 1, 2, 3), "i": ids(0, 1, 2, 0)}
    _, run, _ = load(tmp_path, Loss(), inputs, lambda p: samba.optim.SGD(p, 0.1), batch_size=4, microbatch_size=2)
    run(*inputs.values())
    for rows in (4, 3):
        with pytest.raises(OutOfRangeError, match='input "x" is 6 in row 2'):
            run(ids(0, 1, 6, 3)[:rows], ids(0, 1, 2, 0)[:rows])
        with pytest.raises(OutOfRangeError, match='input "i" is -1 in row 2'):
            run(ids(0, 1, 2, 3)[:rows], ids(0, 1, -1, 0)[:rows])


def test_indices_kept_in_a_buffer_are_checked(tmp_path):
    class Pointer(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("at", torch.zeros((), dtype=torch.int64))

        def forward(self, x):
            row = x.index_select(0, self.at.reshape(1))
            self.at.add_(1)
            return row

    model, x = Pointer(), table(2, 3)
    _, run, _ = load(tmp_path, model, {"x": x})
    assert torch.equal(run(x)[0], x[:1]) and torch.equal(run(x)[0], x[1:])
    for _ in range(2):
        with pytest.raises(OutOfRangeError, match=r'symbol "pointer__at" is 2, out of range for index_select'):
            run(x)


def test_a_run_of_single_sections_is_checked(tmp_path):
    x = table(3, 4)
    _, run, _ = load(tmp_path, Model(F.cross_entropy), {"x": x, "i": ids(0, 1, 2)})
    run(x, ids(0, 1, 3), section_ids=[0])
    with pytest.raises(OutOfRangeError, match="is 4 in row 2"):
        run(x, ids(0, 1, 4), section_ids=[0])


def test_leat_run_names_input_place_and_value(tmp_path):
    x, labels = table(3, 4), ids(0, 1, 3)
    _, _, pef = load(tmp_path, Model(F.cross_entropy), {"x": x, "i": labels})
    np.save(tmp_path / "x.npy", x.numpy())
    for values, code in (((0, 1, 3), 0), ((0, 4, 3), 9)):
        np.save(tmp_path / "i.npy", np.array(values))
        command = [leat_command(), "run", pef, "--input", f"x={tmp_path}/x.npy", "--input", f"i={tmp_path}/i.npy"]
        result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert result.returncode == code
        assert ('input "i" is 4 in row 1, out of range for cross_entropy' in result.stderr) == (code != 0)


def test_an_index_of_several_dims_is_named_by_its_place(tmp_path):
    x, i = table(5, 3), ids(0, 1, 2, 3, 4, 0).view(2, 3)
    _, run, _ = load(tmp_path, Model(lambda x, i: F.embedding(i, x)), {"x": x, "i": i})
    with pytest.raises(OutOfRangeError, match=r'input "i" is 7 at \[1,2\], out of range'):
        run(x, ids(0, 1, 2, 3, 4, 7).view(2, 3))


def test_a_division_by_zero_names_divisor_and_place(tmp_path):
    x = table(3, 4)
    _, run, _ = load(tmp_path, Model(lambda x, i: x + (i // i.flip(0)) % (i + 1)), {"x": x, "i": ids(1, 2, 3, 4)})
    run(x, ids(1, 2, 3, 4))
    with pytest.raises(
        RuntimeError, match=r'input "i" is 0 in row 2, and floordiv at model \(.*\) divides integers by it. Noth'
    ):
        run(x, ids(1, 2, 0, 4))
    with pytest.raises(OutOfRangeError, match=r"a divisor that the program computes is 0 in row 1, and remainder at"):
        run(x, ids(1, -1, 3, 4))


def test_a_constant_divisor_of_zero_is_refused_by_compile(tmp_path):
    with pytest.raises(OutOfRangeError, match=r"'remainder' \(module model, .*integers are divided by the constant 0"):
        load(tmp_path, Model(lambda x, i: x + i % 0), {"x": table(3), "i": ids(0)})


@pytest.mark.parametrize("options", [{}, {"o0": True}])
def test_constant_indices_out_of_range_are_refused_by_compile(tmp_path, options):
    model = Model(lambda x, i: F.embedding(torch.tensor([0, 5]), x) + i.sum())
    with pytest.raises(
        OutOfRangeError, match=r"'embedding' \(module model, .*holds the constant 5, and 0 to 4 are legal"
    ):
        load(tmp_path, model, {"x": table(5, 3), "i": ids(0)}, **options)
