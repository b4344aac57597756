# SPDX-License-Identifier: Apache-2.0
"""A 3-D convolutional encoder and decoder of flow fields; the loss is computed on the host.

Habits: common_app_driver for every command, old name from_torch_, forward returns the output alone, sections run
separately in upper case with grad_of_outputs, init_output_grads=False, -bs and -psz beside -b and -p, no drop_last.
"""

import argparse

import torch
import torch.nn as nn
import torch.nn.functional as F
from sambaflow import samba
from sambaflow.samba import utils
from sambaflow.samba.utils.argparser import parse_app_args
from sambaflow.samba.utils.common import common_app_driver


class FlowNet(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.down = nn.Conv3d(1, width, kernel_size=3, padding=1)
        self.norm = nn.BatchNorm3d(width)
        self.pool = nn.MaxPool3d(2)
        self.middle = nn.Conv3d(width, 2 * width, 3, padding=1)
        self.up = nn.ConvTranspose3d(2 * width, width, kernel_size=2, stride=2)
        self.last = nn.Conv3d(2 * width, 1, 1)

    def forward(self, field):
        skip = F.leaky_relu(self.norm(self.down(field)), 0.1)
        x = F.leaky_relu(self.middle(self.pool(skip)), 0.1)
        return self.last(torch.cat((self.up(x), skip), dim=1))


def common_args(parser: argparse.ArgumentParser):
    parser.add_argument("-bs", type=int, default=4, help="batch size")
    parser.add_argument("-psz", type=int, default=8, help="patch size")


def run_args(parser: argparse.ArgumentParser):
    common_args(parser)
    parser.add_argument("-lr", type=float, default=0.02)
    parser.add_argument("-n", "--num-iterations", type=int, default=6)


def fields(args, step):
    generator = torch.Generator().manual_seed(step)
    clean = torch.randn(args.bs, 1, args.psz, args.psz, args.psz, generator=generator)
    return clean, clean.roll(1, dims=-1) - clean


def train(args, model, outputs):
    loss_fn = nn.MSELoss()
    for step in range(args.num_iterations):
        x, target = fields(args, step)
        inputs = [samba.from_torch_tensor(x, name="field", batch_dim=0)]
        out = samba.session.run(inputs, outputs, section_types=["FWD"])[0]
        prediction = samba.to_torch(out).requires_grad_()
        loss = loss_fn(prediction, target)
        loss.backward()
        samba.session.run(inputs, outputs, section_types=["BCKWD"], grad_of_outputs=[prediction.grad])
        samba.session.run(inputs, outputs, section_types=["OPT"], hyperparam_dict={"lr": args.lr, "momentum": 0.5})
        print(f"step {step} loss {loss.item():.6f}")
    samba.session.to_cpu(model)
    torch.save(model.state_dict(), "flow.pt")


def test(args, model, inputs, outputs):
    result = samba.session.run(input_tensors=inputs, output_tensors=outputs, section_types=["fwd"])
    with samba.patched_torch():
        gold = model(*inputs)
    utils.assert_close(result[0], gold, "flow", threshold=1e-4)


def main():
    args = parse_app_args(common_parser_fn=common_args, run_parser_fn=run_args)
    utils.set_seed(5)
    model = FlowNet()
    samba.from_torch_(model)
    inputs = (samba.randn(args.bs, 1, args.psz, args.psz, args.psz, name="field", batch_dim=0),)
    optim = samba.optim.SGD(model.parameters(), lr=0.0, momentum=0.0, weight_decay=0.0)
    common_app_driver(
        args,
        model,
        inputs,
        optim,
        name="flownet",
        init_output_grads=False,
        app_dir=utils.get_file_dir(__file__),
    )
    if args.command in ("run", "test"):
        outputs = utils.trace_graph(
            model, inputs, optim, init_output_grads=False, pef=args.pef, mapping=args.mapping, dev_mode=True
        )
        train(args, model, outputs) if args.command == "run" else test(args, model, inputs, outputs)


if __name__ == "__main__":
    main()
