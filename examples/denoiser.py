# SPDX-License-Identifier: Apache-2.0
"""A U-shaped network that takes noise out of images: batch norm, upsampling, skip connections.

    python denoiser.py compile --pef-name denoiser
    python denoiser.py run --pef out/denoiser/denoiser.pef --data-dir DIR -n 300
    python denoiser.py compile --pef-name cleaner --inference
    python denoiser.py run --pef out/cleaner/cleaner.pef --inference --data-dir DIR --init-ckpt-path CHECKPOINT
    python denoiser.py test --pef out/denoiser/denoiser.pef
    python denoiser.py measure-performance --pef out/denoiser/denoiser.pef

Images come from DIR (IDX files, such as MNIST) or are scikit-learn's handwritten digits; normal noise is added to them.
Batch norm uses the statistics of the batch while it trains and those that it gathered afterwards, which is why there
are two PEFs: one to train with and one, compiled for inference, to measure and to use.
"""

import copy
import os
import sys

from common.options import real, test_options, whole
from common.program import help_at_once, run_program
from sambaflow.samba.utils.argparser import parse_app_args


def common_options(parser):
    parser.add_argument("-b", "--batch-size", type=whole(1), default=32, help="images a step")
    parser.add_argument("--width", type=whole(1), default=8, help="channels of the widest level")
    parser.add_argument("--seed", type=whole(0), default=256, help="seed of weights, order and noise")


def run_options(parser):
    parser.add_argument("--data-dir", help="folder of IDX files; without it scikit-learn's digits are used")
    parser.add_argument("-n", "--num-steps", type=whole(0), default=300, help="steps to train in all")
    parser.add_argument("--lr", type=real(), default=0.01, help="learning rate")
    parser.add_argument("--noise", type=real(), default=0.8, help="standard deviation of the noise")
    parser.add_argument("--ckpt-path", help="checkpoint to write (default: denoiser.pt beside the PEF)")
    parser.add_argument("--init-ckpt-path", help="checkpoint to start from")
    parser.add_argument("--noisy", action="store_true", help="--inference: the images are noisy already, restore them")
    parser.add_argument("--results-path", help="file of restored images (default: restored.npy beside the PEF)")


OPTIONS = {
    "common_parser_fn": common_options,
    "run_parser_fn": run_options,
    "test_parser_fn": test_options,
}
if __name__ == "__main__":
    help_at_once(**OPTIONS)

import torch
import torch.nn as nn
from common.compare import compare
from common.data import batches_in_order, load_split
from common.files import load_checkpoint, save_checkpoint, write_array
from common.progress import progress
from common.timing import measure
from sambaflow import samba
from sambaflow.samba import utils
from sambaflow.samba.utils.pef_utils import get_pefmeta

SHAPE = (1, 28, 28)


def conv_block(inputs: int, outputs: int) -> nn.Sequential:
    """Convolution, batch norm, ReLU. The norm would take away a bias again, so there is none."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU())


class Denoiser(nn.Module):
    """28 -> 14 -> 7 -> 14 -> 28 with skips between equal sizes; predicts the noise and returns loss and clean image."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.enter = conv_block(1, width)
        self.pool1 = nn.MaxPool2d(2)
        self.down = conv_block(width, 2 * width)
        self.pool2 = nn.MaxPool2d(2)
        self.middle = conv_block(2 * width, 2 * width)
        self.up1 = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
        self.join1 = conv_block(4 * width, width)
        self.up2 = nn.Upsample(scale_factor=2, mode="nearest")
        self.join2 = conv_block(2 * width, width)
        self.leave = nn.Conv2d(width, 1, 1)
        self.criterion = nn.MSELoss()

    def forward(self, noisy: torch.Tensor, clean: torch.Tensor):
        wide = self.enter(noisy)
        half = self.down(self.pool1(wide))
        deep = self.middle(self.pool2(half))
        x = self.join1(torch.cat([self.up1(deep), half], dim=1))
        x = self.join2(torch.cat([self.up2(x), wide], dim=1))
        restored = noisy - self.leave(x)
        return self.criterion(restored, clean), restored


