# SPDX-License-Identifier: Apache-2.0
"""Checkpoints: nothing is lost whenever the process dies, and training goes on bit for bit."""

import errno
import fcntl
import json
import os
import resource
import struct

import checkpoint_training as training
import pytest
import torch
import torch.nn.functional as F
from sambaflow import samba
from sambaflow._base.files import write_whole
from sambaflow.samba import utils
from sambaflow.samba.sambaloader import SambaLoader
from sambaflow.samba.utils.checkpoint import (
    ResumableLoader,
    load_checkpoint,
    load_sharded_checkpoint,
    save_checkpoint,
    save_tensors,
)
from support import Native, run_python
from torch import nn
from torch.utils.data import DataLoader, IterableDataset, RandomSampler, TensorDataset

pytest.importorskip("sambaflow._leat")


def trials(tmp_path, kind):
    done = run_python(training.__file__, tmp_path, kind, cwd=tmp_path, env={"LEAT_NUM_THREADS": "2"})
    assert done.returncode == 0, done.stdout + done.stderr
    return [line.split(" | ") for line in done.stdout.splitlines() if line.startswith(f"{kind} | ")]


def test_killed_at_each_write_sync_and_rename(tmp_path):
    found = trials(tmp_path, "calls")
    assert len(found) == 4 * training.STEPS // training.EVERY
    assert all(state == "killed" for _, _, state, _ in found)
    assert [line for line in found if line[-1] != "ok"] == []


def test_killed_at_random_moments(tmp_path):
    found = trials(tmp_path, "moments")
    assert len(found) == 20
    assert [line for line in found if line[-1] != "ok"] == []


# ---- resuming


def losses_of(folder, threaded, *stops):
    """Losses by step of trainings in this process that each go on to the next of `stops`."""
    found = {}
    for stop in stops:
        training.train(
            str(folder),
            lambda kind, step, loss=0.0: found.update({step: loss} if kind == "loss" else {}),
            threaded,
            stop,
        )
    return found


@pytest.mark.parametrize("threaded", [False, True])
def test_resume_in_mid_epoch_at_an_epoch_end_and_with_a_thread(tmp_path, threaded):
    for name in ("whole", "parts"):
        (tmp_path / name).mkdir()
        training.compile_program(str(tmp_path / name), threaded)
    whole = losses_of(tmp_path / "whole", threaded, training.STEPS)
    # Checkpoints lie at multiples of 3: 3 is within an epoch, 24 the end; 16 goes back to 15, and 8 to 6.
    parts = losses_of(tmp_path / "parts", threaded, 3, 8, 16, training.STEPS)
    assert len(whole) == training.STEPS
    assert {s: struct.pack("<d", v) for s, v in whole.items()} == {s: struct.pack("<d", v) for s, v in parts.items()}


class Numbers(IterableDataset):
    def __iter__(self):
        return iter(torch.arange(12))


def loaders():
    data = TensorDataset(torch.arange(12))
    own = lambda: torch.Generator().manual_seed(9)  # noqa: E731
    return {
        "shuffled": lambda: DataLoader(data, batch_size=2, shuffle=True),
        "generator": lambda: DataLoader(data, batch_size=2, shuffle=True, generator=own()),
        "replacement": lambda: DataLoader(
            data, batch_size=2, sampler=RandomSampler(data, replacement=True, generator=own())
        ),
        "workers": lambda: DataLoader(data, batch_size=2, shuffle=True, num_workers=2),
        "threaded": lambda: SambaLoader(DataLoader(data, batch_size=2, shuffle=True), ["x"]),
        "iterable": lambda: DataLoader(Numbers(), batch_size=2),
        "samples": lambda: DataLoader(data, batch_size=None, shuffle=True),
        "list": lambda: [torch.tensor([i]) for i in range(6)],
    }


def flat(batch):
    return batch.tolist() if isinstance(batch, torch.Tensor) else batch[0].tolist()


