# SPDX-License-Identifier: Apache-2.0
"""--enable-stochastic-rounding: what updates store as bf16 is right on average, and decided by the seed."""

import pytest
import torch
from sambaflow import samba
from sambaflow.samba import utils
from torch import nn

pytest.importorskip("sambaflow._leat")

SIZE, STEPS = 16384, 20


class Slide(nn.Module):
    """Every weight has the gradient 1."""

    def __init__(self, dtype):
        super().__init__()
        self.a = nn.Parameter(torch.full((SIZE,), 1.5, dtype=dtype))
        self.b = nn.Parameter(torch.full((64, SIZE // 64), -1.5, dtype=dtype))

    def forward(self, x):
        return ((self.a * x).sum() + (self.b.view(-1) * x).sum()).float()


class Work:
    """A step moves every weight by a tenth of what lies between numbers of bf16 there."""

    def __init__(self, folder, dtype=torch.bfloat16, seed=3, optimizer=None, **config):
        samba.session.args = None
        self.model, self.rate = Slide(dtype), 2.0**-7 / 10
        samba.from_torch_model_(self.model)
        self.inputs = (samba.from_torch_tensor(torch.ones(SIZE, dtype=dtype), name="x"),)
        make = optimizer or samba.optim.SGD
        self.optimizer = make(self.model.parameters(), lr=self.rate)
        settings = {"output_folder": str(folder), "pef_name": "work", "log_level": "error", "verify_each": True}
        settings |= {"enable_stochastic_rounding": True, **config}
        pef = samba.session.compile(self.model, self.inputs, self.optimizer, config_dict=settings)
        utils.set_seed(seed)
        self.outputs = utils.trace_graph(self.model, self.inputs, self.optimizer, pef=pef)

    def train(self, steps=STEPS):
        for _ in range(steps):
            samba.session.run(self.inputs, self.outputs)
        samba.session.to_cpu(self.model)
        return {name: samba.to_torch(p).clone() for name, p in self.model.named_parameters()}


def moved(weights):
    """How far weights went, in steps of their dtype: all went towards minus infinity."""
    return {"a": (1.5 - weights["a"].double()) * 2**7, "b": (-1.5 - weights["b"].double()) * 2**7}


@pytest.mark.shows("--enable-stochastic-rounding", "--enable-safe-stochastic-rounding")
@pytest.mark.parametrize("option", ["enable_stochastic_rounding", "enable_safe_stochastic_rounding"])
def test_weights_move_on_average_as_far_as_they_should(option, tmp_path):
    plain = Work(tmp_path, enable_stochastic_rounding=False).train()
    assert all((steps == 0).all() for steps in moved(plain).values())  # to nearest, no step gets anywhere
    found = moved(Work(tmp_path, **{"enable_stochastic_rounding": False, option: True}).train())
    for steps in found.values():
        # A weight is a sum of 20 steps, each 0 or 1, of mean 0.1: its deviation is 1.34.
        assert abs(float(steps.mean()) - STEPS / 10) < 5 * (STEPS * 0.09) ** 0.5 / SIZE**0.5
        assert float(steps.std()) == pytest.approx((STEPS * 0.09) ** 0.5, rel=0.05)
        assert torch.equal(steps, steps.round()) and float(steps.min()) == 0


@pytest.mark.parametrize("level", ["o0", "o1", "o3"])
def test_every_step_and_every_parameter_has_numbers_of_its_own(level, tmp_path):
    work = Work(tmp_path, optim_level=level)
    first = moved(work.train(1))
    second = {name: steps - first[name] for name, steps in moved(work.train(1)).items()}
    for steps in (*first.values(), *second.values()):
        assert float(steps.mean()) == pytest.approx(0.1, abs=0.015)
    for one, other in ((first["a"], second["a"]), (first["a"], first["b"].view(-1)), (first["b"], second["b"])):
        both = float((one * other).mean())  # 0.1 if they are the same, 0.01 if they are independent
        assert both == pytest.approx(0.01, abs=0.006)


def test_the_seed_decides(tmp_path):
    once, again, other = (Work(tmp_path, seed=seed).train() for seed in (3, 3, 4))
    for name in once:
        assert torch.equal(once[name], again[name]) and not torch.equal(once[name], other[name])


def test_states_are_of_fp32_and_follow_the_rule(tmp_path):
    """AdamW of the same gradients: weights of fp32, and of bf16 whose mean is theirs."""
    wide = Work(tmp_path, torch.float32, optimizer=samba.optim.AdamW).train()
    work = Work(tmp_path, optimizer=samba.optim.AdamW)
    narrow = work.train()
    for name, p in work.model.named_parameters():
        assert work.optimizer.state[p]["exp_avg"].dtype == torch.float32
        assert narrow[name].dtype == torch.bfloat16
        assert float(narrow[name].double().mean()) == pytest.approx(float(wide[name].double().mean()), abs=4e-4)


def test_other_weights_are_as_without(tmp_path):
    """Those of fp32, and those with a master copy."""
    master = lambda parameters, lr: samba.optim.AdamW(parameters, lr=lr, fp32_params=True)  # noqa: E731
    for dtype, optimizer in ((torch.float32, None), (torch.bfloat16, master)):
        with_it = Work(tmp_path, dtype, optimizer=optimizer).train(4)
        without = Work(tmp_path, dtype, optimizer=optimizer, enable_stochastic_rounding=False).train(4)
        for name in with_it:
            assert torch.equal(with_it[name], without[name])
