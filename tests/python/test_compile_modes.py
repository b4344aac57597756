# SPDX-License-Identifier: Apache-2.0
"""o0, o1 and o3: the same numbers, fewer sections; what o0 keeps for debugging."""

import copy
import csv
import json
import re
import subprocess
from pathlib import Path

import pytest
import torch
from language_models import Gpt2, Llama
from models import MODELS
from sambaflow import samba
from sambaflow._runtime.device import Device
from sambaflow.samba import utils
from sambaflow.samba.lazy_param import lazy_param
from support import leat_command
from torch import nn

pytest.importorskip("sambaflow._leat")

BATCH, LENGTH, STEPS = 4, 16, 3


def language_inputs():
    generator = torch.Generator().manual_seed(5)
    return {name: torch.randint(64, (BATCH, LENGTH), generator=generator) for name in ("tokens", "targets")}


def image_inputs(name):
    generator = torch.Generator().manual_seed(5)
    images = torch.randn(BATCH, *MODELS[name][1], generator=generator)
    return {"image": images, "label": torch.randint(10, (BATCH,), generator=generator)}


PROGRAMS = {
    **{name: (MODELS[name][0], lambda name=name: image_inputs(name)) for name in MODELS},
    "gpt2": (Gpt2, language_inputs),
    "llama": (Llama, language_inputs),
}


def tensors_of(inputs):
    return [samba.from_torch_tensor(value, name=name, batch_dim=0) for name, value in inputs.items()]


def compile_and_train(name, level, folder, **config):
    """Three steps of SGD: losses, logits of the last step, trained weights, path of the PEF."""
    make, make_inputs = PROGRAMS[name]
    torch.manual_seed(7)
    model, inputs = make(), make_inputs()
    reference = copy.deepcopy(model)
    samba.from_torch_model_(model)
    optimizer = samba.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    settings = {"output_folder": str(folder), "pef_name": f"{name}_{level}", "optim_level": level, **config}
    pef = samba.session.compile(model, tuple(tensors_of(inputs)), optimizer, config_dict=settings)
    outputs = utils.trace_graph(model, tuple(tensors_of(inputs)), optimizer, pef=pef)
    losses = []
    for _ in range(STEPS):
        loss, logits = samba.session.run(input_tensors=tensors_of(inputs), output_tensors=outputs)
        losses.append(samba.to_torch(loss).mean().item())
    samba.session.to_cpu(model)
    weights = {name: samba.to_torch(p).clone() for name, p in model.named_parameters()}
    return losses, samba.to_torch(logits).clone(), weights, pef, reference, inputs


def train_torch(reference, inputs):
    optimizer = torch.optim.SGD(reference.parameters(), lr=0.1, momentum=0.9)
    losses = []
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss, logits = reference(*inputs.values())
        loss.mean().backward()
        optimizer.step()
        losses.append(loss.mean().item())
    return losses, logits.detach(), dict(reference.named_parameters())


def section_count(pef):
    return len(Device(pef).report()["sections"])


def body_count(pef):
    return len({section["body"] for section in Device(pef).report()["sections"]})


def stage_count(pef):
    """Of all bodies."""
    bodies = {section["body"]: section["stages"] for section in Device(pef).report()["sections"]}
    return sum(bodies.values())


@pytest.mark.parametrize("name", PROGRAMS)
def test_modes_equal_torch_and_each_other(name, tmp_path):
    found = {level: compile_and_train(name, level, tmp_path) for level in ("o0", "o1", "o3")}
    reference, inputs = found["o0"][4:]
    losses, logits, weights = train_torch(reference, inputs)
    for level, (own_losses, own_logits, own_weights, *_) in found.items():
        torch.testing.assert_close(torch.tensor(own_losses), torch.tensor(losses), rtol=1e-4, atol=1e-5, msg=level)
        torch.testing.assert_close(own_logits, logits, rtol=1e-3, atol=1e-4)
        for key, weight in own_weights.items():
            torch.testing.assert_close(weight, weights[key].detach(), rtol=1e-3, atol=1e-4)
    counts = {level: section_count(results[3]) for level, results in found.items()}
    assert counts["o0"] >= counts["o1"] >= counts["o3"], counts