@pytest.mark.parametrize("kind", list(loaders()))
@pytest.mark.parametrize("stop", [0, 4, 6, 9])
def test_loaders_go_on_where_they_were(tmp_path, kind, stop):
    """12 steps in one go, and with a checkpoint after `stop` of them."""
    make = loaders()[kind]

    def take(loader, limit):
        found = []
        while len(found) < limit:
            for batch in loader:
                found.append((loader.epoch, flat(batch)))
                if len(found) == limit:
                    return found
        return found

    torch.manual_seed(1)
    whole = take(ResumableLoader(make()), 12)
    model = nn.Linear(1, 1)
    samba.from_torch_model_(model)
    torch.manual_seed(1)
    first = ResumableLoader(make())
    parts = take(first, stop) if stop else []
    save_checkpoint(str(tmp_path / "c.pt"), model, loader=first)
    torch.manual_seed(77)
    second = ResumableLoader(make())
    load_checkpoint(str(tmp_path / "c.pt"), model, loader=second)
    parts += take(second, 12 - stop)
    assert parts == whole


@pytest.mark.parametrize("kind", ["shuffled", "generator", "replacement"])
def test_between_two_epochs(tmp_path, kind):
    make = loaders()[kind]
    model = nn.Linear(1, 1)
    samba.from_torch_model_(model)
    first = ResumableLoader(make())
    list(first)
    save_checkpoint(str(tmp_path / "c.pt"), model, loader=first)
    expected = [flat(batch) for batch in first]
    second = ResumableLoader(make())
    load_checkpoint(str(tmp_path / "c.pt"), model, loader=second)
    assert (second.epoch, second.position) == (1, 0)
    assert [flat(batch) for batch in second] == expected


def test_an_epoch_left_early_counts(tmp_path):
    loader = ResumableLoader(DataLoader(TensorDataset(torch.arange(6)), batch_size=2))
    for _ in loader:
        break
    assert (loader.epoch, loader.position) == (0, 1)
    assert len(list(loader)) == len(loader) == 3
    assert (loader.epoch, loader.position) == (2, 0)


def test_position_beyond_the_data(tmp_path):
    loader = ResumableLoader(DataLoader(TensorDataset(torch.arange(6)), batch_size=2))
    state = loader.state_dict()
    with pytest.raises(ValueError, match="9 batches.*has 3"):
        loader.load_state_dict({**state, "position": 9})


# ---- one model


