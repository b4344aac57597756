# SPDX-License-Identifier: Apache-2.0
"""Command-line options of the image programs, as hooks for `parse_app_args`."""

import argparse


def common_options(batch_size):
    """Options of every command. `batch_size` is the default of the program."""

    def add(parser: argparse.ArgumentParser):
        parser.add_argument("-b", "--batch-size", type=int, default=batch_size, help="images a step")
        parser.add_argument("--seed", type=int, default=256, help="seed of weights and of the order of images")
        parser.add_argument("--num-classes", type=int, default=10, help="classes of the data")

    return add


def run_options(lr, momentum, num_epochs):
    """Options of `run`: data, hyperparameters, checkpoints, results."""

    def add(parser: argparse.ArgumentParser):
        parser.add_argument("--data-dir", help="folder of IDX files; without it scikit-learn's digits are used")
        parser.add_argument("-e", "--num-epochs", type=int, default=num_epochs, help="epochs to train in all")
        parser.add_argument("-n", "--num-steps", type=int, help="stop after that many steps")
        parser.add_argument("--lr", type=float, default=lr, help="learning rate")
        parser.add_argument("--momentum", type=float, default=momentum, help="momentum of SGD")
        parser.add_argument("--weight-decay", type=float, default=0.0, help="weight decay of SGD")
        parser.add_argument("--ckpt-dir", help="folder of checkpoints (default: checkpoints beside the PEF)")
        parser.add_argument("--init-ckpt-path", help="checkpoint to start from: weights, optimizer state, epoch")
        parser.add_argument("--test", action="store_true", help="measure accuracy only, without training")
        parser.add_argument("--results-path", help="folder of results of --inference (default: results beside the PEF)")

    return add


def test_options(parser: argparse.ArgumentParser):
    """Options of `test`."""
    parser.add_argument("--rtol", type=float, default=1e-4, help="allowed error over each tensor's largest element")
