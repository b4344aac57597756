# SPDX-License-Identifier: Apache-2.0
"""A batch with fewer rows than the PEF was compiled for gives what eager PyTorch gives on those rows."""

import copy
import gc
import threading
import warnings
import weakref

import pytest
import torch
import torch.nn.functional as F
from sambaflow import samba
from sambaflow._base.library import InvalidArgumentError
from sambaflow.samba import utils
from sambaflow.samba.sambaloader import SambaLoader
from sambaflow.samba.session import SambaSession
from sambaflow.samba.test import compare_with_host
from sambaflow.samba.utils.checkpoint import load_checkpoint, save_checkpoint
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

ROWS, LEFT, FEATURES, CLASSES = 8, 5, 6, 4


class Classifier(nn.Module):
    """Batch statistics, and what is left of a loss to the reductions of the criterion."""

    def __init__(self, criterion):
        super().__init__()
        self.fc1, self.norm, self.fc2 = nn.Linear(FEATURES, 12, bias=False), nn.BatchNorm1d(12), nn.Linear(12, CLASSES)
        self.criterion = criterion

    def forward(self, x, y):
        logits = self.fc2(torch.tanh(self.norm(self.fc1(x))))
        return self.criterion(logits, y), logits, (logits.argmax(1) == y).sum()


class App:
    """A model compiled for `inputs` and loaded, and the same model in eager PyTorch."""

    def __init__(self, tmp_path, model, inputs, make=None, load=True, **config):
        self.model, self.inputs = model.double(), inputs  # f64, so that steps of training do not drift apart
        self.eager = copy.deepcopy(model)
        samba.from_torch_model_(model)
        self.optimizer = None if make is None else make(samba.optim, model.parameters())
        self.eager_optimizer = None if make is None else make(torch.optim, self.eager.parameters())
        self.keywords = {k: config.pop(k) for k in ("init_output_grads", "loss_indices") if k in config}
        config = {"output_folder": str(tmp_path), "pef_name": "app", "inference": make is None, **config}
        self.pef = samba.session.compile(model, inputs, self.optimizer, config_dict=config, **self.keywords)
        if load:
            self.outputs = utils.trace_graph(model, inputs, self.optimizer, pef=self.pef, **self.keywords)
        if make is None:
            self.eager.eval()

    def run(self, *tensors, **more):
        names = [t.sn_name for t in self.inputs]
        named = [samba.from_torch_tensor(t, name=n) for t, n in zip(tensors, names, strict=True)]
        return [samba.to_torch(t).clone() for t in samba.session.run(named, self.outputs, **more)]

    def step(self, *tensors, reduce=lambda loss: loss, **more):
        """One step here and in eager PyTorch; results must be the same."""
        found = self.run(*tensors, **more)
        if self.inputs[0].requires_grad:
            tensors[0].requires_grad_()
        results = self.eager(*tensors)
        results = results if isinstance(results, tuple) else (results,)
        for a, b in zip(found, results, strict=True):
            close(a, b.detach())
        if self.eager_optimizer is not None:
            self.eager_optimizer.zero_grad()
            reduce(results[0]).backward()
            for own, other in zip(self.model.parameters(), self.eager.parameters(), strict=True):
                close(own.sn_grad, other.grad)
            self.eager_optimizer.step()
            self.gradient_of_input = tensors[0].grad
        return found

    def check_state(self):
        samba.session.to_cpu(self.model)
        for name, value in self.eager.state_dict().items():
            close(self.model.state_dict()[name], value)


def close(found, expected):
    torch.testing.assert_close(samba.to_torch(found), expected, rtol=1e-8, atol=1e-9)


def symbols(*shapes, batch_dim=0):
    """Traced inputs x, y, ...: floats for a shape, labels for (shape, classes)."""
    made = []
    for name, shape in zip("xyzw", shapes, strict=False):
        integers = isinstance(shape[-1], str)
        tensor = torch.zeros(shape[:-1], dtype=torch.int64) if integers else torch.randn(shape, dtype=torch.float64)
        made.append(samba.from_torch_tensor(tensor, name=name, batch_dim=batch_dim))
    return tuple(made)