class Net(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.a, self.norm, self.b = nn.Linear(3, width), nn.BatchNorm1d(width), nn.Linear(width, 2)

    def forward(self, x, y):
        return F.mse_loss(self.b(torch.tanh(self.norm(self.a(x)))), y)


def app(tmp_path, optimizers, dtype=torch.float32):
    """A traced Net; optimizers(model) gives what trains it."""
    torch.manual_seed(2)
    model = Net().to(dtype)
    samba.from_torch_model_(model)
    inputs = (samba.randn(5, 3, name="x").to(dtype), samba.randn(5, 2, name="y").to(dtype))
    chosen = optimizers(model)
    samba.session.args = None
    pef = samba.session.compile(model, inputs, chosen, config_dict={"output_folder": str(tmp_path), "pef_name": "n"})
    outputs = utils.trace_graph(model, inputs, chosen, pef=pef)
    return model, inputs, chosen, outputs, pef


OPTIMIZERS = {
    "sgd": lambda m: samba.optim.SGD(m.parameters(), lr=0.1, momentum=0.9, dampening=0.5),
    "adamw": lambda m: samba.optim.AdamW(m.parameters(), lr=0.1, amsgrad=True, max_grad_norm=0.5),
    "two": lambda m: [samba.optim.SGD(m.a.parameters(), lr=0.1, momentum=0.9),
                      samba.optim.AdamW([*m.norm.parameters(), *m.b.parameters()], lr=0.1)],
}  # fmt: skip


def bits(model):
    return {name: samba.to_torch(t).detach().clone() for name, t in model.state_dict().items()}


@pytest.mark.parametrize("kind", OPTIMIZERS)
@pytest.mark.parametrize("after", [False, True])
def test_load_before_and_after_tracing(tmp_path, kind, after):
    model, inputs, chosen, outputs, pef = app(tmp_path, OPTIMIZERS[kind])
    path = str(tmp_path / "c.pt")
    for step in range(6):
        if step == 3:
            save_checkpoint(path, model, chosen, step=step, extra={"best": 0.5, "names": ["a"], "t": torch.arange(2)})
        samba.session.run(inputs, outputs)
    samba.session.to_cpu(model)
    expected = bits(model)
    fresh = Net()
    samba.from_torch_model_(fresh)
    again = OPTIMIZERS[kind](fresh)
    outputs = utils.trace_graph(fresh, inputs, again, pef=pef) if after else None
    progress = load_checkpoint(path, fresh, again)
    assert (progress.step, progress.extra["best"], progress.extra["names"]) == (3, 0.5, ["a"])
    outputs = outputs or utils.trace_graph(fresh, inputs, again, pef=pef)
    for _ in range(3):
        samba.session.run(inputs, outputs)
    samba.session.to_cpu(fresh)
    for name, value in bits(fresh).items():
        assert torch.equal(value, expected[name]), name


def test_master_copies_of_bf16_parameters(tmp_path):
    make = lambda m: samba.optim.AdamW(m.parameters(), lr=1e-4, fp32_params=True)  # noqa: E731
    model, inputs, chosen, outputs, pef = app(tmp_path, make, torch.bfloat16)
    path = str(tmp_path / "c.pt")
    for step in range(8):
        if step == 5:
            save_checkpoint(path, model, chosen, step=step)
        samba.session.run(inputs, outputs)
    expected = model.a.weight.sn_data, samba.session.get_tensors_by_name(["net__a__weight__master"])[0]
    fresh = Net().bfloat16()
    samba.from_torch_model_(fresh)
    again = make(fresh)
    load_checkpoint(path, fresh, again)
    outputs = utils.trace_graph(fresh, inputs, again, pef=pef)
    for _ in range(3):
        samba.session.run(inputs, outputs)
    assert torch.equal(fresh.a.weight.sn_data, expected[0])
    assert torch.equal(samba.session.get_tensors_by_name(["net__a__weight__master"])[0], expected[1])


def test_new_weights_reach_the_master_copies(tmp_path):
    make = lambda m: samba.optim.SGD(m.parameters(), lr=0.0)  # noqa: E731
    adam = lambda m: samba.optim.AdamW(m.parameters(), lr=0.0, fp32_params=True)  # noqa: E731
    for kind in (make, adam):
        model, inputs, _, outputs, _ = app(tmp_path, kind, torch.bfloat16)
        samba.session.run(inputs, outputs)
        with torch.no_grad():
            model.a.weight.fill_(0.5)
        samba.session.to_rdu(model)
        samba.session.run(inputs, outputs)
        assert bool((samba.to_torch(model.a.weight.sn_data) == 0.5).all())


def test_loading_a_fresh_optimizer_clears_the_device(tmp_path):
    model, inputs, chosen, outputs, _ = app(tmp_path, OPTIMIZERS["two"])
    empty = [o.state_dict() for o in chosen]
    samba.session.run(inputs, outputs)
    chosen[0].load_state_dict(empty[0])
    assert not samba.to_torch(samba.session.get_tensors_by_name(["net__a__weight__momentum"])[0]).any()
    assert samba.to_torch(samba.session.get_tensors_by_name(["net__b__weight__exp_avg"])[0]).any()


def test_the_file_is_plain_data_and_c_reads_it(tmp_path):
    model, inputs, chosen, outputs, _ = app(tmp_path, OPTIMIZERS["adamw"])
    samba.session.run(inputs, outputs)
    path = str(tmp_path / "c.pt")
    save_checkpoint(path, model, chosen)
    content = torch.load(path, weights_only=True)
    assert all(type(t) is torch.Tensor for t in content["model"].values())
    assert torch.equal(content["model"]["a.weight"], samba.to_torch(model.a.weight.sn_data))
    native = Native(tmp_path / "n" / "n.pef")
    native.load_weights(path)
    assert torch.equal(native.read("net__a__weight"), samba.to_torch(model.a.weight.sn_data))
    assert torch.equal(native.read("net__norm__running_var"), samba.to_torch(model.norm.running_var))


def test_state_dict_alone_is_a_checkpoint_of_weights(tmp_path):
    model, other = Net(), Net()
    samba.from_torch_model_(model)
    torch.save(other.state_dict(), tmp_path / "w.pt")
    assert load_checkpoint(str(tmp_path / "w.pt"), model).step == 0
    for name, value in bits(model).items():
        assert torch.equal(value, other.state_dict()[name])


# ---- what does not fit


def test_checkpoint_of_another_model_names_everything(tmp_path):
    model, other = Net(4), nn.Sequential()
    other.a, other.c = nn.Linear(3, 5), nn.Linear(5, 2)
    samba.from_torch_model_(model)
    optimizer = samba.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    theirs = torch.optim.SGD(other.parameters(), lr=0.1)
    torch.save({"model": other.state_dict(), "optimizer": theirs.state_dict()}, tmp_path / "c.pt")
    before = bits(model)
    with pytest.raises(ValueError) as caught:
        load_checkpoint(str(tmp_path / "c.pt"), model, optimizer)
    text = str(caught.value)
    for part in (
        "missing: b.weight [2, 4]",
        "missing: norm.running_mean [4]",
        "extra: c.bias [2]",
        "of another shape: a.weight [5, 3], the model has [4, 3]",
        "of another shape: a.bias [5], the model has [4]",
        "optimizer: parameters per group [4], the program has [6]",
    ):
        assert part in text
    assert all(torch.equal(v, before[k]) for k, v in bits(model).items())


@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "code", "list", "newer"])
def test_damaged_checkpoints(tmp_path, damage):
    model = Net()
    samba.from_torch_model_(model)
    path = tmp_path / "c.pt"
    save_checkpoint(str(path), model)
    if damage == "missing":
        path.unlink()
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:-200])
    elif damage == "code":
        torch.save({"model": {"a": os.system}}, path)
    elif damage == "list":
        torch.save([1, 2], path)
    else:
        torch.save({**torch.load(path, weights_only=True), "version": 99}, path)
    with pytest.raises(FileNotFoundError if damage == "missing" else ValueError, match=r"c\.pt"):
        load_checkpoint(str(path), model)