@pytest.mark.parametrize(("name", "rule_list"), [("gpt2", "gpt2"), ("llama", "nlp")])
def test_each_mode_fuses_more_than_the_one_before(name, rule_list, tmp_path):
    """Two layers: one op, the general rules, those made for the model, the whole graph."""
    modes = [{"optim_level": "o0"}, {"optim_level": "o1"}]
    modes += [{"optim_level": "o1", "o1_rule_list": rule_list}, {"optim_level": "o3"}]
    make, make_inputs = PROGRAMS[name]
    inputs, counts = tuple(tensors_of(make_inputs())), []
    for number, mode in enumerate(modes):
        model = make()
        samba.from_torch_model_(model)
        config = {"output_folder": str(tmp_path), "pef_name": f"{name}_{number}", **mode}
        optimizer = samba.optim.SGD(model.parameters(), lr=0.1)
        counts.append(section_count(samba.session.compile(model, inputs, optimizer, config_dict=config)))
    assert counts[0] > counts[1] > counts[2] > counts[3], counts


def test_o0_keeps_what_every_op_computes(tmp_path):
    """Intermediate results are symbols named after module and op; the k-th further call of an op is numbered."""

    class Twice(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = torch.nn.Linear(6, 5), torch.nn.Linear(5, 4)

        def forward(self, x):
            return torch.relu(self.second(torch.relu(self.first(x)))).sum()

    model = Twice()
    reference = copy.deepcopy(model)
    samba.from_torch_model_(model)
    x = torch.randn(3, 6)
    inputs = (samba.from_torch_tensor(x, name="x", batch_dim=0),)
    pef = samba.session.compile(
        model,
        inputs,
        inference=True,
        config_dict={"output_folder": str(tmp_path), "pef_name": "t", "optim_level": "o0"},
    )
    utils.trace_graph(model, inputs, pef=pef)
    samba.session.run(input_tensors=inputs)
    names = ["twice__first__linear__outputs__0", "twice__relu__outputs__0", "twice__relu_1__outputs__0"]
    first, relu, relu_1 = (samba.to_torch(t) for t in samba.session.get_tensors_by_name(names))
    torch.testing.assert_close(first, reference.first(x))
    torch.testing.assert_close(relu, torch.relu(reference.first(x)))
    torch.testing.assert_close(relu_1, torch.relu(reference.second(torch.relu(reference.first(x)))))


@pytest.mark.shows("--disable-hypersections")
@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_replayed_groups_compute_what_compiled_ones_do(name, tmp_path):
    """With and without sharing: the same bits, and a body for every section without it."""
    on = compile_and_train(name, "o1", tmp_path)
    off = compile_and_train(name, "o1", tmp_path, pef_name="off", disable_hypersections=True)
    assert on[0] == off[0] and torch.equal(on[1], off[1])
    assert all(torch.equal(on[2][key], off[2][key]) for key in on[2])
    assert section_count(on[3]) == section_count(off[3]) == body_count(off[3])
    assert body_count(on[3]) < body_count(off[3])


def compile_gpt2(layers, level, folder, optimizer=samba.optim.AdamW, **config):
    """A compile needs no weights: they are of device meta."""
    with lazy_param():
        model = Gpt2(layers=layers)
    samba.from_torch_model_(model)
    settings = {"output_folder": str(folder), "pef_name": f"gpt2_{layers}", "optim_level": level, **config}
    inputs = tuple(tensors_of(language_inputs()))
    pef = samba.session.compile(model, inputs, optimizer(model.parameters(), lr=0.1), config_dict=settings)
    assert not any(parameter.has_data for parameter in model.parameters())
    return pef


@pytest.mark.parametrize("level", ["o0", "o1"])
def test_more_layers_need_no_more_bodies(level, tmp_path):
    few, many = (compile_gpt2(layers, level, tmp_path) for layers in (3, 9))
    assert section_count(many) > section_count(few)
    assert body_count(many) == body_count(few)


class Marked(torch.nn.Module):
    """Equal blocks, each marked as one function; the last result of a block is read twice."""

    def __init__(self, blocks, dropout=0.0):
        super().__init__()
        self.blocks = torch.nn.ModuleList(torch.nn.Linear(6, 6) for _ in range(blocks))
        self.head, self.dropout = torch.nn.Linear(6, 4), torch.nn.Dropout(dropout)

    def forward(self, x, label):
        for block in self.blocks:
            with samba.directives.op_fusion(func_name="block"):
                x = x + self.dropout(torch.tanh(block(x)))
        return torch.nn.functional.cross_entropy(self.head(x), label)


def train_marked(blocks, folder, **config):
    torch.manual_seed(1)
    model = Marked(blocks)
    reference = copy.deepcopy(model)
    samba.from_torch_model_(model)
    x, label = torch.randn(5, 6), torch.tensor([0, 3, 1, 1, 2])
    inputs = (
        samba.from_torch_tensor(x, name="x", batch_dim=0),
        samba.from_torch_tensor(label, name="label", batch_dim=0),
    )
    optimizer = samba.optim.SGD(model.parameters(), lr=0.1)
    settings = {"output_folder": str(folder), "pef_name": f"marked_{blocks}_{len(config)}", **config}
    pef = samba.session.compile(model, inputs, optimizer, config_dict=settings)
    utils.trace_graph(model, inputs, optimizer, pef=pef)
    samba.session.run(input_tensors=inputs)
    samba.session.to_cpu(model)
    plain = torch.optim.SGD(reference.parameters(), lr=0.1)
    reference(x, label).backward()
    plain.step()
    for (name, own), other in zip(model.named_parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(samba.to_torch(own), other.detach(), rtol=1e-4, atol=1e-6, msg=name)
    return pef


@pytest.mark.shows("--enable-hypersection")
def test_marked_modules_share_bodies_in_o3(tmp_path):
    few, many = (train_marked(blocks, tmp_path, enable_hypersection=True) for blocks in (3, 9))
    assert body_count(few) == body_count(many) and section_count(few) < section_count(many)
    assert section_count(train_marked(9, tmp_path)) < section_count(many)  # without the option o3 sees one graph


@pytest.mark.shows("--compiler-mode")
@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_repeated_blocks_compute_what_the_whole_graph_does(name, tmp_path):
    whole = compile_and_train(name, "o3", tmp_path)
    blocks = compile_and_train(name, "o3", tmp_path, pef_name="blocks", compiler_mode="nlp")
    torch.testing.assert_close(torch.tensor(blocks[0]), torch.tensor(whole[0]), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(blocks[1], whole[1], rtol=1e-3, atol=1e-4)
    for key, weight in blocks[2].items():
        torch.testing.assert_close(weight, whole[2][key], rtol=1e-3, atol=1e-4, msg=key)
    assert body_count(blocks[3]) < section_count(blocks[3])  # the blocks share bodies
    assert body_count(whole[3]) <= section_count(whole[3])


def hypersections(pef):
    """Groups, and how many of them were compiled."""
    log = next(Path(pef).parent.glob("*.mac.log")).read_text()
    return tuple(map(int, re.search(r"hypersections: (\d+) groups, (\d+) compiled", log).groups()))


def test_repeated_blocks_are_compiled_once(tmp_path):
    few, many = (compile_gpt2(layers, "o3", tmp_path, compiler_mode="nlp") for layers in (3, 48))
    assert hypersections(few)[1] == hypersections(many)[1] == 3  # what comes before, a block, what comes after
    assert hypersections(many)[0] == 48 + 2
    assert body_count(few) == body_count(many)
    whole = compile_gpt2(48, "o3", tmp_path, pef_name="whole")
    assert stage_count(many) * 3 < stage_count(whole)


def test_modules_that_differ_are_not_blocks(tmp_path):
    """Entries of a list that hold other ops or shapes, or one op, stay in the graph as a whole; so does a lone one."""
    layers = [torch.nn.Linear(8, 8), torch.nn.ReLU(), torch.nn.Linear(8, 4), torch.nn.Linear(4, 4)]
    blocks = [torch.nn.Sequential(torch.nn.Linear(4, n), torch.nn.Tanh(), torch.nn.Linear(n, 4)) for n in (5, 6)]
    model = torch.nn.Sequential(*layers, *blocks)
    compile_deep(tmp_path, "differ", model, torch.zeros(6, 8), compiler_mode="nlp")
    log = (tmp_path / "differ" / "differ.mac.log").read_text()
    assert "--compiler-mode nlp: no module is repeated" in log and "hypersections" not in log


def run_dropped(blocks, folder, **config):
    """Losses of three steps and the trained weights, with dropout in every block."""
    torch.manual_seed(1)
    model = Marked(blocks, dropout=0.5)
    samba.from_torch_model_(model)
    inputs = tuple(
        samba.from_torch_tensor(value, name=name, batch_dim=0)
        for name, value in (("x", torch.ones(5, 6)), ("label", torch.tensor([0, 3, 1, 1, 2])))
    )
    optimizer = samba.optim.SGD(model.parameters(), lr=0.1)
    settings = {"output_folder": str(folder), "pef_name": f"dropped_{blocks}_{len(config)}", **config}
    pef = samba.session.compile(model, inputs, optimizer, config_dict=settings)
    outputs = utils.trace_graph(model, inputs, optimizer, pef=pef)
    losses = [
        samba.to_torch(samba.session.run(input_tensors=inputs, output_tensors=outputs)[0]).clone() for _ in range(3)
    ]
    samba.session.to_cpu(model)
    return losses, [samba.to_torch(parameter).clone() for parameter in model.parameters()], pef


def test_equal_blocks_with_dropout_share_bodies(tmp_path):
    """A block's draws are its own, with and without sharing and in a program compiled as a whole."""
    on = run_dropped(9, tmp_path, optim_level="o1")
    off = run_dropped(9, tmp_path, optim_level="o1", disable_hypersections=True)
    whole = run_dropped(9, tmp_path)
    assert body_count(on[2]) == body_count(run_dropped(3, tmp_path, optim_level="o1")[2]) < body_count(off[2])
    for own, other, third in zip([*on[0], *on[1]], [*off[0], *off[1]], [*whole[0], *whole[1]], strict=True):
        assert torch.equal(own, other)
        torch.testing.assert_close(own, third, rtol=1e-4, atol=1e-5)
    assert not torch.equal(on[0][0], on[0][1])


@pytest.mark.parametrize("level", ["o0", "o1"])
def test_clipping_two_optimizers_and_shared_parameters(level, tmp_path):
    """The norm spans all groups, each optimizer its own parameters, and tied weights add up their gradients."""
    torch.manual_seed(3)
    model = Gpt2(layers=1)
    reference = copy.deepcopy(model)
    samba.from_torch_model_(model)
    inputs = language_inputs()

    def halves(m):
        parameters = list(m.parameters())
        return parameters[:5], parameters[5:]

    first, second = halves(model)
    optimizers = [
        samba.optim.AdamW(first, lr=0.01, max_grad_norm=0.5),
        samba.optim.SGD(second, lr=0.05, momentum=0.9),
    ]
    settings = {"output_folder": str(tmp_path), "pef_name": "two", "optim_level": level}
    pef = samba.session.compile(model, tuple(tensors_of(inputs)), optimizers, config_dict=settings)
    utils.trace_graph(model, tuple(tensors_of(inputs)), optimizers, pef=pef)
    plain_first, plain_second = halves(reference)
    plain = [torch.optim.AdamW(plain_first, lr=0.01), torch.optim.SGD(plain_second, lr=0.05, momentum=0.9)]
    for _ in range(3):
        samba.session.run(input_tensors=tensors_of(inputs))
        for optimizer in plain:
            optimizer.zero_grad()
        reference(*inputs.values())[0].backward()
        torch.nn.utils.clip_grad_norm_(plain_first, 0.5)
        for optimizer in plain:
            optimizer.step()
    samba.session.to_cpu(model)
    for (name, own), other in zip(model.named_parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(samba.to_torch(own), other.detach(), rtol=1e-3, atol=1e-4, msg=name)


def test_forty_eight_layers_compile_eight_groups(tmp_path):
    """A deep GPT-2, for training: what is compiled is each distinct group, and the file holds it once."""
    on = compile_gpt2(48, "o1", tmp_path, o1_rule_list="gpt2")
    off = compile_gpt2(48, "o1", tmp_path, o1_rule_list="gpt2", pef_name="off", disable_hypersections=True)
    counts = [
        tuple(map(int, re.search(r"hypersections: (\d+) groups, (\d+) compiled", log.read_text()).groups()))
        for log in (next(Path(pef).parent.glob("*.mac.log")) for pef in (on, off))
    ]
    assert counts[0][0] == counts[1][0] == counts[1][1] and counts[0][1] <= 8, counts
    assert stage_count(on) * 5 <= stage_count(off)


def sections_of(pef, kind="fwd"):
    return [section for section in Device(pef).report()["sections"] if section["type"] == kind]


class Deep(torch.nn.Module):
    """Wide rows and large weights: what fits a cache decides about tiles and sections."""

    def __init__(self):
        super().__init__()
        self.layers = torch.nn.Sequential(*(torch.nn.Linear(512, 512) for _ in range(3)))

    def forward(self, x):
        return self.layers(x)


def compile_deep(folder, name, model=None, x=None, **config):
    model = Deep() if model is None else model
    samba.from_torch_model_(model)
    inputs = (samba.from_torch_tensor(torch.zeros(4096, 512) if x is None else x, name="x", batch_dim=0),)
    settings = {"output_folder": str(folder), "pef_name": name, "inference": True, **config}
    return samba.session.compile(model, inputs, inference=True, config_dict=settings)


@pytest.mark.shows("--resources-scaling-factors")
def test_shares_of_the_cache_are_shares_of_tiles(tmp_path):
    whole = sections_of(compile_deep(tmp_path, "whole", mac_v2=True))
    part = sections_of(compile_deep(tmp_path, "part", mac_v2=True, resources_scaling_factors=[0.1, 1.0, 1.0]))
    other = sections_of(compile_deep(tmp_path, "other", mac_v2=True, resources_scaling_factors=[1.0, 0.1, 0.1]))
    assert part[0]["tiles"] > whole[0]["tiles"] == other[0]["tiles"]


@pytest.mark.shows("--mac-v1", "--mac-v2")
def test_the_greedy_cutter_joins_what_cost_keeps_apart(tmp_path):
    small = [0.02, 1.0, 1.0]  # tiles so thin that weights would be read too often
    by_cost = sections_of(compile_deep(tmp_path, "cost", resources_scaling_factors=small))
    for option in ("mac_v1", "mac_v2"):
        greedy = sections_of(compile_deep(tmp_path, option, resources_scaling_factors=small, **{option: True}))
        assert len(greedy) == 1 < len(by_cost)


@pytest.mark.shows("--mapping")
def test_spatial_mapping_is_one_section_or_says_why_not(tmp_path):
    assert len(sections_of(compile_deep(tmp_path, "spatial", mapping="spatial"))) == 1

    class Centred(Deep):
        def forward(self, x):
            y = self.layers(x)
            return self.layers(y - y.mean(0, keepdim=True))

    with pytest.raises(Exception, match=r"spatial: fwd does not fit one section.*'mean'.*needs all rows"):
        compile_deep(tmp_path, "centred", Centred(), mapping="spatial")
    with pytest.raises(Exception, match="compile with -o3"):
        compile_deep(tmp_path, "grouped", mapping="spatial", optim_level="o1")


@pytest.mark.parametrize("level", [{"compiler_mode": "nlp"}, {"o1": True}, {"o0": True}], ids=str)
def test_repeated_sections_are_reported_under_their_own_modules(tmp_path, level):
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm, self.a, self.b = nn.LayerNorm(16), nn.Linear(16, 16), nn.Linear(16, 16)

        def forward(self, x):
            return x + self.b(torch.relu(self.a(self.norm(x))))

    model, x = nn.Sequential(*[Block() for _ in range(3)]), samba.randn(8, 16, name="x")
    samba.from_torch_model_(model)
    config = {"output_folder": str(tmp_path), "pef_name": "net", **level}
    pef = samba.session.compile(model, (x,), inference=True, config_dict=config)
    with open(tmp_path / "net" / "sections.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    found = [set(row["modules"].split(", ")) for row in rows]
    assert all(row["name"].split(" ")[0] in modules for row, modules in zip(rows, found, strict=True))
    blocks = {f"sequential.{i}.{part}" for i in range(3) for part in ("norm", "a", "b")}
    assert set().union(*found) >= blocks
    info = json.loads(subprocess.run([leat_command(), "info", pef, "--json"], capture_output=True, text=True).stdout)
    assert [s["bytes"] for s in info["sections"]] == [int(r["bytes_in"]) + int(r["bytes_out"]) for r in rows]
    picture = (tmp_path / "net" / "graph.svg").read_text()
    assert "sequential.2.norm" in picture and "sequential.1.norm" in picture


class Target(nn.Module):
    """The output of one layer is the detached target of the other's."""

    def __init__(self):
        super().__init__()
        self.target, self.found = nn.Linear(6, 6), nn.Linear(6, 6)

    def forward(self, x):
        return ((self.found(x) - self.target(x).detach()) ** 2).mean()


@pytest.mark.parametrize("level", ["o0", "o1", "o3"])
def test_what_only_detached_values_hang_on_is_not_updated(level, tmp_path):
    """A parameter without gradient is left alone, also where its layer and the detach are groups apart: no decay."""
    torch.manual_seed(3)
    model, x = Target(), torch.randn(4, 6)
    reference = copy.deepcopy(model)
    samba.from_torch_model_(model)
    inputs, optimizer = tensors_of({"x": x}), samba.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.5)
    settings = {"output_folder": str(tmp_path), "pef_name": "target", "optim_level": level}
    pef = samba.session.compile(model, inputs, optimizer, config_dict=settings)
    utils.trace_graph(model, inputs, optimizer, pef=pef)
    plain = torch.optim.AdamW(reference.parameters(), lr=0.1, weight_decay=0.5)
    for _ in range(2):
        samba.session.run(input_tensors=inputs)
        plain.zero_grad()
        reference(x).backward()
        plain.step()
    samba.session.to_cpu(model)
    for (name, own), other in zip(model.named_parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(samba.to_torch(own), other.detach(), rtol=1e-3, atol=1e-4, msg=name)
    gradients = [s.name for s in samba.session._device.of_kind("GRADIENT")]
    assert len(gradients) == 2 and all("__found__" in name for name in gradients)


def test_results_that_nobody_reads_leave_their_bytes_to_later_values(tmp_path):
    """The places of a sort are wasted here; proving the plan must not keep their bytes for ever."""

    class Sorted(nn.Module):
        def forward(self, x):
            return (x.sort(0)[0].flip(1) * x.cos()).sum()

    x = samba.from_torch_tensor(torch.linspace(-1, 1, 64 * 130).reshape(64, 130), name="x")
    model = Sorted()
    samba.from_torch_model_(model)
    config = {"output_folder": str(tmp_path), "pef_name": "sorted", "inference": True, "verify_each": True}
    pef = samba.session.compile(model, (x,), name="sorted", inference=True, config_dict=config)
    assert Path(pef).is_file()
