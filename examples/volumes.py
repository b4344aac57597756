# SPDX-License-Identifier: Apache-2.0
"""A 3-D convolutional network that tells which digit drifts through a short clip, by common_app_driver.

    python volumes.py compile --pef-name volumes
    python volumes.py run --pef out/volumes/volumes.pef --data-dir DIR -e 3
    python volumes.py run --pef out/volumes/volumes.pef --data-dir DIR --test --init-ckpt-path CHECKPOINT
    python volumes.py run --pef out/volumes/volumes.pef --data-dir DIR --inference --init-ckpt-path CHECKPOINT
    python volumes.py test --pef out/volumes/volumes.pef
    python volumes.py measure-performance --pef out/volumes/volumes.pef

A clip is a volume of 8 frames of 14x14: an image of DIR (IDX files, such as MNIST) at half its size, one pixel further
to the right in every frame. Without --data-dir the images are scikit-learn's handwritten digits.
`common_app_driver` does compile, test, measure-performance and measure-sections; the program itself does `run`.
"""

import os
import sys

from common.options import real, whole
from common.program import help_at_once, run_program
from sambaflow.samba.utils.argparser import parse_app_args


def common_options(parser):
    parser.add_argument("-b", "--batch-size", type=whole(1), default=32, help="clips a step")
    parser.add_argument("--num-classes", type=whole(1), default=10, help="classes of the data")
    parser.add_argument("--seed", type=whole(0), default=256, help="seed of weights and of the order of clips")


def run_options(parser):
    parser.add_argument("--data-dir", help="folder of IDX files; without it scikit-learn's digits are used")
    parser.add_argument("-e", "--num-epochs", type=whole(0), default=3, help="epochs to train in all")
    parser.add_argument("-n", "--num-images", type=whole(1), help="use that many training images only")
    parser.add_argument("--lr", type=real(), default=0.02, help="learning rate")
    parser.add_argument("--momentum", type=real(), default=0.9, help="momentum of SGD")
    parser.add_argument("--ckpt-path", help="checkpoint to write (default: volumes.pt beside the PEF)")
    parser.add_argument("--init-ckpt-path", help="checkpoint to start from")
    parser.add_argument("--test", action="store_true", help="measure accuracy only")
    parser.add_argument("--results-path", help="folder of results of --inference (default: results beside the PEF)")


OPTIONS = {
    "common_parser_fn": common_options,
    "run_parser_fn": run_options,
}
if __name__ == "__main__":
    help_at_once(**OPTIONS)

import torch
import torch.nn as nn
import torch.nn.functional as F
from common.data import Images, batches_in_order, load_split, shuffled_batches
from common.files import load_checkpoint, save_checkpoint
from common.loops import write_predictions
from common.progress import progress
from sambaflow import samba
from sambaflow.samba import utils
from sambaflow.samba.utils.common import common_app_driver

FRAMES, SIZE = 8, 14


class ClipNet(nn.Module):
    """Two 3-D convolutions with pooling over time and space, then two linear layers. Returns loss and logits."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(1, 8, kernel_size=3, padding=1)
        self.pool1 = nn.MaxPool3d(2)
        self.conv2 = nn.Conv3d(8, 16, kernel_size=3, padding=1)
        self.pool2 = nn.MaxPool3d((2, 2, 2), ceil_mode=True)
        self.fc1 = nn.Linear(16 * 2 * 4 * 4, 64)
        self.fc2 = nn.Linear(64, num_classes)
        self.criterion = nn.CrossEntropyLoss()

    def forward(self, clip: torch.Tensor, label: torch.Tensor):
        x = self.pool1(F.leaky_relu(self.conv1(clip), 0.1))
        x = self.pool2(F.leaky_relu(self.conv2(x), 0.1))
        logits = self.fc2(F.leaky_relu(self.fc1(x.flatten(1)), 0.1))
        return self.criterion(logits, label), logits


def clips_of(images):
    """[N, 1, 28, 28] to [N, 1, FRAMES, SIZE, SIZE]: the image at half size, drifting to the right."""
    small = F.avg_pool2d(images, 2)
    frames = [small.roll(frame - FRAMES // 2, dims=-1) for frame in range(FRAMES)]
    return torch.stack(frames, dim=2)


def named_inputs(images, labels):
    clips = samba.from_torch_tensor(clips_of(images), name="clip", batch_dim=0)
    return [clips, samba.from_torch_tensor(labels, name="label", batch_dim=0)]


def train(args, model, optimizer, first_epoch):
    data = load_split(args.data_dir, train=True)
    if args.num_images:
        data = Images(data.images[: args.num_images], data.labels[: args.num_images])
    hyper = {"lr": args.lr, "momentum": args.momentum}
    for epoch in range(first_epoch, args.num_epochs):
        losses, label = [], f"epoch {epoch + 1}/{args.num_epochs}"
        batches = shuffled_batches(data, args.batch_size, args.seed, epoch)
        for images, labels in progress(batches, len(data) // args.batch_size, label, losses):
            loss, _ = samba.session.run(
                input_tensors=named_inputs(images, labels), output_tensors=model.output_tensors, hyperparam_dict=hyper
            )
            losses.append(samba.to_torch(loss))
        print(f"{label}: loss {float(torch.stack(losses).mean()):.4f}", flush=True)
    path = args.ckpt_path or os.path.join(os.path.dirname(os.path.abspath(args.pef)), "volumes.pt")
    samba.session.to_cpu(model)
    save_checkpoint(path, model, optimizer, args.num_epochs)
    print(f"checkpoint: {path}")


def logits_of(args, model, data):
    pieces = []
    for images, labels in batches_in_order(data, args.batch_size):
        _, logits = samba.session.run(named_inputs(images, labels), model.output_tensors, section_types=["fwd"])
        pieces.append(samba.to_torch(logits))
    return torch.cat(pieces)


def evaluate(args, model):
    data = load_split(args.data_dir, train=False)
    correct = logits_of(args, model, data).argmax(dim=1) == data.labels
    print(f"test accuracy {100.0 * float(correct.double().mean()):.2f} %")


def infer(args, model):
    data = load_split(args.data_dir, train=False, need_labels=False)
    write_predictions(args, logits_of(args, model, data), data.labels)


def main():
    args = parse_app_args(**OPTIONS)
    utils.set_seed(args.seed)
    model = ClipNet(args.num_classes)
    samba.from_torch_model_(model)
    clip = samba.randn(args.batch_size, 1, FRAMES, SIZE, SIZE, name="clip", batch_dim=0)
    label = samba.randint(args.num_classes, (args.batch_size,), name="label", batch_dim=0)
    optimizer = None if args.inference else samba.optim.SGD(model.parameters(), lr=0.0, momentum=0.0)
    common_app_driver(args, model, (clip, label), optimizer, name="volumes", app_dir=utils.get_file_dir(__file__))
    if args.command == "run":
        first_epoch = load_checkpoint(args.init_ckpt_path, model, optimizer) if args.init_ckpt_path else 0
        utils.trace_graph(model, (clip, label), optimizer, pef=args.pef, mapping=args.mapping)
        if args.inference:
            infer(args, model)
            return
        if not args.test:
            train(args, model, optimizer, first_epoch)
        evaluate(args, model)


if __name__ == "__main__":
    sys.exit(run_program(main))
