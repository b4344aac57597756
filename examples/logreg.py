# SPDX-License-Identifier: Apache-2.0
"""Logistic regression on flattened 28x28 images, as a SambaFlow program.

    python logreg.py compile --pef-name logreg
    python logreg.py run --pef out/logreg/logreg.pef --data-dir DIR
    python logreg.py run --pef out/logreg/logreg.pef --data-dir DIR --test --init-ckpt-path CHECKPOINT
    python logreg.py test --pef out/logreg/logreg.pef

Without --data-dir the images are scikit-learn's handwritten digits, scaled to 28x28.
"""

import copy
import sys

from common.options import common_options, run_options, test_options
from common.program import help_at_once, run_program
from sambaflow.samba.utils.argparser import parse_app_args

OPTIONS = {
    "common_parser_fn": common_options(batch_size=32),
    "run_parser_fn": run_options(lr=0.05, momentum=0.0, num_epochs=5),
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


class LogReg(nn.Module):
    """One linear layer; returns loss and logits."""

    def __init__(self, num_features: int, num_classes: int) -> None:
        super().__init__()
        self.lin_layer = nn.Linear(num_features, num_classes)
        self.criterion = nn.CrossEntropyLoss()

    def forward(self, image: torch.Tensor, label: torch.Tensor):
        logits = self.lin_layer(image)
        return self.criterion(logits, label), logits


def get_inputs(args):
    """Named stand-ins of the shapes that every step will have."""
    image = samba.randn(args.batch_size, NUM_FEATURES, name="image", batch_dim=0)
    label = samba.randint(args.num_classes, (args.batch_size,), name="label", batch_dim=0)
    return image, label


def main():
    args = parse_app_args(**OPTIONS)
    utils.set_seed(args.seed)
    model = LogReg(NUM_FEATURES, args.num_classes)
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
            name="logreg",
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
