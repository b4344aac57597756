# SPDX-License-Identifier: Apache-2.0
"""Radial basis functions and a ParameterDict that fit a field: five outputs, gradients of inputs, two optimizers.

Habits: float64 and int64 data fed to fp32 inputs, parameters that no layer made, sn_grad of inputs and parameters,
get_tensors_by_name, sn_data, separate bckwd and opt runs, the host's own backward between them.
"""

import argparse

import numpy as np
import sambaflow.samba as samba
import torch
from sambaflow.samba import utils
from sambaflow.samba.utils.argparser import parse_app_args


class RBF(torch.nn.Module):
    def __init__(self, centres=9):
        super().__init__()
        grid = torch.linspace(-1, 1, 3)
        self.centres = torch.nn.Parameter(torch.cartesian_prod(grid, grid)[:centres])
        self.log_width = torch.nn.Parameter(torch.zeros(centres))
        self.heads = torch.nn.ParameterDict(
            {"u": torch.nn.Parameter(torch.ones(centres, 1)), "v": torch.nn.Parameter(torch.ones(centres, 1))}
        )

    def forward(self, points, count, field):
        distance = torch.subtract(points.unsqueeze(1), self.centres.unsqueeze(0)).pow(2).sum(-1)
        phi = torch.exp(-distance * torch.exp(self.log_width))
        u, v = torch.matmul(phi, self.heads["u"]), torch.matmul(phi, self.heads["v"])
        flow = torch.cat([u, v], dim=1)
        scale = torch.rsqrt(count.float())
        misfit = torch.mean(torch.abs(flow - field) * scale) + torch.mean((flow - field) ** 2)
        return flow, misfit, u, v, phi.max(dim=1)[0]


def points_and_field(step):
    rng = np.random.default_rng(step)
    points = rng.uniform(-1, 1, (40, 2))
    field = np.stack([np.sin(2 * points[:, 0]), np.cos(points[:, 1])], 1)
    return torch.from_numpy(points), torch.full((40, 1), 4), torch.from_numpy(field)


def add_run_args(parser: argparse.ArgumentParser):
    parser.add_argument("-n", "--num-iterations", type=int, default=6)


def named(step):
    names = ("points", "count", "field")
    return [samba.from_torch_tensor(t, name=n) for t, n in zip(points_and_field(step), names, strict=True)]


def run(args, model, inputs, outputs):
    for step in range(args.num_iterations):
        fed = named(step)
        misfit = samba.session.run(fed, outputs, section_types=["fwd"])[1]
        samba.session.run(fed, outputs, section_types=["bckwd"])
        gradient = samba.to_torch(model.centres.sn_grad)
        towards = samba.to_torch(inputs[0].sn_grad).abs().sum()
        samba.session.run(fed, outputs, section_types=["opt"], hyperparam_dict={"lr": 0.02})
        print(f"{step}: misfit {float(misfit):.6f} centres {gradient.norm():.6f} points {towards:.6f}")
    samba.session.to_cpu(model)
    torch.save(model.state_dict(), "rbf.pt")


def test(model, inputs, outputs):
    gold = model(*inputs)
    found = samba.session.run(inputs, outputs, section_types=["fwd", "bckwd"])
    for index, (a, b) in enumerate(zip(gold, found, strict=True)):
        utils.assert_close(a, b, f"output {index}", threshold=1e-5)
    samba.to_torch(gold[1]).backward()
    for name, p in model.named_parameters():
        utils.assert_close(p.grad, p.sn_grad, name, threshold=1e-5)
        assert torch.equal(samba.to_torch(p.sn_data), samba.to_torch(p))
        assert torch.equal(samba.session.get_tensors_by_name([p.sn_name])[0].data, samba.to_torch(p))


def main():
    args = parse_app_args(run_parser_fn=add_run_args)
    utils.set_seed(0)
    model = RBF()
    samba.from_torch_model_(model)
    inputs = (
        samba.from_torch_tensor(torch.rand(40, 2), name="points", batch_dim=0),
        samba.from_torch_tensor(torch.ones(40, 1), name="count", batch_dim=0),
        samba.from_torch_tensor(torch.rand(40, 2), name="field", batch_dim=0),
    )
    inputs[0].requires_grad_(True)
    optims = [
        samba.optim.SGD([model.centres, model.log_width], lr=0.01),
        samba.optim.AdamW(model.heads.parameters(), lr=0.01, eps=1e-6),
    ]
    if args.command == "compile":
        samba.session.compile(model, inputs, optims, name="rbf", init_output_grads=True)
    else:
        outputs = utils.trace_graph(model, inputs, optims, init_output_grads=True, pef=args.pef)
        if args.command == "run":
            run(args, model, inputs, outputs)
        elif args.command == "test":
            test(model, inputs, outputs)
        elif args.command == "measure-performance":
            utils.measure_performance(model, inputs, 40, n_iterations=args.num_iterations, run_graph_only=True)


if __name__ == "__main__":
    main()