@pytest.mark.parametrize(
    "entry, value",
    [
        ("random", 3),
        ("random", {"host": {"torch": torch.zeros(2, dtype=torch.uint8)}}),
        ("loader", {"epoch": 1}),
        ("loader", {"epoch": 0, "position": 7, "start": None, "own": {}}),
        ("optimizer", {"state": {}}),
        ("optimizer", 5),
    ],
)
def test_malformed_entries_change_nothing(tmp_path, entry, value):
    model, path = Net(), tmp_path / "c.pt"
    samba.from_torch_model_(model)
    optimizer, loader = OPTIMIZERS["sgd"](model), ResumableLoader([1, 2])
    save_checkpoint(str(path), model, optimizer, loader=loader)
    torch.save({**torch.load(path, weights_only=True), entry: value}, path)
    with torch.no_grad():
        model.a.weight.fill_(7)
    before = torch.get_rng_state()
    with pytest.raises(ValueError, match=r"c\.pt is not a whole checkpoint"):
        load_checkpoint(str(path), model, optimizer, loader=loader)
    assert (model.a.weight == 7).all() and loader.position == 0
    assert torch.equal(before, torch.get_rng_state())


def test_a_loader_without_saved_position(tmp_path):
    model = Net()
    samba.from_torch_model_(model)
    save_checkpoint(str(tmp_path / "c.pt"), model)
    with pytest.raises(ValueError, match="no data position"):
        load_checkpoint(str(tmp_path / "c.pt"), model, loader=ResumableLoader([1]))


