# SPDX-License-Identifier: Apache-2.0
"""A regression of molecules' energies as programs of 2021 were written.

Habits: from_torch_, utils.compile, common_app_driver with everything it takes (squeeze_bs_dim, get_output_grads), the
model returns its prediction alone and the host computes loss and gradient, options of its own that have the names of
standard ones but mean something else (-b, -bs, -lr, --h, --world-size, --data-parallel, --visualize, --mapping,
--num-spatial-batches), values from a YAML file over those of the command line.
"""

import argparse
import sys

import numpy as np
import torch
import torch.nn as nn
from sambaflow import samba
from sambaflow.samba import utils
from sambaflow.samba.utils.argparser import parse_app_args, parse_yaml_to_args
from sambaflow.samba.utils.common import common_app_driver


class EnergyNet(nn.Module):
    def __init__(self, atoms, hidden):
        super().__init__()
        self.fc1 = nn.Linear(3 * atoms, hidden)
        self.fc2 = nn.Linear(hidden, hidden)
        self.tanh = nn.Tanh()
        self.out = nn.Linear(hidden, 1)
        nn.init.xavier_uniform_(self.fc1.weight)
        nn.init.constant_(self.out.bias, 0.0)

    def forward(self, positions):
        x = positions.view(positions.shape[0], -1)
        x = self.tanh(self.fc1(x))
        x = torch.add(x, torch.relu(self.fc2(x)))
        return self.out(x)


def add_args(parser: argparse.ArgumentParser):
    parser.add_argument("--h", type=int, default=4, help="atoms of a molecule")
    parser.add_argument("-b", "--batch-size", type=int, default=12)
    parser.add_argument("-bs", type=int, default=2, help="blocks of the table")
    parser.add_argument("-lr", "--lr", type=float, default=0.1)
    parser.add_argument("--hidden", type=int, default=8)
    parser.add_argument("--world-size", type=int, default=1, help="size of the box")
    parser.add_argument("--data-parallel", action="store_true", help="read columns at once")
    parser.add_argument("--visualize", type=str, default="", help="what to draw")
    parser.add_argument("--mapping", type=str, default="polar", help="of coordinates")
    parser.add_argument("--num-spatial-batches", type=int, default=5, help="boxes of space")
    parser.add_argument("-e", "--num-epochs", type=int, default=2)
    parser.add_argument("--settings", default=None)


def add_run_args(parser: argparse.ArgumentParser):
    add_args(parser)
    parser.add_argument("--acc-test", action="store_true")


def molecules(args):
    rng = np.random.RandomState(1)
    positions = rng.uniform(-1, 1, (args.batch_size * args.bs * 2, args.h, 3)) * args.world_size
    distance = np.linalg.norm(positions - positions.mean(1, keepdims=True), axis=-1)
    return torch.from_numpy(positions), torch.from_numpy(np.exp(-distance).sum(1, keepdims=True)).float()


def get_output_grads(outputs):
    return [torch.full(outputs[0].shape, 1.0 / outputs[0].numel())]


def train(args, model, inputs, optim):
    traced = utils.trace_graph(model, inputs, optim, init_output_grads=False, pef=args.pef, config_dict=vars(args),
                               dev_mode=True, distlearn_config=args.distlearn_config)  # fmt: skip
    positions, energies = molecules(args)
    for epoch in range(args.num_epochs):
        total = 0.0
        for start in range(0, len(positions), args.batch_size):
            batch = [samba.from_torch(positions[start : start + args.batch_size], name="positions", batch_dim=0)]
            wanted = energies[start : start + args.batch_size]
            (energy,) = samba.session.run(batch, model.output_tensors, section_types=["fwd"])
            difference = samba.to_torch(energy) - wanted
            traced[0].sn_grad = 2 * difference / difference.numel()
            samba.session.run(batch, traced, section_types=["bckwd", "opt"],
                              hyperparam_dict={"lr": args.lr, "momentum": 0.5, "weight_decay": 1e-4})  # fmt: skip
            total += float((difference**2).mean())
        print(f"epoch {epoch} error {total:.5f}")
    samba.session.to_cpu(model)
    host = model(positions[:5].float())
    print("energies " + " ".join(f"{value:.4f}" for value in host.torch().flatten().tolist()))
    torch.save(model.state_dict(), "energy.pt")


def main(argv):
    utils.set_seed(256)
    args = parse_app_args(argv=argv, common_parser_fn=add_args, run_parser_fn=add_run_args)
    if args.settings:
        args = parse_yaml_to_args(args.settings, args)
    assert (args.h, args.world_size, args.data_parallel, args.visualize) == (6, 3, True, "loss"), args
    assert (args.mapping, args.num_spatial_batches) == ("polar", 5), args
    model = EnergyNet(args.h, args.hidden)
    samba.from_torch_(model)
    inputs = (samba.randn(args.batch_size, args.h, 3, name="positions", batch_dim=0),)
    optim = samba.optim.SGD(model.parameters(), lr=0.0, momentum=0.0, weight_decay=0.0)
    if args.command == "compile":
        utils.compile(
            model, inputs, optim, name="energy", app_dir=utils.get_file_dir(__file__), squeeze_bs_dim=True,
            init_output_grads=False, config_dict=vars(args),
        )  # fmt: skip
    elif args.command == "run":
        train(args, model, inputs, optim)
    else:
        common_app_driver(
            args=args, model=model, inputs=inputs, optim=optim, name="energy", app_dir=utils.get_file_dir(__file__),
            squeeze_bs_dim=True, get_output_grads=get_output_grads,
        )  # fmt: skip


if __name__ == "__main__":
    main(sys.argv[1:])
