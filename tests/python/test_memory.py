# SPDX-License-Identifier: Apache-2.0
"""Host weights that were paged out are what they were, whoever reads or writes them, and in whatever way."""

import copy
import io
import os
import pickle
import tempfile
import threading

import pytest
import torch
import torch.nn.functional as F
from sambaflow import samba
from sambaflow._tensors import paged
from sambaflow.samba import utils
from sambaflow.samba.session import SambaSession
from torch import nn

pytest.importorskip("sambaflow._leat")


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.table, self.a, self.head = nn.Embedding(7, 6), nn.Linear(6, 6), nn.Linear(6, 7)
        self.head.weight = self.table.weight

    def forward(self, x, y):
        logits = self.head(torch.tanh(self.a(self.table(x))))
        return F.cross_entropy(logits, y), logits


class Work:
    """A model that has run `runs` times, its host weights as they were at first, and the device's."""

    def __init__(self, tmp_path, runs=4, train=True):
        torch.manual_seed(1)
        self.model = Net()
        samba.from_torch_model_(self.model)
        self.optimizer = samba.optim.AdamW(self.model.parameters(), lr=0.1) if train else None
        self.inputs = (samba.randint(7, (4,), name="x", batch_dim=0), samba.randint(7, (4,), name="y", batch_dim=0))
        samba.session.args = None
        self.pef = samba.session.compile(
            self.model, self.inputs, self.optimizer, inference=not train,
            config_dict={"output_folder": str(tmp_path), "pef_name": "memory"},
        )  # fmt: skip
        self.first = {name: value.clone() for name, value in self.model.state_dict().items()}
        self.trace()
        for _ in range(runs):
            self.run()

    def trace(self):
        self.outputs = utils.trace_graph(self.model, self.inputs, self.optimizer, pef=self.pef)

    def run(self, **options):
        return [samba.to_torch(t) for t in samba.session.run(self.inputs, self.outputs, **options)]

    def plain(self):
        return [samba.to_torch(tensor) for tensor in self.inputs]

    @property
    def paged(self):
        """How many parameters lie in a file."""
        return sum(not p.untyped_storage().resizable() for p in self.model.parameters())

    def check(self, found=None):
        for name, value in (found or self.model.state_dict()).items():
            assert torch.equal(samba.to_torch(value), samba.to_torch(self.first[name])), name

    def device(self):
        return {name: samba.to_torch(p.sn_data) for name, p in self.model.named_parameters()}


