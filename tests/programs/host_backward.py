# SPDX-License-Identifier: Apache-2.0
"""A program that runs the model on the host, then all sections on the device, and only then goes backward on the host.

Host and device weights are separate: a run that wrote to the parameters of the host or cleared their gradients would
break it.
Three outputs, loss first; the gradient of an input is read too. Two optimizers share the parameters.
"""

import torch
import torch.nn as nn
from sambaflow import samba
from sambaflow.samba import utils
from sambaflow.samba.utils.argparser import parse_app_args
from sambaflow.samba.utils.pef_utils import get_pefmeta


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(10, 20), nn.GELU(), nn.LayerNorm(20))
        self.head = nn.Linear(20, 5)
        self.criterion = nn.CrossEntropyLoss()

    def forward(self, x, y):
        hidden = self.body(x)
        out = self.head(hidden)
        return self.criterion(out, y), out, hidden


def compare(name, expected, found, tolerance=1e-5):
    expected, found = samba.to_torch(expected).detach(), samba.to_torch(found).detach()
    error = float((expected - found).abs().max() / expected.abs().max())
    assert error < tolerance, f"{name}: {error:.2e}"


def check(model, inputs, traced):
    gold = model(*inputs)
    found = samba.session.run(
        input_tensors=inputs, output_tensors=traced, section_types=["fwd", "bckwd", "opt"], hyperparam_dict={"lr": 0.1}
    )
    for name, a, b in zip(("loss", "out", "hidden"), gold, found, strict=True):
        compare(name, a, b)
    samba.to_torch(gold[0]).backward()
    for name, parameter in model.named_parameters():
        compare(f"gradient of {name}", parameter.grad, parameter.sn_grad)
    compare("gradient of x", inputs[0].grad, inputs[0].sn_grad)
    before = {name: samba.to_torch(p).detach().clone() for name, p in model.named_parameters()}
    samba.session.to_cpu(model)
    for name, parameter in model.named_parameters():
        moved = samba.to_torch(parameter).detach()
        assert not torch.equal(before[name], moved), name


def main():
    args = parse_app_args(dev_mode=True)
    utils.set_seed(2)
    model = Net()
    samba.from_torch_model_(model)
    x = samba.randn(8, 10, name="x", batch_dim=0).bfloat16().float()
    y = samba.randint(5, (8,), name="y", batch_dim=0)
    x.requires_grad_()
    optimizers = [
        samba.optim.AdamW(model.body.parameters(), lr=0.01),
        samba.optim.SGD(model.head.parameters(), lr=0.0, momentum=0.9),
    ]
    if args.command == "compile":
        samba.session.compile(
            model,
            (x, y),
            optimizers,
            name="net",
            app_dir=utils.get_file_dir(__file__),
            config_dict=vars(args),
            pef_metadata=get_pefmeta(args, model),
        )
    elif args.command == "run":
        check(model, (x, y), utils.trace_graph(model, (x, y), optimizers, pef=args.pef))
        print("passed")


if __name__ == "__main__":
    main()