def test_what_a_checkpoint_cannot_hold(tmp_path):
    model = Net()
    with pytest.raises(TypeError, match=r"checkpoint\.extra\.when is a object"):
        save_checkpoint(str(tmp_path / "c.pt"), model, extra={"when": object()})
    with pytest.raises(ValueError, match=r"model\.a\.weight has no data"):
        save_checkpoint(str(tmp_path / "c.pt"), Net().to("meta"))
    assert os.listdir(tmp_path) == []


# ---- the system says no


def test_disk_full_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    model = Net()
    samba.from_torch_model_(model)
    path = str(tmp_path / "c.pt")
    save_checkpoint(path, model, step=1)
    real, left = os.write, 300

    def write(handle, data):
        nonlocal left
        if left <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        done = real(handle, bytes(data)[:left])
        left -= done
        return done

    monkeypatch.setattr(os, "write", write)
    with pytest.raises(
        OSError,
        match=r"c\.pt was not written \(No space left on device: [1-9]\d* bytes are missing\); .* as it was before",
    ):
        save_checkpoint(path, model, step=2)
    monkeypatch.undo()
    assert load_checkpoint(path, model).step == 1
    assert os.listdir(tmp_path) == ["c.pt"]


def test_file_size_limit(tmp_path):
    model = nn.Linear(400, 400)
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, old[1]))
    try:
        with pytest.raises(
            OSError, match=r"c\.pt was not written \(File too large: [1-9]\d* bytes are missing\); there is no file"
        ):
            save_checkpoint(str(tmp_path / "c.pt"), model)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
    assert os.listdir(tmp_path) == []


def test_a_second_writer_is_refused_and_a_dead_one_leaves_nothing(tmp_path):
    path = tmp_path / "f"
    (tmp_path / ".f.part").write_bytes(b"left by a process that was killed" * 10)
    with open(tmp_path / ".f.part", "rb") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        with pytest.raises(OSError, match="by another process"):
            write_whole(path, lambda s: s.write(b"x"))
    write_whole(path, lambda s: s.write(b"x"))
    assert path.read_bytes() == b"x"
    assert os.listdir(tmp_path) == ["f"]


def test_a_checkpoint_path_that_is_a_link_keeps_the_link(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "c.pt").write_bytes(b"old")
    (tmp_path / "c.pt").symlink_to("real/c.pt")
    write_whole(tmp_path / "c.pt", lambda s: s.write(b"new"))
    assert os.readlink(tmp_path / "c.pt") == "real/c.pt"
    assert (tmp_path / "real" / "c.pt").read_bytes() == b"new"
    assert sorted(os.listdir(tmp_path)) == ["c.pt", "real"] and os.listdir(tmp_path / "real") == ["c.pt"]


@pytest.mark.parametrize(
    "plant", [os.symlink, os.link, lambda _, name: os.mkfifo(name)], ids=["link", "hard link", "pipe"]
)
def test_what_lies_in_the_way_of_the_file_aside_is_not_written_to(plant, tmp_path):
    victim = tmp_path / "victim"
    victim.write_bytes(b"mine")
    plant(victim, tmp_path / ".f.part")
    write_whole(tmp_path / "f", lambda s: s.write(b"x"))
    assert victim.read_bytes() == b"mine"
    assert (tmp_path / "f").read_bytes() == b"x"
    assert sorted(os.listdir(tmp_path)) == ["f", "victim"]


def test_a_folder_in_the_way(tmp_path):
    (tmp_path / "c.pt").mkdir()
    with pytest.raises(OSError, match=r"c\.pt was not written"):
        save_checkpoint(str(tmp_path / "c.pt"), Net())
    assert os.listdir(tmp_path) == ["c.pt"]


# ---- tensors alone