def batch_of(args, images, step):
    """The noisy and the clean images of a step: a function of seed and step, so a resumed run meets the same ones."""
    generator = torch.Generator().manual_seed(args.seed * 1_000_003 + step)
    clean = images[torch.randint(len(images), (args.batch_size,), generator=generator)]
    return clean + args.noise * torch.randn(clean.shape, generator=generator), clean


def named_inputs(noisy, clean):
    noisy = samba.from_torch_tensor(noisy, name="noisy", batch_dim=0)
    return [noisy, samba.from_torch_tensor(clean, name="clean", batch_dim=0)]


def train(args, model, optimizer, first_step):
    images = load_split(args.data_dir, train=True).images
    losses = []
    for step in progress(range(first_step, args.num_steps), args.num_steps - first_step, "training", losses):
        loss, _ = samba.session.run(
            input_tensors=named_inputs(*batch_of(args, images, step)),
            output_tensors=model.output_tensors,
            hyperparam_dict={"lr": args.lr},
        )
        losses.append(samba.to_torch(loss))
        if (step + 1) % 100 == 0:
            print(f"step {step + 1}: loss {float(torch.stack(losses[-100:]).mean()):.4f}", flush=True)
    path = args.ckpt_path or os.path.join(os.path.dirname(os.path.abspath(args.pef)), "denoiser.pt")
    samba.session.to_cpu(model)
    save_checkpoint(path, model, optimizer, args.num_steps)
    print(f"checkpoint: {path}")


def restore_batch(model, noisy, clean):
    _, restored = samba.session.run(named_inputs(noisy, clean), model.output_tensors, section_types=["fwd"])
    return samba.to_torch(restored)


def restore(args, model):
    """Restores noisy test images: with --noisy all of them as they are, else some with noise that is put on them."""
    path = args.results_path or os.path.join(os.path.dirname(os.path.abspath(args.pef)), "restored.npy")
    data = load_split(args.data_dir, train=False, need_labels=False)
    if args.noisy:
        pieces = [restore_batch(model, noisy, noisy) for noisy, _ in batches_in_order(data, args.batch_size)]
        write_array(path, torch.cat(pieces).numpy())
        print(f"restored {len(data)} images in {path}")
        return
    pieces, before, after = [], 0.0, 0.0
    steps = range(min(8, len(data) // args.batch_size))
    for step in steps:
        noisy, clean = batch_of(args, data.images, step)
        pieces.append(restore_batch(model, noisy, clean))
        before += float((noisy - clean).square().mean()) / len(steps)
        after += float((pieces[-1] - clean).square().mean()) / len(steps)
    write_array(path, torch.cat(pieces).numpy())
    print(f"mean squared error: noisy {before:.4f}, restored {after:.4f}; images in {path}")


def main():
    args = parse_app_args(**OPTIONS)
    utils.set_seed(args.seed)
    model = Denoiser(args.width)
    reference = copy.deepcopy(model)
    samba.from_torch_model_(model)
    noisy = samba.randn(args.batch_size, *SHAPE, name="noisy", batch_dim=0)
    inputs = (noisy, samba.randn(args.batch_size, *SHAPE, name="clean", batch_dim=0))
    optimizer = None if args.inference else samba.optim.SGD(model.parameters(), lr=0.0, momentum=0.9)

    if args.command == "compile":
        samba.session.compile(
            model,
            inputs,
            optimizer,
            name="denoiser",
            app_dir=utils.get_file_dir(__file__),
            config_dict=vars(args),
            pef_metadata=get_pefmeta(args, model),
        )
    elif args.command == "run":
        first_step = load_checkpoint(args.init_ckpt_path, model, optimizer) if args.init_ckpt_path else 0
        utils.trace_graph(model, inputs, optimizer, pef=args.pef, mapping=args.mapping)
        restore(args, model) if args.inference else train(args, model, optimizer, first_step)
    elif args.command == "test":
        compare(args, model, reference, inputs, optimizer)
    else:
        measure(args, model, reference, inputs, optimizer)


if __name__ == "__main__":
    sys.exit(run_program(main))
