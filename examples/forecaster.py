# SPDX-License-Identifier: Apache-2.0
"""An LSTM that forecasts the next value of a series from a window of past ones, fed by SambaLoader.

    python forecaster.py compile --pef-name forecaster
    python forecaster.py run --pef out/forecaster/forecaster.pef -e 6
    python forecaster.py run --pef out/forecaster/forecaster.pef --data-file TABLE.csv -e 6
    python forecaster.py run --pef out/forecaster/forecaster.pef --test --init-ckpt-path CHECKPOINT
    python forecaster.py run --pef out/forecaster/forecaster.pef --inference --init-ckpt-path CHECKPOINT
    python forecaster.py test --pef out/forecaster/forecaster.pef
    python forecaster.py measure-performance --pef out/forecaster/forecaster.pef
    python forecaster.py measure-sections --pef out/forecaster/forecaster.pef

TABLE.csv has one header line and numbers below; its last column is forecast. Without it the series is generated: two
waves whose periods share no multiple, with a little noise from a seed. The last fifth of a series is held out.

`common_app_driver` does compile, test, measure-performance and measure-sections; the program itself does `run`.
"""

import os
import sys

from common.options import real, whole
from common.program import help_at_once, run_program
from sambaflow.samba.utils.argparser import parse_app_args


def common_options(parser):
    parser.add_argument("-b", "--batch-size", type=whole(1), default=32, help="windows a step")
    parser.add_argument("--length", type=whole(1), default=24, help="values in a window")
    parser.add_argument("--hidden", type=whole(1), default=32, help="width of the LSTM")
    parser.add_argument("--seed", type=whole(0), default=256, help="seed of weights and of the order of windows")


def run_options(parser):
    parser.add_argument("--data-file", help="CSV file; its last column is forecast (default: a generated series)")
    parser.add_argument("-e", "--num-epochs", type=whole(0), default=6, help="epochs to train in all")
    parser.add_argument("--lr", type=real(), default=0.005, help="learning rate")
    parser.add_argument("--ckpt-path", help="checkpoint to write (default: forecaster.pt beside the PEF)")
    parser.add_argument("--init-ckpt-path", help="checkpoint to start from")
    parser.add_argument("--test", action="store_true", help="measure the error on held-out windows only")
    parser.add_argument("--results-path", help="file of --inference (default: forecasts.csv beside the PEF)")


OPTIONS = {
    "common_parser_fn": common_options,
    "run_parser_fn": run_options,
}
if __name__ == "__main__":
    help_at_once(**OPTIONS)

import numpy as np
import torch
import torch.nn as nn
from common.files import load_checkpoint, save_checkpoint, write_whole
from sambaflow import samba
from sambaflow.samba import utils
from sambaflow.samba.sambaloader import SambaLoader
from sambaflow.samba.utils.common import common_app_driver
from torch.utils.data import DataLoader, TensorDataset

NAMES = ["window", "following"]


