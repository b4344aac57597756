# SPDX-License-Identifier: Apache-2.0
"""A program that returns (output, loss), trains a regression, and asks for sections in either case of letters.

It passes nothing of its command line to `compile`: the options must arrive there by themselves.
"""

import torch
import torch.nn as nn
from sambaflow import samba
from sambaflow.samba import utils
from sambaflow.samba.utils.argparser import parse_app_args


class Regressor(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(12, 16)
        self.second = nn.Linear(16, 1)
        self.criterion = nn.MSELoss()

    def forward(self, features, target):
        out = self.second(torch.tanh(self.first(features)))
        return out, self.criterion(out, target)


def add_args(parser):
    parser.add_argument("-b", "--batch-size", type=int, default=16)
    parser.add_argument("-n", "--num-iterations", type=int, default=60)


def train(args, model, traced):
    generator = torch.Generator().manual_seed(4)
    truth = torch.randn(12, 1, generator=generator)
    losses = []
    for _ in range(args.num_iterations):
        x = torch.randn(args.batch_size, 12, generator=generator)
        batch = (samba.from_torch_tensor(x, name="features"), samba.from_torch_tensor(x @ truth, name="target"))
        outputs = samba.session.run(input_tensors=batch, output_tensors=traced, hyperparam_dict={"lr": 0.05})
        losses.append(float(samba.to_torch(outputs[1])))
    before = {name: samba.to_torch(p).clone() for name, p in model.named_parameters()}
    samba.session.to_cpu(model)
    assert all(not torch.equal(before[name], samba.to_torch(p)) for name, p in model.named_parameters())
    trained = [samba.to_torch(p).clone() for p in model.parameters()]
    for sections in (["FWD"], ["fwd"]):
        out, loss = samba.session.run(batch, traced, section_types=sections)
        host_out, host_loss = model(*[samba.to_torch(t) for t in batch])
        assert torch.allclose(samba.to_torch(out), samba.to_torch(host_out), atol=1e-5)
        assert abs(float(loss) - float(host_loss)) < 1e-5
    samba.session.to_cpu(model)
    assert all(torch.equal(a, samba.to_torch(b)) for a, b in zip(trained, model.parameters(), strict=True))
    assert sum(losses[-5:]) < 0.5 * sum(losses[:5]), losses
    print("losses", losses[0], losses[-1])


def main():
    args = parse_app_args(common_parser_fn=add_args)
    utils.set_seed(1)
    model = Regressor()
    samba.from_torch_model_(model)
    inputs = (
        samba.randn(args.batch_size, 12, name="features", batch_dim=0),
        samba.randn(args.batch_size, 1, name="target"),
    )
    optimizer = samba.optim.SGD(model.parameters(), lr=0.0)
    if args.command == "compile":
        samba.session.compile(model, inputs, optimizer, name="regressor")
    elif args.command == "run":
        traced = utils.trace_graph(model, inputs, optimizer, pef=args.pef, mapping=args.mapping)
        train(args, model, traced)
        print("passed")


if __name__ == "__main__":
    main()