def shard(tmp_path, state, form):
    """`state` in two files with an index; the path of the folder."""
    names = sorted(state)
    halves = names[: len(names) // 2], names[len(names) // 2 :]
    stem, ending = ("model", "safetensors") if form == "safetensors" else ("pytorch_model", "bin")
    weight_map = {}
    for number, half in enumerate(halves):
        file = f"{stem}-{number}.{ending}"
        weight_map.update(dict.fromkeys(half, file))
        part = {name: state[name].contiguous() for name in half}
        if form == "safetensors":
            pytest.importorskip("safetensors.torch").save_file(part, tmp_path / file)
        else:
            torch.save(part, tmp_path / file)
    (tmp_path / f"{stem}.{ending}.index.json").write_text(json.dumps({"weight_map": weight_map}))
    return str(tmp_path)


@pytest.mark.parametrize("form", ["safetensors", "bin"])
def test_sharded_checkpoint_goes_straight_to_the_device(tmp_path, form):
    source = Net()
    path = shard(
        tmp_path, {k: v.double() if v.is_floating_point() else v for k, v in source.state_dict().items()}, form
    )
    model = Net().to("meta")
    samba.from_torch_model_(model)
    inputs = (samba.randn(5, 3, name="x"), samba.randn(5, 2, name="y"))
    config = {"output_folder": str(tmp_path), "pef_name": "n"}
    samba.session.args = None
    pef = samba.session.compile(model, inputs, inference=True, config_dict=config)
    outputs = utils.trace_graph(model, inputs, pef=pef, transfer_device=False)
    with pytest.raises(ValueError, match=r"of another dtype: a\.weight torch\.float64"):
        load_sharded_checkpoint(model, path)
    load_sharded_checkpoint(model, path, ignore_dtype_mismatch=True)
    assert all(p.device.type == "meta" for p in model.parameters())
    (loss,) = samba.session.run(inputs, outputs)
    source.eval()
    torch.testing.assert_close(samba.to_torch(loss), source(*map(samba.to_torch, inputs)).detach())


def test_sharded_checkpoint_that_does_not_fit(tmp_path):
    state = {**nn.Linear(3, 4).state_dict(), "other": torch.zeros(2)}
    path = shard(tmp_path, state, "bin")
    model = nn.Linear(5, 4)
    samba.from_torch_model_(model)
    with pytest.raises(ValueError, match=r"(?s)extra: other \[2\].*another shape: weight \[4, 3\].*\[4, 5\]"):
        load_sharded_checkpoint(model, path)
    os.unlink(tmp_path / "pytorch_model-0.bin")
    with pytest.raises(FileNotFoundError, match="pytorch_model-0"):
        load_sharded_checkpoint(model, path)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        load_sharded_checkpoint(model, str(tmp_path / "nowhere"))


def test_save_tensors(tmp_path):
    model, inputs, _, outputs, _ = app(tmp_path, OPTIMIZERS["sgd"])
    samba.session.run(inputs, outputs)
    save_tensors(model.parameters(), str(tmp_path / "t.pt"))
    found = torch.load(tmp_path / "t.pt", weights_only=True)
    assert torch.equal(found["net__a__weight"], samba.to_torch(model.a.weight.sn_data))
    assert not torch.equal(found["net__a__weight"], samba.to_torch(model.a.weight))
    with pytest.raises(FileNotFoundError, match="no name"):
        save_tensors([torch.zeros(1)], str(tmp_path / "t.pt"))


def test_names_in_a_file_do_not_steer_the_terminal(tmp_path):
    path = tmp_path / "weights.pt"
    weights = {"wei\x1b[2Jght": torch.zeros(2, 3), "bias": torch.zeros(2)}
    model = torch.nn.Linear(3, 2)
    samba.from_torch_model_(model)
    torch.save({"model": weights}, path)
    with pytest.raises(ValueError, match=r"extra: wei\?\[2Jght"):
        load_checkpoint(str(path), model)
    torch.save(weights, path)
    with pytest.raises(ValueError, match=r"extra: wei\?\[2Jght"):
        load_sharded_checkpoint(model, str(path))
