# SPDX-License-Identifier: Apache-2.0
"""LeNet: a small convolutional network for 28x28 images, as a SambaFlow program.

    python lenet.py compile --pef-name lenet
    python lenet.py run --pef out/lenet/lenet.pef --data-dir DIR -e 5
    python lenet.py run --pef out/lenet/lenet.pef --data-dir DIR --test --init-ckpt-path CHECKPOINT
    python lenet.py run --pef out/lenet/lenet.pef --data-dir DIR --inference --init-ckpt-path CHECKPOINT
    python lenet.py test --pef out/lenet/lenet.pef
    python lenet.py measure-performance --pef out/lenet/lenet.pef

Without --data-dir the images are scikit-learn's handwritten digits, scaled to 28x28.
"""

import copy
import sys

from common.options import common_options, run_options, test_options
from common.program import help_at_once, run_program
from sambaflow.samba.utils.argparser import parse_app_args

OPTIONS = {
    "common_parser_fn": common_options(batch_size=32),
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

IMAGE_SHAPE = (1, 28, 28)


class LeNet(nn.Module):
    """Two convolutions with pooling, three linear layers; returns loss and logits."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, kernel_size=5, padding=2)
        self.relu1 = nn.ReLU()
        self.pool1 = nn.MaxPool2d(2)
        self.conv2 = nn.Conv2d(6, 16, kernel_size=5)
        self.relu2 = nn.ReLU()
        self.pool2 = nn.MaxPool2d(2)
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.relu3 = nn.ReLU()
        self.fc2 = nn.Linear(120, 84)
        self.relu4 = nn.ReLU()
        self.fc3 = nn.Linear(84, num_classes)
        self.criterion = nn.CrossEntropyLoss()

    def forward(self, image: torch.Tensor, label: torch.Tensor):
        x = self.pool1(self.relu1(self.conv1(image)))
        x = self.pool2(self.relu2(self.conv2(x)))
        x = torch.flatten(x, 1)
        x = self.relu3(self.fc1(x))
        x = self.relu4(self.fc2(x))
        logits = self.fc3(x)
        return self.criterion(logits, label), logits


def get_inputs(args):
    """Named stand-ins of the shapes that every step will have."""
    image = samba.randn(args.batch_size, *IMAGE_SHAPE, name="image", batch_dim=0)
    label = samba.randint(args.num_classes, (args.batch_size,), name="label", batch_dim=0)
    return image, label


def main():
    args = parse_app_args(**OPTIONS)
    utils.set_seed(args.seed)
    model = LeNet(args.num_classes)
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
            name="lenet",
            app_dir=utils.get_file_dir(__file__),
            config_dict=vars(args),
            pef_metadata=get_pefmeta(args, model),
        )
    elif args.command == "run":
        start = load_progress(args.init_ckpt_path, model, optimizer) if args.init_ckpt_path else (0, 0)
        utils.trace_graph(model, inputs, optimizer, pef=args.pef, mapping=args.mapping)
        if args.inference:
            infer(args, model, IMAGE_SHAPE)
        elif args.test:
            test_accuracy(args, model, IMAGE_SHAPE)
        else:
            train(args, model, optimizer, IMAGE_SHAPE, start)
    elif args.command == "test":
        compare(args, model, reference, inputs, optimizer)
    else:
        measure(args, model, reference, inputs, optimizer)


if __name__ == "__main__":
    sys.exit(run_program(main))