has_room = paged._has_room  # as it is


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Small weights are paged out, too, and wherever the file lies: /tmp is in memory on some machines."""
    monkeypatch.setattr(paged, "WORTH_BYTES", 1)
    monkeypatch.setattr(paged, "_STORAGE_BYTES_MIN", 1)
    monkeypatch.setattr(paged, "_has_room", lambda file, total: True)


@pytest.mark.parametrize("train", [True, False])
def test_weights_are_paged_out_when_a_program_goes_on_running(tmp_path, train):
    work = Work(tmp_path, runs=2, train=train)
    assert work.paged == 0
    work.run()
    assert work.paged == 4
    work.check()
    work.run()
    work.check()


def test_large_weights_are_paged_out_before_the_first_run(tmp_path, monkeypatch):
    monkeypatch.setattr(paged, "LARGE_BYTES", 4 * (7 * 6 + 6 * 6 + 6 + 7))
    work = Work(tmp_path, runs=0)
    assert work.paged == 0
    work.run()
    assert work.paged == 4
    work.check()


def test_small_weights_stay(tmp_path, monkeypatch):
    monkeypatch.setattr(paged, "WORTH_BYTES", 64 << 20)
    assert Work(tmp_path).paged == 0


def test_weights_stay_where_they_shall(tmp_path, monkeypatch):
    monkeypatch.setenv("LEAT_PAGE_OUT", "0")
    assert Work(tmp_path).paged == 0
    monkeypatch.setenv("LEAT_PAGE_OUT", "never")
    with pytest.raises(ValueError, match="LEAT_PAGE_OUT='never': expected 0 or 1"):
        Work(tmp_path)


def test_weights_stay_where_a_file_is_no_gain(tmp_path, monkeypatch):
    def refuses(**_):
        raise OSError("no room")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuses)
    work = Work(tmp_path)
    assert work.paged == 0
    work.check()
    monkeypatch.undo()
    monkeypatch.setattr(paged, "WORTH_BYTES", 1)
    monkeypatch.setattr(paged, "_STORAGE_BYTES_MIN", 1)
    monkeypatch.setattr(paged, "_has_room", lambda file, total: False)
    assert paged.page_out(work.model.parameters()) == 0


def _pickled(module):
    return pickle.loads(pickle.dumps(module)).state_dict()


def _saved(module):
    stream = io.BytesIO()
    torch.save(module.state_dict(), stream)
    stream.seek(0)
    return torch.load(stream, weights_only=True)


def _whole(module):
    stream = io.BytesIO()
    torch.save(module, stream)
    stream.seek(0)
    return torch.load(stream, weights_only=False).state_dict()


def _in_a_thread(module):
    found = {}
    thread = threading.Thread(target=lambda: found.update(module.state_dict()))
    thread.start()
    thread.join()
    return found


READERS = {
    "state_dict": lambda module: module.state_dict(),
    "parameters": lambda module: dict(module.named_parameters()),
    "data": lambda module: {name: p.data for name, p in module.named_parameters()},
    "numpy": lambda module: {name: torch.from_numpy(p.detach().numpy()) for name, p in module.named_parameters()},
    "views": lambda module: {name: p[:] for name, p in module.named_parameters()},
    "deepcopy": lambda module: copy.deepcopy(module).state_dict(),
    "copied state": lambda module: copy.deepcopy(module.state_dict()),
    "pickle": _pickled,
    "save": _saved,
    "save whole": _whole,
    "thread": _in_a_thread,
    "plain": lambda module: {name: samba.to_torch(p) for name, p in module.named_parameters()},
}


@pytest.mark.parametrize("reader", READERS)
def test_whoever_reads_sees_what_was_there(tmp_path, reader):
    work = Work(tmp_path)
    assert work.paged == 4
    before = work.device()
    work.check(READERS[reader](work.model))
    work.run()
    work.check(READERS[reader](work.model))
    assert any(not torch.equal(value, before[name]) for name, value in work.device().items())  # training went on


def _edit(model):
    with torch.no_grad():
        model.a.weight.mul_(2)


def _data(model):
    model.a.weight.data[:] = model.a.weight.data * 2


def _numpy(model):
    model.a.weight.detach().numpy()[...] *= 2


def _new_data(model):
    model.a.weight.data = model.a.weight.data * 2


def _load(model):
    state = {name: value.clone() for name, value in model.state_dict().items()}
    state["a.weight"] *= 2
    model.load_state_dict(state)


@pytest.mark.parametrize("write", [_edit, _data, _numpy, _new_data, _load], ids=lambda write: write.__name__)
def test_whoever_writes_writes_the_host_alone_until_it_is_sent(tmp_path, write):
    work = Work(tmp_path)
    assert work.paged == 4
    before = work.device()
    write(work.model)
    assert torch.equal(samba.to_torch(work.model.a.weight).detach(), 2 * samba.to_torch(work.first["a.weight"]))
    for name, value in work.device().items():
        assert torch.equal(value, before[name])
    samba.session.to_rdu(work.model)
    for name, value in work.device().items():
        assert torch.equal(value, work.model.state_dict()[name])
    work.first["a.weight"] = 2 * work.first["a.weight"]
    work.check()


def test_the_device_comes_to_the_host(tmp_path):
    work = Work(tmp_path)
    assert work.paged == 4
    host_graph, _ = work.model(*work.plain())
    samba.session.to_cpu(work.model)
    for name, value in work.device().items():
        assert torch.equal(samba.to_torch(dict(work.model.named_parameters())[name]), value)
    assert work.model.head.weight is work.model.table.weight  # tied, as before
    state = work.optimizer.state[work.model.a.weight]
    assert state["step"] == 4
    assert state["exp_avg"].any()
    assert float(work.run()[0]) == pytest.approx(float(work.model(*work.plain())[0]), rel=1e-5)
    host_graph.backward()


def test_host_steps_are_those_of_weights_in_memory(tmp_path):
    """Forward, backward and a step of an optimizer on the host, beside a copy that was never paged."""
    work = Work(tmp_path)
    assert work.paged == 4
    reference = Net()
    reference.load_state_dict({name: samba.to_torch(value) for name, value in work.first.items()})
    for model in (work.model, reference):
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
        for _ in range(2):
            optimizer.zero_grad()
            model(*work.plain())[0].backward()
            optimizer.step()
    for (name, want), have in zip(reference.named_parameters(), work.model.parameters(), strict=True):
        assert torch.equal(want, samba.to_torch(have)), name


def test_gradients_are_there(tmp_path):
    work = Work(tmp_path)
    samba.session.to_cpu(work.model)
    work.model.zero_grad()
    loss, _ = work.model(*work.plain())
    loss.backward()
    work.run(section_types=["fwd", "bckwd"])
    for p in work.model.parameters():
        torch.testing.assert_close(samba.to_torch(p.sn_grad), samba.to_torch(p.grad), rtol=1e-4, atol=1e-6)


def test_weights_that_others_see_stay(tmp_path):
    """A view, a storage, an array, an address: whoever has one goes on sharing memory with the parameter."""
    work = Work(tmp_path, runs=2)
    model = work.model
    view, array = model.a.weight.detach()[1:], model.table.weight.detach().numpy()
    address = model.a.bias.data_ptr()
    work.run()
    assert work.paged == 2  # the head's bias is, and an array's memory cannot be resized either
    assert model.table.weight.data_ptr() == array.ctypes.data
    with torch.no_grad():
        model.a.weight.fill_(3)
        model.table.weight.fill_(4)
    assert (view == 3).all()
    assert (array == 4).all()
    assert model.a.bias.data_ptr() == address


def test_traced_again_and_in_another_session(tmp_path):
    work = Work(tmp_path)
    assert work.paged == 4
    expected = [float(work.run()[0]) for _ in range(2)]
    work.trace()  # from the host's weights again
    assert float(work.run()[0]) != pytest.approx(expected[0])
    again = Work(tmp_path / "again", runs=0)
    assert float(again.run()[0]) != pytest.approx(expected[0])
    samba.session.to_cpu(work.model)
    for name, value in work.device().items():
        assert torch.equal(samba.to_torch(dict(work.model.named_parameters())[name]), value)
    other = SambaSession(work.pef)
    other.get_tensors_by_name(["net__a__weight"])
    again.check()


def test_smaller_batches_trace_it_again(tmp_path):
    work, other = Work(tmp_path, train=False), Work(tmp_path / "other", runs=0, train=False)
    assert (work.paged, other.paged) == (4, 0)
    few = [samba.from_torch_tensor(x[:3].clone(), name=n) for x, n in zip(work.plain(), ("x", "y"), strict=True)]
    results = [
        [samba.to_torch(t) for t in samba.session.run(few, w.outputs, section_types=["fwd"])] for w in (work, other)
    ]
    for have, want in zip(*results, strict=True):
        assert torch.equal(have, want)
    work.check()


def test_a_child_writes_its_own(tmp_path):
    work = Work(tmp_path)
    assert work.paged == 4
    child = os.fork()
    if child == 0:
        with torch.no_grad():
            work.model.a.weight.zero_()
        os._exit(int(bool(work.model.a.weight.any())))
    assert os.waitpid(child, 0)[1] == 0
    work.check()


def test_memory_is_given_back(tmp_path, monkeypatch):
    """64 MiB of weights: as many less in memory, and back where they are written."""
    monkeypatch.setattr(paged, "WORTH_BYTES", 64 << 20)
    monkeypatch.setattr(paged, "_has_room", has_room)

    def resident():
        with open("/proc/self/statm") as counts:
            return int(counts.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    model = nn.Linear(4096, 4096, bias=False)
    samba.from_torch_model_(model)
    with tempfile.TemporaryFile() as file:
        kept_on_disk = paged._has_room(file, 64 << 20)
    before, first = resident(), samba.to_torch(model.weight)[::64].detach().clone()
    moved = paged.page_out(model.parameters())
    if not kept_on_disk:
        assert moved == 0
        return
    assert moved == 64 << 20
    assert resident() < before - (56 << 20)
    assert torch.equal(samba.to_torch(model.weight)[::64], first)
    with torch.no_grad():
        model.weight += 1
    assert torch.equal(samba.to_torch(model.weight)[::64], first + 1)
    assert resident() > before - (8 << 20)