class Forecaster(nn.Module):
    """Two layers of LSTM over the window; a linear layer reads the last state. Returns loss and forecast."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(1, hidden, num_layers=2, batch_first=True)
        self.head = nn.Linear(hidden, 1)
        self.criterion = nn.MSELoss()

    def forward(self, window: torch.Tensor, following: torch.Tensor):
        states, _ = self.lstm(window.unsqueeze(-1))
        forecast = self.head(states[:, -1]).squeeze(-1)
        return self.criterion(forecast, following), forecast


def generated_series(count=3000):
    time = np.arange(count)
    noise = np.random.default_rng(1).normal(0.0, 0.05, count)
    return np.sin(time / 4.0) + 0.6 * np.sin(time / (4.0 * np.sqrt(7.0))) + noise


def read_series(path):
    table = np.genfromtxt(path, delimiter=",", skip_header=1, ndmin=2)
    if table.shape[0] < 2 or not np.isfinite(table[:, -1]).all():
        raise ValueError(f"{path}: the last column must hold a number in every line below the header")
    return table[:, -1]


def scaled_series(args):
    """The series with mean 0 and deviation 1 over its first four fifths, f32 [N]; that mean and deviation."""
    series = read_series(args.data_file) if args.data_file else generated_series()
    known = series[: len(series) * 4 // 5]
    mean, std = float(known.mean()), max(float(known.std()), 1e-6)
    return torch.from_numpy((series - mean) / std).float(), mean, std


def windows(args, train):
    """Windows and the value after each, f32 [N, length] and [N]: of the first four fifths, or of the rest."""
    series, _, _ = scaled_series(args)
    cut = len(series) * 4 // 5
    part = series[:cut] if train else series[cut:]
    if len(part) < args.length + args.batch_size:
        raise ValueError(f"{len(part)} values are too few for windows of {args.length} in batches of {args.batch_size}")
    pieces = part.unfold(0, args.length + 1, 1)
    return TensorDataset(pieces[:, :-1].contiguous(), pieces[:, -1].contiguous())


def train(args, model, optimizer, first_epoch):
    data = windows(args, train=True)
    for epoch in range(first_epoch, args.num_epochs):
        order = torch.Generator().manual_seed(args.seed + epoch)
        loader = SambaLoader(DataLoader(data, args.batch_size, shuffle=True, drop_last=True, generator=order), NAMES)
        losses = []
        for batch in loader:
            loss, _ = samba.session.run(
                input_tensors=batch, output_tensors=model.output_tensors, hyperparam_dict={"lr": args.lr}
            )
            losses.append(samba.to_torch(loss))
        print(f"epoch {epoch + 1}/{args.num_epochs}: loss {float(torch.stack(losses).mean()):.4f}", flush=True)
    path = args.ckpt_path or os.path.join(os.path.dirname(os.path.abspath(args.pef)), "forecaster.pt")
    samba.session.to_cpu(model)
    save_checkpoint(path, model, optimizer, args.num_epochs)
    print(f"checkpoint: {path}")


def evaluate(args, model):
    """Mean squared error on held-out windows, beside that of saying that the last value stays."""
    loader = DataLoader(windows(args, train=False), args.batch_size)
    error = naive = count = 0.0
    for tensors, (window, following) in SambaLoader(loader, NAMES, return_original_batch=True):
        _, forecast = samba.session.run(tensors, model.output_tensors, section_types=["fwd"])
        error += float((samba.to_torch(forecast) - following).square().sum())
        naive += float((window[:, -1] - following).square().sum())
        count += len(following)
    print(f"held out: mean squared error {error / count:.4f}, of the naive forecast {naive / count:.4f}")


def infer(args, model):
    """The value that follows each window of the whole series, also the last, whose following value nobody knows yet."""
    series, mean, std = scaled_series(args)
    if len(series) < args.length:
        raise ValueError(f"{len(series)} values are too few for a window of {args.length}")
    data = series.unfold(0, args.length, 1)
    pieces = []
    for window, following in SambaLoader(DataLoader(TensorDataset(data, data[:, -1]), args.batch_size), NAMES):
        _, forecast = samba.session.run([window, following], model.output_tensors, section_types=["fwd"])
        pieces.append(samba.to_torch(forecast))
    forecasts = torch.cat(pieces) * std + mean
    path = args.results_path or os.path.join(os.path.dirname(os.path.abspath(args.pef)), "forecasts.csv")
    lines = "".join(f"{index},{float(value):.6g}\n" for index, value in enumerate(forecasts, args.length))
    write_whole(path, lambda stream: stream.write(f"row,forecast\n{lines}".encode()))
    print(f"next value: {float(forecasts[-1]):.4f}; {len(forecasts)} forecasts in {path}")


def main():
    args = parse_app_args(**OPTIONS)
    utils.set_seed(args.seed)
    model = Forecaster(args.hidden)
    samba.from_torch_model_(model)
    inputs = (
        samba.randn(args.batch_size, args.length, name="window", batch_dim=0),
        samba.randn(args.batch_size, name="following", batch_dim=0),
    )
    optimizer = None if args.inference else samba.optim.AdamW(model.parameters(), lr=0.0)
    common_app_driver(args, model, inputs, optimizer, name="forecaster", app_dir=utils.get_file_dir(__file__))
    if args.command == "run":
        first_epoch = load_checkpoint(args.init_ckpt_path, model, optimizer) if args.init_ckpt_path else 0
        utils.trace_graph(model, inputs, optimizer, pef=args.pef, mapping=args.mapping)
        if args.inference:
            infer(args, model)
            return
        if not args.test:
            train(args, model, optimizer, first_epoch)
        evaluate(args, model)


if __name__ == "__main__":
    sys.exit(run_program(main))
