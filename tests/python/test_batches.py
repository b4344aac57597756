# SPDX-License-Identifier: Apache-2.0
"""Several batches in one run (--num-spatial-batches), and one update for several runs (--grad-accumulation-steps)."""

import copy
import json
import os
import re
import subprocess

import pytest
import torch
from sambaflow import samba
from sambaflow._base.library import InvalidArgumentError, MismatchError
from sambaflow.samba import utils
from sambaflow.samba.utils.argparser import parse_app_args
from sambaflow.samba.utils.checkpoint import load_checkpoint, save_checkpoint
from torch import nn

ROWS, BATCHES = 4, 3


class Net(nn.Module):
    """Dropout and batch statistics: state that goes on from step to step; `scale` is an input without batch."""

    def __init__(self):
        super().__init__()
        self.fc1, self.norm, self.fc2 = nn.Linear(12, 16), nn.BatchNorm1d(16), nn.Linear(16, 5)
        self.dropout, self.criterion = nn.Dropout(0.25), nn.CrossEntropyLoss()

    def forward(self, image, label, scale):
        hidden = self.dropout(torch.relu(self.norm(self.fc1(image * scale))))
        logits = self.fc2(hidden)
        return self.criterion(logits, label), logits, (logits.argmax(1) == label).sum()


class Sequence(nn.Module):
    """The batch is dim 1 of the input and of the first output."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(6, 7)

    def forward(self, text):
        out = torch.tanh(self.fc(text))
        return out, out.mean((0, 2)), out.square().mean()


@pytest.fixture(autouse=True)
def own_arguments():
    yield
    samba.session.args = None


def tensors(batches, seed=1):
    generator = torch.Generator().manual_seed(seed)
    image = torch.randn(batches * ROWS, 12, generator=generator)
    label = torch.randint(5, (batches * ROWS,), generator=generator)
    return image, label, torch.linspace(0.5, 1.5, 12)


def named(image, label, scale):
    return [samba.from_torch_tensor(t, name=n) for n, t in (("image", image), ("label", label), ("scale", scale))]


def loaded(folder, *words, model_of=Net, optimizer_of=None, name="net", run_words=()):
    """Compiles with `words` and loads; (model, optimizer, traced outputs)."""
    parse_app_args(["compile", "--output-folder", str(folder), "--pef-name", name, "-b", str(ROWS), *words])
    samba.session.seed = 5
    torch.manual_seed(0)
    model = model_of()
    samba.from_torch_model_(model)
    make = optimizer_of or (lambda p: samba.optim.AdamW(p, lr=0.01))
    optimizer = None if "--inference" in words else make(model.parameters())
    pef = samba.session.compile(model, named(*tensors(1)), optimizer, name=name)
    parse_app_args(["run", "-p", pef, "-b", str(ROWS), *run_words])
    return model, optimizer, utils.trace_graph(model, named(*tensors(1)), optimizer, pef=pef)


def weights(model):
    samba.session.to_cpu(model)
    return {key: samba.to_torch(value).clone() for key, value in model.state_dict().items()}


def pieces(image, label, scale):
    return [(image[i : i + ROWS], label[i : i + ROWS], scale) for i in range(0, len(image), ROWS)]


# ---- several batches in one run


@pytest.mark.shows("--num-spatial-batches")
@pytest.mark.parametrize("count", [BATCHES, 2])
def test_one_run_is_as_many_runs(tmp_path, count):
    whole = tensors(count)
    model, _, outputs = loaded(tmp_path)
    single = [samba.session.run(named(*piece), outputs, {"lr": 0.02}) for piece in pieces(*whole)]
    single = [[samba.to_torch(t).clone() for t in step] for step in single]
    expected = weights(model)

    model, _, outputs = loaded(tmp_path, "--num-spatial-batches", str(BATCHES), name="many")
    loss, logits, right = map(samba.to_torch, samba.session.run(named(*whole), outputs, {"lr": 0.02}))
    assert torch.equal(logits, torch.cat([step[1] for step in single]))
    assert torch.equal(loss, torch.stack([step[0] for step in single]).mean())
    assert right.dtype == torch.int64 and right == sum(step[2] for step in single)
    found = weights(model)
    assert all(torch.equal(found[key], expected[key]) for key in expected)

    again = samba.session.run(named(*pieces(*whole)[0]), outputs, section_types=["fwd"])  # one batch, as without
    assert samba.to_torch(again[1]).shape == (ROWS, 5) and samba.to_torch(again[0]).shape == ()


@pytest.mark.parametrize("words", [["-o0"], ["-o1"], ["-mb", "2"]], ids=" ".join)
def test_each_batch_of_a_run_sees_the_update_of_the_one_before(tmp_path, words):
    """Within loops of their own, too: steps of a layer, micro-batches."""
    model_of = Plain if "-mb" in words else Steps
    run_words = words if "-mb" in words else ()
    whole, found = tensors(BATCHES), []
    for batches in (1, BATCHES):
        model, _, outputs = loaded(tmp_path, *words, "--num-spatial-batches", str(batches), model_of=model_of,
                                   run_words=run_words, name=f"net{batches}")  # fmt: skip
        given = [whole] if batches > 1 else pieces(*whole)
        losses = [samba.to_torch(samba.session.run(named(*one), outputs)[0]).clone() for one in given]
        found.append({**weights(model), "loss": torch.stack(losses).mean()})
    for key, value in found[0].items():
        assert torch.equal(value, found[1][key]), key


def test_the_batch_may_be_another_dim(tmp_path):
    def inputs(text):
        return (samba.from_torch_tensor(text, name="text", batch_dim=1),)

    torch.manual_seed(0)
    model = Sequence()
    samba.from_torch_model_(model)
    text = torch.randn(ROWS, 2 * ROWS, 6)
    config = {"output_folder": str(tmp_path), "pef_name": "seq", "num_spatial_batches": 2}
    pef = samba.session.compile(model, inputs(text[:, :ROWS]), inference=True, config_dict=config)
    outputs = utils.trace_graph(model, inputs(text[:, :ROWS]), pef=pef)
    found = samba.session.run(inputs(text), outputs)
    parts = [[samba.to_torch(t) for t in samba.session.run(inputs(half), outputs)] for half in text.split(ROWS, 1)]
    for dim, (whole, first, second) in enumerate(zip(found, *parts, strict=True)):
        joined = (first + second) / 2 if dim == 2 else torch.cat([first, second], 1 - dim)
        assert torch.equal(samba.to_torch(whole), joined)


def test_batches_that_do_not_fit_are_refused(tmp_path):
    _, _, outputs = loaded(tmp_path, "--num-spatial-batches", "2")
    with pytest.raises(InvalidArgumentError, match="'image' has 12 rows; .* 4 a batch, and .* up to 2"):
        samba.session.run(named(*tensors(3)), outputs)
    image, label, scale = tensors(2)
    with pytest.raises(InvalidArgumentError, match="different numbers of batches: image 2, label 1"):
        samba.session.run(named(image, label[:ROWS], scale), outputs)
    with pytest.raises(InvalidArgumentError, match="different numbers of rows: image 6, label 7"):
        samba.session.run(named(image[:6], label[:7], scale), outputs)
    samba.session.run(named(image, label, scale), outputs, section_types=["fwd"])
    for inputs in ((), named(image, label, scale)):
        with pytest.raises(InvalidArgumentError, match="name all its section types in one call"):
            samba.session.run(inputs, outputs, section_types=["bckwd", "opt"])
    with pytest.raises(InvalidArgumentError, match="on one batch"):
        samba.session.run(named(image, label, scale), outputs, section_ids=[0])


def test_a_guarded_run_of_several_batches_updates_after_each(tmp_path):
    whole = tensors(BATCHES)
    plain, _, outputs = loaded(tmp_path, "--num-spatial-batches", str(BATCHES))
    expected = [samba.to_torch(t).clone() for t in samba.session.run(named(*whole), outputs)]
    state = weights(plain)
    model, _, outputs = loaded(tmp_path, "--num-spatial-batches", str(BATCHES), run_words=["--stop-on-nan"])
    found = samba.session.run(named(*whole), outputs)
    assert all(torch.equal(samba.to_torch(a), b) for a, b in zip(found, expected, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(weights(model).values(), state.values(), strict=True))
    whole[0][ROWS + 1] = torch.inf  # in the second batch
    with pytest.raises(FloatingPointError, match="run 5"):
        samba.session.run(named(*whole), outputs)


# ---- one update for several runs


class Plain(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1, self.fc2, self.criterion = nn.Linear(12, 16), nn.Linear(16, 5), nn.CrossEntropyLoss()

    def forward(self, image, label, scale):
        return self.criterion(self.fc2(torch.relu(self.fc1(image * scale))), label)


class Steps(nn.Module):
    """A layer of 12 steps, which is a loop in the file."""

    def __init__(self):
        super().__init__()
        self.layer, self.fc, self.criterion = nn.GRU(1, 6, batch_first=True), nn.Linear(6, 5), nn.CrossEntropyLoss()

    def forward(self, image, label, scale):
        return self.criterion(self.fc(self.layer((image * scale).unsqueeze(2))[0].mean(1)), label)


def torch_steps(optimizer_of, count, clip=None, model_of=Plain):
    """`count` updates of PyTorch, each from the mean of the gradients of BATCHES batches; losses, and the model."""
    torch.manual_seed(0)
    model = model_of()
    optimizer = optimizer_of(model.parameters())
    losses = []
    for step in range(count):
        for piece in pieces(*tensors(BATCHES, seed=step)):
            loss = model(*piece)
            (loss / BATCHES).backward()
            losses.append(loss.detach())
        if clip:
            nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
        optimizer.zero_grad()
    return torch.stack(losses), model.state_dict()


def one_call(inputs, outputs):
    return samba.session.run(inputs, outputs)


def named_types(inputs, outputs):
    return samba.session.run(inputs, outputs, section_types=["FWD", "BCKWD", "GRADNORM", "OPT"])


def two_calls(inputs, outputs):
    """The update in a call of its own, which does nothing before the last batch."""
    results = samba.session.run(inputs, outputs, section_types=["fwd", "bckwd"])
    samba.session.run((), outputs, section_types=["gradnorm", "opt"])
    return results


@pytest.mark.shows("--grad-accumulation-steps")
@pytest.mark.parametrize("call", [one_call, named_types, two_calls])
@pytest.mark.parametrize(("mode", "kind", "settings"), [
    ("-o0", "SGD", {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.1}),
    ("-o3", "AdamW", {"lr": 0.01, "betas": (0.9, 0.99), "weight_decay": 0.1, "eps": 1e-6}),
])  # fmt: skip
def test_updates_follow_the_mean_gradient(tmp_path, call, mode, kind, settings):
    losses, expected = torch_steps(lambda p: getattr(torch.optim, kind)(p, **settings), 2)
    model, _, outputs = loaded(
        tmp_path, mode, "--grad-accumulation-steps", str(BATCHES), model_of=Plain,
        optimizer_of=lambda p: getattr(samba.optim, kind)(p, **settings),
    )  # fmt: skip
    seen = [weights(model)]
    found = []
    for step in range(2):
        for piece in pieces(*tensors(BATCHES, seed=step)):
            found.append(samba.to_torch(call(named(*piece), outputs)[0]).clone())
            seen.append(weights(model))
    torch.testing.assert_close(torch.stack(found), losses, rtol=1e-5, atol=1e-6)
    for key, value in seen[-1].items():
        torch.testing.assert_close(value, expected[key], rtol=1e-5, atol=1e-6)
    changes = [any(not torch.equal(a[k], b[k]) for k in a) for a, b in zip(seen, seen[1:], strict=False)]
    assert changes == [False, False, True] * 2


class Turned(nn.Module):
    """Gradients that are made in another order than that of their parameters, or that are no result of anything."""

    def __init__(self):
        super().__init__()
        self.turned, self.flipped = nn.Parameter(torch.randn(5, 12) * 0.3), nn.Parameter(torch.randn(12))
        self.given, self.criterion = nn.Parameter(torch.randn(4, 12)), nn.CrossEntropyLoss()
        self.up = nn.ConvTranspose1d(3, 5, 4, bias=False)

    def forward(self, image, label, scale):
        image = image * scale
        logits = torch.nn.functional.linear(image * self.flipped.flip(0), self.turned.t().t())
        logits = logits + image @ self.turned.t() + self.up(image.reshape(-1, 3, 4)).mean(2)
        return self.criterion(logits, label) + (self.given * image[:1]).sum()


@pytest.mark.parametrize("mode", ["-o0", "-o1", "-o3"])
def test_updates_take_mean_gradients_however_they_are_made(tmp_path, mode):
    _, expected = torch_steps(lambda p: torch.optim.SGD(p, lr=0.1), 2, model_of=Turned)
    model, _, outputs = loaded(
        tmp_path, mode, "--grad-accumulation-steps", str(BATCHES), model_of=Turned,
        optimizer_of=lambda p: samba.optim.SGD(p, lr=0.1),
    )  # fmt: skip
    for step in range(2):
        for piece in pieces(*tensors(BATCHES, seed=step)):
            samba.session.run(named(*piece), outputs)
    for key, value in weights(model).items():
        torch.testing.assert_close(value, expected[key], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("mode", ["-o0", "-o1", "-o3"])
@pytest.mark.parametrize("clip", [None, 0.05])
def test_updates_behind_loops_follow_the_mean_gradient(tmp_path, clip, mode):
    _, expected = torch_steps(lambda p: torch.optim.SGD(p, lr=0.5), 2, clip, Steps)
    model, _, outputs = loaded(
        tmp_path, mode, "--grad-accumulation-steps", str(BATCHES), model_of=Steps,
        optimizer_of=lambda p: samba.optim.SGD(p, lr=0.5, **({"max_grad_norm": clip} if clip else {})),
    )  # fmt: skip
    for step in range(2):
        for piece in pieces(*tensors(BATCHES, seed=step)):
            samba.session.run(named(*piece), outputs)
    for key, value in weights(model).items():
        torch.testing.assert_close(value, expected[key], rtol=1e-4, atol=1e-5)


class Half(Plain):
    """In bf16: sums are f32 all the same."""

    def __init__(self):
        super().__init__()
        self.bfloat16()

    def forward(self, image, label, scale):
        return super().forward(image.bfloat16(), label, scale.bfloat16())


class Tied(nn.Module):
    """A weight that two layers read; a layer that is frozen, and one that does not count."""

    def __init__(self):
        super().__init__()
        self.fc1, self.fc2, self.out = nn.Linear(12, 12), nn.Linear(12, 12), nn.Linear(12, 5)
        self.fc2.weight = self.fc1.weight
        self.fc2.bias.requires_grad_(False)
        self.unused, self.criterion = nn.Linear(3, 3), nn.CrossEntropyLoss()

    def forward(self, image, label, scale):
        return self.criterion(self.out(torch.tanh(self.fc2(torch.relu(self.fc1(image * scale))))), label)


def gradients():
    device = samba.session._device
    return {s.name: device.read(s) for s in device.of_kind("GRADIENT")}


@pytest.mark.parametrize("words", [["-o0"], ["-o1"], ["-o3"], ["-mb", "2"]], ids=" ".join)
@pytest.mark.parametrize("model_of", [Plain, Half, Steps, Tied])
def test_sums_are_made_element_by_element_in_the_order_of_the_batches(tmp_path, words, model_of):
    """Bit for bit what a host makes of the gradients of each batch, whatever else runs amid them."""
    _, _, outputs = loaded(tmp_path, *words, "--grad-accumulation-steps", str(BATCHES), model_of=model_of,
                           run_words=words if "-mb" in words else (),
                           optimizer_of=lambda p: samba.optim.SGD(p, lr=0.5))  # fmt: skip
    for step in range(2):
        sums = {}
        for index, piece in enumerate(pieces(*tensors(BATCHES, seed=step))):
            samba.session.run_aside(named(*piece), outputs, {}, ["fwd", "bckwd"])
            own = gradients()
            for name, value in own.items():
                sums[name] = sums[name] + value.float() if index else value.float()
            samba.session.run(named(*tensors(1, seed=9)), outputs, section_types=["fwd"])  # evaluation
            samba.session.run(named(*piece), outputs)
            expected = own if index + 1 < BATCHES else {n: (s / BATCHES).to(own[n].dtype) for n, s in sums.items()}
            for name, value in gradients().items():
                assert torch.equal(value, expected[name]), (step, index, name)


@pytest.mark.parametrize("words", [["-o1"], ["-mb", "2"]], ids=" ".join)
def test_smaller_batches_count_and_evaluation_does_not(tmp_path, words):
    """Each run guarded: what runs together with forward is asked of the program that has the rows of the batch."""
    sizes, scale = (ROWS, 2, ROWS, 2), tensors(1)[2]  # the last is left out
    batches = [
        list(zip(*(t.split(sizes) for t in tensors(BATCHES, seed=s)[:2]), strict=True))[:BATCHES] for s in range(2)
    ]
    torch.manual_seed(0)
    eager, losses, found = Steps(), [], []
    optimizer = torch.optim.SGD(eager.parameters(), lr=0.5, momentum=0.9)
    for pairs in batches:
        losses += [eager(*pair, scale) for pair in pairs]
        (sum(losses[-BATCHES:]) / BATCHES).backward()
        optimizer.step()
        optimizer.zero_grad()
    model, _, outputs = loaded(
        tmp_path, *words, "--grad-accumulation-steps", str(BATCHES), model_of=Steps,
        optimizer_of=lambda p: samba.optim.SGD(p, lr=0.5, momentum=0.9),
        run_words=["--stop-on-nan", *(words if "-mb" in words else [])],
    )  # fmt: skip
    for pair in batches[0] + batches[1]:
        for rows in (ROWS, 3):
            image, label, _ = tensors(1, seed=9)
            samba.session.run(named(image[:rows], label[:rows], scale), outputs, section_types=["fwd"])
        found.append(samba.to_torch(samba.session.run(named(*pair, scale), outputs)[0]).clone())
    torch.testing.assert_close(torch.stack(found), torch.stack(losses).detach(), rtol=1e-4, atol=1e-5)
    for key, value in weights(model).items():
        torch.testing.assert_close(value, eager.state_dict()[key], rtol=1e-4, atol=1e-5)


def test_the_file_says_what_its_batches_repeat(tmp_path):
    def told(*words):
        loaded(tmp_path, *words, model_of=Steps)
        pef = str(tmp_path / "net" / "net.pef")
        command = os.environ.get("LEAT_COMMAND", "leat")
        text = subprocess.run([command, "info", pef], capture_output=True, text=True, check=True).stdout
        assert "is legal" in subprocess.run([command, "info", "--check", pef], capture_output=True, text=True).stdout
        return next((line.strip() for line in text.splitlines() if "a run each" in line), None)

    assert told("-o3") is None
    assert re.fullmatch(r"3 batches of an update, a run each: sections 0 to \d+; those behind run with the last",
                        told("-o0", "--grad-accumulation-steps", "3"))  # fmt: skip
    assert re.fullmatch(r"4 batches of a run, a run each: sections \d+ to \d+", told("--num-spatial-batches", "4"))
    names = [s.name for s in samba.session._device.of_kind("STATE")]
    assert not any("grad_sum" in name for name in names)
    told("--grad-accumulation-steps", "3")
    assert not any("grad_sum" in name for name in samba.session.optim_dict)


def test_loops_lie_within_that_over_batches(tmp_path):
    words = ["-mb", "2"]
    loaded(tmp_path, *words, "--grad-accumulation-steps", "3", model_of=Plain, run_words=words)
    command = [os.environ.get("LEAT_COMMAND", "leat"), "info", "--json", str(tmp_path / "net" / "net.pef")]
    facts = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    outer, inner = facts["loops"]
    assert (outer["batches"], outer["trips"], inner["batches"], inner["trips"]) == (True, 3, False, ROWS // 2)
    assert outer["first"] <= inner["first"] and inner["first"] + inner["sections"] <= outer["sections"]
    behind = outer["first"] + outer["sections"]
    assert {s["type"] for s in facts["sections"][behind:]} == {"opt"}
    assert [s["when"] for s in facts["sections"][behind - 3 : behind + 1]] == ["first", "later", "last", "always"]


def test_the_mean_gradient_is_clipped_and_read(tmp_path):
    losses, expected = torch_steps(lambda p: torch.optim.SGD(p, lr=0.5), 1, clip=0.01)
    model, _, outputs = loaded(
        tmp_path, "--grad-accumulation-steps", str(BATCHES), model_of=Plain,
        optimizer_of=lambda p: samba.optim.SGD(p, lr=0.5, max_grad_norm=0.01),
    )  # fmt: skip
    before = weights(model)
    reference = copy.deepcopy(before)
    for piece in pieces(*tensors(BATCHES, seed=0)):
        samba.session.run(named(*piece), outputs)
    after = weights(model)
    for key, value in after.items():
        torch.testing.assert_close(value - before[key], expected[key] - reference[key], rtol=1e-4, atol=1e-7)


def test_checkpoints_wait_for_the_update(tmp_path):
    model, optimizer, outputs = loaded(tmp_path, "--grad-accumulation-steps", str(BATCHES), model_of=Plain)
    path, batches = str(tmp_path / "state.pt"), [named(*piece) for piece in pieces(*tensors(BATCHES))]
    save_checkpoint(path, model, optimizer)
    for inputs in batches[:2]:
        samba.session.run(inputs, outputs)
        with pytest.raises(InvalidArgumentError, match="of 3 batches wait for their update"):
            save_checkpoint(path, model, optimizer)
    load_checkpoint(path, model, optimizer)  # begins anew: three more batches make an update
    before = weights(model)
    for index, inputs in enumerate(batches):
        assert all(torch.equal(v, before[k]) for k, v in weights(model).items()), index
        samba.session.run(inputs, outputs)
    assert not all(torch.equal(v, before[k]) for k, v in weights(model).items())
    save_checkpoint(path, model, optimizer)


def test_a_batch_that_is_not_finite_does_not_stay_in_the_sum(tmp_path):
    _, _, outputs = loaded(
        tmp_path, "--grad-accumulation-steps", "2", model_of=Plain, run_words=["--stop-on-nan"]
    )  # fmt: skip
    good, bad = named(*tensors(1)), named(torch.full((ROWS, 12), torch.nan), *tensors(1)[1:])
    samba.session.run(good, outputs)
    with pytest.raises(FloatingPointError):
        samba.session.run(bad, outputs)
    samba.session.check_updated()  # the sum began anew
    for _ in range(2):
        assert samba.to_torch(samba.session.run(good, outputs)[0]).isfinite()


def test_the_pef_remembers_and_the_run_must_agree(tmp_path, capsys):
    for option in ("--num-spatial-batches", "--grad-accumulation-steps"):
        loaded(tmp_path, option, "2", run_words=[option, "2"])
        with pytest.raises(MismatchError, match=f"{option} 4 differs from .* compiled with 2"):
            loaded(tmp_path, option, "2", run_words=[option, "4"])
        with pytest.raises(MismatchError, match="compiled with 1"):
            loaded(tmp_path, run_words=[option, "4"])
    for other in (["--num-spatial-batches", "2"], ["--inference"]):
        with pytest.raises(SystemExit):
            parse_app_args(["compile", "--grad-accumulation-steps", "2", *other])
        assert "--grad-accumulation-steps" in capsys.readouterr().err


def test_an_option_of_the_program_changes_nothing(tmp_path):
    def hook(parser):
        parser.add_argument("--grad-accumulation-steps", type=int, default=1)

    words = ["--output-folder", str(tmp_path), "--pef-name", "own", "-b", str(ROWS), "--grad-accumulation-steps", "8"]
    parse_app_args(["compile", *words], common_parser_fn=hook)
    model = Plain()
    samba.from_torch_model_(model)
    optimizer = samba.optim.SGD(model.parameters(), lr=0.5)
    pef = samba.session.compile(model, named(*tensors(1)), optimizer, name="own")
    parse_app_args(["run", "-p", pef, "-b", str(ROWS), "--grad-accumulation-steps", "8"], common_parser_fn=hook)
    outputs = utils.trace_graph(model, named(*tensors(1)), optimizer, pef=pef)
    before = weights(model)
    samba.session.run(named(*tensors(1)), outputs)
    assert any(not torch.equal(v, before[k]) for k, v in weights(model).items())
