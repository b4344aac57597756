# SPDX-License-Identifier: Apache-2.0
"""An LSTM that forecasts the next value of noisy waves, fed by SambaLoader.

Habits: SambaLoader with function_hook and return_original_batch, (out, loss) returned, float64 data from numpy,
batches taken straight to run, arguments from a YAML file, -n redefined, whole model saved.
"""

import sys

import numpy as np
import sambaflow.samba.utils as utils
import torch
import torch.nn as nn
from sambaflow import samba
from sambaflow.samba.sambaloader import SambaLoader
from sambaflow.samba.utils.argparser import parse_app_args, parse_yaml_to_args
from sambaflow.samba.utils.pef_utils import get_pefmeta
from torch.utils.data import DataLoader, TensorDataset


class Forecaster(nn.Module):
    def __init__(self, features, hidden):
        super().__init__()
        self.lstm = nn.LSTM(features, hidden, num_layers=2, batch_first=True)
        self.head = nn.Linear(hidden, 1)
        self.loss = nn.MSELoss()

    def forward(self, window, following):
        states, (last, _) = self.lstm(window)
        out = self.head(states[:, -1]).squeeze(-1) + 0.1 * last[-1].mean(1)
        return out, self.loss(out, following)


def add_args(parser):
    parser.add_argument("--yaml-config", default=None, type=str)
    parser.add_argument("--window", type=int, default=12)
    parser.add_argument("--hidden", type=int, default=16)
    parser.add_argument("-n", "--num-iterations", type=int, default=10)


def wave_windows(args):
    rng = np.random.default_rng(0)
    time = np.arange(args.batch_size * args.num_iterations + args.window)
    wave = np.stack([np.sin(time / 3), np.cos(time / 5)], 1) + 0.05 * rng.standard_normal((len(time), 2))
    x = np.stack([wave[i : i + args.window] for i in range(args.batch_size * args.num_iterations)])
    return TensorDataset(torch.as_tensor(x), torch.as_tensor(wave[args.window :, :1]))


def train(args, model, traced):
    loader = SambaLoader(
        DataLoader(wave_windows(args), batch_size=args.batch_size),
        ["window", "following"],
        function_hook=lambda batch: [batch[0] * 2.0, batch[1]],
        return_original_batch=True,
    )
    assert len(loader) == len(loader.dataloader)
    for step, (tensors, original) in enumerate(loader):
        out, loss = samba.session.run(
            input_tensors=tensors, output_tensors=model.output_tensors, hyperparam_dict={"lr": 0.1, "momentum": 0.9}
        )
        error = (samba.to_torch(out) - original[1].squeeze(1)).abs().mean()
        print(f"step {step:3d} loss {samba.to_torch(loss).item():.6f} error {error:.5f}")
    samba.session.to_cpu(model)
    torch.save(model, "forecaster.pth")
    again = torch.load("forecaster.pth", weights_only=False)
    window, following = (t.float() for t in wave_windows(args)[:4])
    print(f"reloaded {samba.to_torch(again(window * 2, following.squeeze(1))[1]):.5f}")


def main(argv):
    args = parse_app_args(argv=argv, common_parser_fn=add_args)
    if args.yaml_config:
        args = parse_yaml_to_args(args.yaml_config, args)
    utils.set_seed(11)
    model = Forecaster(2, args.hidden)
    samba.from_torch_model_(model)
    batch = args.batch_size
    inputs = [
        samba.from_torch_tensor(torch.zeros(batch, args.window, 2), name="window", batch_dim=0),
        samba.from_torch_tensor(torch.zeros(batch), name="following", batch_dim=0),
    ]
    optim = samba.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    if args.command == "compile":
        samba.session.compile(model, inputs, optim, name="forecaster", pef_metadata=get_pefmeta(args, model))
        return
    traced = utils.trace_graph(model, inputs, optim, pef=args.pef)
    if args.command == "run":
        train(args, model, traced)
    elif args.command == "test":
        out, loss = samba.session.run(inputs, traced, section_types=["fwd"])
        gold_out, gold_loss = model(*inputs)
        utils.assert_close(out, gold_out, "out", threshold=1e-4)
        utils.assert_close(loss, gold_loss, "loss", threshold=1e-4)
    else:
        utils.measure_performance(model, inputs, batch, args.n_chips, args.inference, n_iterations=args.num_iterations)


if __name__ == "__main__":
    main(sys.argv[1:])
