# SPDX-License-Identifier: Apache-2.0
"""Command-line options of the programs, as hooks for `parse_app_args`."""

import argparse
import math
import os

_TEXTS = ("../../shared/data/tinyshakespeare.txt", "../README.md")  # of language models, from the folder of the program

_WHOLE_MAX = 2**31 - 1


def whole(low, high=_WHOLE_MAX):
    """A type of argparse: whole numbers from `low` to `high`."""
    return _number(int, "whole number", low, high)


def real(low=0.0, high=1e9):
    """A type of argparse: numbers from `low` to `high`."""
    return _number(float, "number", low, high)


def _number(convert, kind, low, high):
    def read(text):
        try:
            value = convert(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise argparse.ArgumentTypeError(f"'{text}': a {kind} is expected")
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text}: {low:g} to {high:.15g} is legal")
        return value

    return read


def common_options(batch_size):
    """Options of every command. `batch_size` is the default of the program."""

    def add(parser: argparse.ArgumentParser):
        parser.add_argument("-b", "--batch-size", type=whole(1), default=batch_size, help="images a step")
        parser.add_argument("--seed", type=whole(0), default=256, help="seed of weights and of the order of images")
        parser.add_argument("--num-classes", type=whole(1), default=10, help="classes of the data")

    return add


def run_options(lr, momentum, num_epochs):
    """Options of `run`: data, hyperparameters, checkpoints, results."""

    def add(parser: argparse.ArgumentParser):
        parser.add_argument("--data-dir", help="folder of IDX files; without it scikit-learn's digits are used")
        parser.add_argument("-e", "--num-epochs", type=whole(0), default=num_epochs, help="epochs to train in all")
        parser.add_argument("-n", "--num-steps", type=whole(0), help="stop after that many steps")
        parser.add_argument("--lr", type=real(), default=lr, help="learning rate")
        parser.add_argument("--momentum", type=real(), default=momentum, help="momentum of SGD")
        parser.add_argument("--weight-decay", type=real(), default=0.0, help="weight decay of SGD")
        parser.add_argument("--ckpt-dir", help="folder of checkpoints (default: checkpoints beside the PEF)")
        parser.add_argument("--init-ckpt-path", help="checkpoint to start from: weights, optimizer state, epoch")
        parser.add_argument("--test", action="store_true", help="measure accuracy only, without training")
        parser.add_argument("--results-path", help="folder of results of --inference (default: results beside the PEF)")

    return add


def test_options(parser: argparse.ArgumentParser):
    """Options of `test`."""
    parser.add_argument("--rtol", type=real(), help="error that passes (default: 1e-4; in mixed precision 2e-2 of "
                        "outputs, 0.25 of the norm of gradients and updates)")  # fmt: skip


def default_text(program):
    """The first text beside the folder of `program` that is there, or None."""
    folder = os.path.dirname(os.path.abspath(program))
    paths = (os.path.normpath(os.path.join(folder, text)) for text in _TEXTS)
    return next((path for path in paths if os.path.isfile(path)), None)


def model_options(batch_size, length):
    """Options of every command: the shape of the model and of a step."""

    def add(parser: argparse.ArgumentParser):
        parser.add_argument("-b", "--batch-size", type=whole(1), default=batch_size, help="windows a step")
        parser.add_argument("--length", type=whole(1), default=length, help="bytes in a window")
        parser.add_argument("--num-layers", type=whole(1), default=4, help="blocks")
        parser.add_argument("--width", type=whole(1), default=256, help="width of the model")
        parser.add_argument("--num-heads", type=whole(1), default=4, help="heads of attention")
        parser.add_argument("--max-grad-norm", type=real(), default=1.0, help="norm to which gradients are clipped")
        parser.add_argument("--seed", type=whole(0), default=256, help="seed of weights, windows and samples")

    return add


def data_options(text):
    """Options of `run`; `text` is the file that is read unless another is named."""

    def add(parser: argparse.ArgumentParser):
        parser.add_argument("--data-file", default=text, help="any file; its last tenth is held out")
        parser.add_argument("-n", "--num-steps", type=whole(0), default=1000, help="steps to train in all")
        parser.add_argument("--lr", type=real(), default=0.001, help="learning rate")
        parser.add_argument("--weight-decay", type=real(), default=0.01, help="weight decay of AdamW")
        parser.add_argument("--ckpt-dir", help="folder of checkpoints (default: checkpoints beside the PEF)")
        parser.add_argument("--ckpt-interval", type=whole(1), default=500, help="steps between checkpoints")
        parser.add_argument("--init-ckpt-path", help="checkpoint to start from: weights, optimizer state, step")
        parser.add_argument("--test", action="store_true", help="measure the held-out loss only, without training")
        parser.add_argument("--prompt", default="\n", help="text that a sample goes on from")
        parser.add_argument("--num-tokens", type=whole(0), default=400, help="bytes to sample")
        parser.add_argument("--temperature", type=real(), default=0.8, help="0 takes the most likely byte")

    return add