def data(count, seed=3, classes=CLASSES):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, FEATURES, dtype=torch.float64, generator=generator), torch.randint(
        classes, (count,), generator=generator
    )


def sgd(optim, parameters):
    return optim.SGD(parameters, lr=0.1, momentum=0.9, weight_decay=0.01)


def adamw(optim, parameters):
    return optim.AdamW(parameters, lr=0.01, betas=(0.9, 0.99), weight_decay=0.02)


def classifier(tmp_path, criterion=None, make=sgd, **config):
    torch.manual_seed(1)
    model = Classifier(criterion or nn.CrossEntropyLoss())
    return App(tmp_path, model, symbols((ROWS, FEATURES), (ROWS, "int")), make, **config)


@pytest.fixture(autouse=True)
def own_arguments():
    yield
    samba.session.args = None


# ---- training


@pytest.mark.parametrize("make", [sgd, adamw])
def test_a_loader_that_drops_nothing_trains_as_eager(tmp_path, make):
    app = classifier(tmp_path, make=make)
    loader = SambaLoader(DataLoader(TensorDataset(*data(2 * ROWS + LEFT)), ROWS, drop_last=False), ["x", "y"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for epoch in range(3):
            rate = 0.1 / (epoch + 1)
            for group in app.eager_optimizer.param_groups:
                group["lr"] = rate
            for batch in loader:
                app.step(*map(samba.to_torch, batch), hyperparam_dict={"lr": rate})
    app.check_state()


@pytest.mark.parametrize(
    "criterion",
    [
        nn.CrossEntropyLoss(reduction="sum"),
        nn.CrossEntropyLoss(ignore_index=1, label_smoothing=0.1),
        nn.CrossEntropyLoss(weight=torch.tensor([0.1, 2.0, 1.0, 0.5], dtype=torch.float64)),
        nn.MultiMarginLoss(),
    ],
    ids=["sum", "ignored labels", "weights of classes", "margins"],
)
def test_losses_count_the_rows_that_are_there(tmp_path, criterion):
    app = classifier(tmp_path, criterion)
    for count in (ROWS, LEFT, ROWS, LEFT, 2):
        app.step(*data(count, seed=count))
    app.check_state()


def test_a_loss_that_is_not_reduced_has_the_rows_given(tmp_path):
    app = classifier(tmp_path, nn.CrossEntropyLoss(reduction="none"), init_output_grads=False, loss_indices=[0])
    for count in (ROWS, LEFT, ROWS):
        app.outputs[0].sn_grad = torch.ones(ROWS, dtype=torch.float64)  # that of a whole batch holds for its first rows
        loss = app.step(*data(count, seed=count), reduce=torch.sum)[0]
        assert loss.shape == (count,)
    gradient = torch.linspace(0, 1, LEFT, dtype=torch.float64)
    app.step(*data(LEFT, seed=9), reduce=lambda loss: (loss * gradient).sum(), grad_of_outputs=[gradient])
    app.check_state()


def test_what_forward_makes_of_the_number_of_rows_is_of_those_given(tmp_path):
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(FEATURES, FEATURES)

        def forward(self, x):
            out = self.fc(x)
            pairs = out @ out.t()  # every row with every other
            return out.square().sum() / x.shape[0] + pairs.mean(), out - out.mean(0), out.max(0).values, out.std(0)

    app = App(tmp_path, Model(), symbols((ROWS, FEATURES)), sgd)
    for count in (ROWS, LEFT, 2, ROWS, LEFT):
        app.step(data(count, seed=count)[0])
    app.check_state()


def test_inputs_without_batch_stay_whole_and_flat_labels_shrink(tmp_path):
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding, self.head = nn.Embedding(11, 6), nn.Linear(6, 11)

        def forward(self, x, y, z):
            logits = self.head(self.embedding(x) * z)
            return F.cross_entropy(logits.flatten(0, 1), y), logits

    x = samba.from_torch_tensor(torch.zeros(ROWS, 3, dtype=torch.int64), name="x", batch_dim=0)
    y = samba.from_torch_tensor(torch.zeros(ROWS * 3, dtype=torch.int64), name="y", batch_dim=0)
    z = samba.from_torch_tensor(torch.ones(6, dtype=torch.float64), name="z")
    app = App(tmp_path, Model(), (x, y, z), adamw)
    generator = torch.Generator().manual_seed(0)
    for count in (ROWS, LEFT, ROWS):
        ids = torch.randint(11, (count, 3), generator=generator)
        app.step(ids, ids.roll(1, 1).flatten(), torch.linspace(0.5, 1.5, 6, dtype=torch.float64))
    app.check_state()


def test_the_batch_may_be_another_dim(tmp_path):
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm = nn.LSTM(FEATURES, 7)

        def forward(self, x):
            out, (hidden, _) = self.lstm(x)
            return out.square().mean(), out, hidden

    app = App(tmp_path, Model(), symbols((3, ROWS, FEATURES), batch_dim=1), sgd)
    for count in (ROWS, LEFT, ROWS):
        app.step(torch.randn(3, count, FEATURES, dtype=torch.float64))
    app.check_state()


def test_sections_may_run_one_by_one(tmp_path):
    app = classifier(tmp_path)
    x, y = data(LEFT)
    app.run(x, y, section_types=["fwd"])
    samba.session.run((), app.outputs, section_types=["bckwd"])
    loss = app.eager(x, y)[0]
    loss.backward()
    close(app.model.fc1.weight.sn_grad, app.eager.fc1.weight.grad)
    samba.session.run((), app.outputs, section_types=["opt"])
    app.eager_optimizer.step()
    app.check_state()
    with pytest.raises(InvalidArgumentError, match="forward pass had other rows"):
        app.run(*data(ROWS), section_types=["bckwd"])
    app.run(*data(ROWS), section_types=["fwd"])
    with pytest.raises(InvalidArgumentError, match="forward pass had other rows"):
        app.run(x, y, section_types=["bckwd", "opt"])


def test_everything_that_is_read_afterwards_is_of_the_last_run(tmp_path):
    x = samba.from_torch_tensor(data(ROWS)[0], name="x", batch_dim=0).requires_grad_()
    x.sn_name = "x"
    torch.manual_seed(1)
    app = App(tmp_path, Classifier(nn.CrossEntropyLoss()), (x, *symbols((1,), (ROWS, "int"))[1:]), adamw)
    app.step(*data(ROWS))
    given, label = data(LEFT)
    logits = app.step(given, label)[1]
    names = [t.sn_name for t in app.outputs]
    assert torch.equal(samba.to_torch(samba.session.get_tensors_by_name(names)[1]), logits)
    assert torch.equal(samba.to_torch(app.outputs[1].sn_data), logits)
    close(x.sn_grad, app.gradient_of_input)
    assert samba.session.get_tensors_by_name(["x"])[0].shape == given.shape
    samba.session.to_cpu(app.model)
    for state in app.optimizer.state.values():
        assert int(state["step"]) == 2


def test_a_checkpoint_holds_what_smaller_batches_did(tmp_path):
    app = classifier(tmp_path, make=adamw)
    path = str(tmp_path / "last.pt")
    app.step(*data(ROWS))
    app.step(*data(LEFT))
    save_checkpoint(path, app.model, app.optimizer, step=2)
    expected = [app.step(*data(count, seed=7)) for count in (LEFT, ROWS)]
    load_checkpoint(path, app.model, app.optimizer)
    for count, want in zip((LEFT, ROWS), expected, strict=True):
        found = app.run(*data(count, seed=7))
        assert all(torch.equal(a, b) for a, b in zip(found, want, strict=True))


def test_weights_that_are_written_are_seen_by_both(tmp_path):
    app = classifier(tmp_path, make=None)
    app.step(*data(LEFT))
    with torch.no_grad():
        for own, other in zip(app.model.parameters(), app.eager.parameters(), strict=True):
            own.copy_(own * 1.5)
            other.mul_(1.5)
    samba.session.to_rdu(app.model)
    for count in (LEFT, ROWS, LEFT):
        app.step(*data(count))


def test_the_comparison_with_the_host_takes_a_smaller_batch(tmp_path):
    app = classifier(tmp_path, nn.CrossEntropyLoss(reduction="none"), init_output_grads=False, loss_indices=[0])
    app.outputs[0].sn_grad = torch.linspace(1, 2, ROWS, dtype=torch.float64)
    for count in (ROWS, LEFT):
        named = [samba.from_torch_tensor(t, name=n) for t, n in zip(data(count), "xy", strict=True)]
        assert any(c.name.endswith(".grad") for c in compare_with_host(app.model, named, app.outputs))


# ---- with other options


@pytest.mark.parametrize("options", [{"o0": True}, {"o1": True}, {"compiler_mode": "nlp"}, {"mapping": "section"}])
def test_every_way_of_compiling_serves_smaller_batches(tmp_path, options):
    app = classifier(tmp_path, **options)
    for count in (ROWS, LEFT, ROWS, LEFT):
        app.step(*data(count, seed=count))
    app.check_state()


@pytest.mark.shows("--microbatch-size")
def test_micro_batches_of_a_smaller_batch(tmp_path):
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc1, self.fc2 = nn.Linear(FEATURES, 9), nn.Linear(9, CLASSES)

        def forward(self, x, y):
            logits = self.fc2(torch.relu(self.fc1(x)))
            return F.cross_entropy(logits, y), logits

    app = App(tmp_path, Model(), symbols((ROWS, FEATURES), (ROWS, "int")), sgd, batch_size=ROWS, microbatch_size=2)
    for count in (ROWS, LEFT, 4, 2, ROWS):  # no whole number of micro-batches, two, one
        app.step(*data(count, seed=count))
    app.check_state()


@pytest.mark.shows("--grad-accumulation-steps")
def test_a_smaller_batch_may_be_the_last_of_an_update(tmp_path):
    app = classifier(tmp_path, grad_accumulation_steps=3)
    for epoch in range(2):
        for index, count in enumerate((ROWS, LEFT, ROWS) if epoch else (ROWS, ROWS, LEFT)):
            x, y = data(count, seed=index)
            close(app.run(x, y)[0], (loss := app.eager(x, y)[0]).detach())
            (loss / 3).backward()
        for own, other in zip(app.model.parameters(), app.eager.parameters(), strict=True):
            close(own.sn_grad, other.grad)
        app.eager_optimizer.step()
        app.eager_optimizer.zero_grad()
    app.check_state()


@pytest.mark.shows("--num-spatial-batches")
@pytest.mark.parametrize("guarded", [False, True])
def test_several_batches_in_a_run_may_end_in_a_smaller_one(tmp_path, guarded):
    app = classifier(tmp_path, num_spatial_batches=3)
    for count in (2 * ROWS + LEFT, LEFT, ROWS + 2, 2 * ROWS):
        x, y = data(count, seed=count)
        found = app.run(x, y, stop_on_nan=guarded)
        steps = []
        for rows in zip(x.split(ROWS), y.split(ROWS), strict=True):
            results = app.eager(*rows)
            app.eager_optimizer.zero_grad()
            results[0].backward()
            app.eager_optimizer.step()
            steps.append(results)
        close(found[0], torch.stack([s[0] for s in steps]).mean().detach())
        close(found[1], torch.cat([s[1] for s in steps]).detach())
        assert found[2] == sum(s[2] for s in steps)
    app.check_state()


@pytest.mark.shows("--stop-on-nan")
def test_the_op_that_makes_a_nan_in_a_smaller_batch_is_named(tmp_path):
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(FEATURES, 3)

        def forward(self, x):
            return torch.log(self.fc(x).abs() + x.sum()).mean()

    app = App(tmp_path, Model(), symbols((ROWS, FEATURES)), sgd)
    good = data(LEFT)[0].abs()
    app.step(good, stop_on_nan=True)
    with pytest.raises(FloatingPointError, match=r"NaN was made by .*log"):
        app.run(-100 * good, stop_on_nan=True)
    app.check_state()


def test_inference_on_fewer_rows(tmp_path):
    app = classifier(tmp_path, make=None)
    for count in (LEFT, ROWS, 1, LEFT):
        app.step(*data(count, seed=count))


def test_modes_of_modules_are_those_that_were_traced(tmp_path):
    app = classifier(tmp_path)
    app.step(*data(ROWS))
    app.model.eval()  # means nothing to a PEF that is loaded
    app.step(*data(LEFT))
    assert not app.model.norm.training
    app.step(*data(LEFT))
    app.check_state()


# ---- what cannot be


def test_rows_that_do_not_go_together_are_refused_by_name(tmp_path):
    app = classifier(tmp_path)
    x, y = data(ROWS)
    before = copy.deepcopy(app.eager.state_dict())
    for rows in ((x[:LEFT], y), (x, y[:LEFT]), (x[:LEFT], y[:3])):
        with pytest.raises(InvalidArgumentError, match="different numbers of rows: .*x.*y|different numbers .*y.*x"):
            app.run(*rows)
    with pytest.raises(InvalidArgumentError, match=r"'x' has shape \[12, 4\], the program takes \[8, 6\]"):
        app.run(x.reshape(12, 4), y)
    with pytest.raises(InvalidArgumentError, match=r"'x' has shape \[9, 6\]"):
        app.run(*data(ROWS + 1))
    with pytest.raises(InvalidArgumentError, match=r"'x' has shape \[0, 6\]"):
        app.run(*data(0))
    samba.session.to_cpu(app.model)
    for name, value in before.items():
        close(app.model.state_dict()[name], value)


def test_a_number_of_rows_written_into_the_model_is_refused_as_in_eager(tmp_path):
    class Model(nn.Module):
        def forward(self, x):
            return x.view(ROWS, 2, 3).sum(1)

    app = App(tmp_path, Model(), symbols((ROWS, FEATURES)))
    app.step(data(ROWS)[0])
    with pytest.raises(InvalidArgumentError, match=r"batch of 5 rows .* takes 8, .*view.*drop_last=True"):
        app.run(data(LEFT)[0])
    with pytest.raises(RuntimeError, match="invalid for input"):
        app.eager(data(LEFT)[0])


def test_one_row_of_batch_statistics_is_refused_as_in_eager(tmp_path):
    app = classifier(tmp_path)
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        app.run(*data(1))


def test_a_model_that_has_changed_is_refused(tmp_path):
    app = classifier(tmp_path)
    app.model.criterion = nn.CrossEntropyLoss(label_smoothing=0.2)
    with pytest.raises(InvalidArgumentError, match="has changed since trace_graph"):
        app.run(*data(LEFT))


def test_a_pef_without_its_model_takes_whole_batches_only(tmp_path):
    app = classifier(tmp_path, make=None, load=False)
    session = SambaSession(app.pef)
    named = [samba.from_torch_tensor(t, name=n) for t, n in zip(data(LEFT), "xy", strict=True)]
    with pytest.raises(InvalidArgumentError, match="x has 5 of 8 rows, y has 5 of 8 rows; .* without its model"):
        session.run(named, session.traced_outputs())


# ---- with others


def test_two_models_have_smaller_batches_of_their_own(tmp_path):
    apps = [classifier(tmp_path, make=make, pef_name=name) for name, make in (("a", sgd), ("b", adamw))]
    for count in (LEFT, ROWS, LEFT):
        for app in apps:
            app.step(*data(count, seed=count))
    for app in apps:
        app.check_state()


def test_two_threads_may_run_batches_of_different_sizes(tmp_path):
    app = classifier(tmp_path, make=None)
    expected = {count: app.step(*data(count)) for count in (ROWS, LEFT)}
    wrong = []

    def run(count):
        for _ in range(20):
            found = app.run(*data(count))
            wrong.extend(count for a, b in zip(found, expected[count], strict=True) if not torch.equal(a, b))

    threads = [threading.Thread(target=run, args=(count,)) for count in (ROWS, LEFT, ROWS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_model_that_is_put_aside_is_not_kept_alive(tmp_path):
    app = classifier(tmp_path, pef_name="a")
    app.step(*data(LEFT))
    alive = weakref.ref(app.model)
    classifier(tmp_path, pef_name="b")
    del app
    gc.collect()
    assert alive() is None
