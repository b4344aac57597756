# SPDX-License-Identifier: Apache-2.0
"""A residual feed-forward classifier of flattened 28x28 images, as a SambaFlow program.

    python resffn.py compile --pef-name resffn
    python resffn.py run --pef out/resffn/resffn.pef --data-dir DIR
    python resffn.py run --pef out/resffn/resffn.pef --data-dir DIR --test --init-ckpt-path CHECKPOINT
    python resffn.py test --pef out/resffn/resffn.pef

Without --data-dir the images are scikit-learn's handwritten digits, scaled to 28x28.
"""

import copy
import sys

from common.options import common_options, run_options, test_options, whole
from common.program import help_at_once, run_program
from sambaflow.samba.utils.argparser import parse_app_args


def add_common_options(parser):
    """Options of every command: those of all image programs, and the width of this model."""
    common_options(batch_size=32)(parser)
    parser.add_argument("--hidden-size", type=whole(1), default=512, help="width of the hidden layers")


OPTIONS = {
    "common_parser_fn": add_common_options,
    "run_parser_fn": run_options(lr=0.01, momentum=0.9, num_epochs=5),
    "test_parser_fn": test_options,
}
if __name__ == "__main__":
    help_at_once(**OPTIONS)

import torch
import torch.nn as nn
from common.compare import compare
from common.files import load_progress
from common.loops import infer, test_accuracy, train
from common.timing import measure
from sambaflow import samba
from sambaflow.samba import utils
from sambaflow.samba.utils.pef_utils import get_pefmeta

NUM_FEATURES = 28 * 28


class ResFFN(nn.Module):
    """Two normalised linear layers with a connection around the second; returns loss and logits."""

    def __init__(self, num_features: int, hidden_size: int, num_classes: int) -> None:
        super().__init__()
        self.gemm1 = nn.Linear(num_features, hidden_size)
        self.norm1 = nn.LayerNorm(hidden_size)
        self.tanh1 = nn.Tanh()
        self.gemm2 = nn.Linear(hidden_size, hidden_size)
        self.norm2 = nn.LayerNorm(hidden_size)
        self.sigmoid1 = nn.Sigmoid()
        self.gemm3 = nn.Linear(hidden_size, num_classes)
        self.criterion = nn.CrossEntropyLoss()

    def forward(self, image: torch.Tensor, label: torch.Tensor):
        x = self.tanh1(self.norm1(self.gemm1(image)))
        x = self.sigmoid1(self.norm2(self.gemm2(x)) + x)
        logits = self.gemm3(x)
        return self.criterion(logits, label), logits


def get_inputs(args):
    """Named stand-ins of the shapes that every step will have."""
    image = samba.randn(args.batch_size, NUM_FEATURES, name="image", batch_dim=0)
    label = samba.randint(args.num_classes, (args.batch_size,), name="label", batch_dim=0)
    return image, label


def main():
    args = parse_app_args(**OPTIONS)
    utils.set_seed(args.seed)
    model = ResFFN(NUM_FEATURES, args.hidden_size, args.num_classes)
    reference = copy.deepcopy(model)
    samba.from_torch_model_(model)
    inputs = get_inputs(args)
    # The learning rate and the rest are given to session.run in every step.
    optimizer = None if args.inference else samba.optim.SGD(model.parameters(), lr=0.0, momentum=0.0)

    if args.command == "compile":
        samba.session.compile(
            model,
            inputs,
            optimizer,
            name="resffn",
            app_dir=utils.get_file_dir(__file__),
            config_dict=vars(args),
            pef_metadata=get_pefmeta(args, model),
        )
    elif args.command == "run":
        start = load_progress(args.init_ckpt_path, model, optimizer) if args.init_ckpt_path else (0, 0)
        utils.trace_graph(model, inputs, optimizer, pef=args.pef, mapping=args.mapping)
        if args.inference:
            infer(args, model, (NUM_FEATURES,))
        elif args.test:
            test_accuracy(args, model, (NUM_FEATURES,))
        else:
            train(args, model, optimizer, (NUM_FEATURES,), start)
    elif args.command == "test":
        compare(args, model, reference, inputs, optimizer)
    else:
        measure(args, model, reference, inputs, optimizer)


if __name__ == "__main__":
    sys.exit(run_program(main))
