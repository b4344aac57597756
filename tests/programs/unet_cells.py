# SPDX-License-Identifier: Apache-2.0
"""A U-shaped segmentation net in the style of public U-Nets: batch norm, pooling, upsampling, skips by padding.

Habits: the loss alone is returned, flags -mbsize and -lr, config_dict without optimizer in --inference, host weights
loaded from a checkpoint between trace_graph and run (to_rdu), optimizer state restored, buffers checked after to_cpu.
"""

import os

import torch
import torch.nn as nn
import torch.nn.functional as F
from sambaflow import samba
from sambaflow.samba import utils
from sambaflow.samba.utils.argparser import parse_app_args
from sambaflow.samba.utils.pef_utils import get_pefmeta


def double_conv(inputs, outputs):
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
        nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class Up(nn.Module):
    def __init__(self, inputs, outputs, bilinear):
        super().__init__()
        if bilinear:
            self.up = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
        else:
            self.up = nn.ConvTranspose2d(inputs // 2, inputs // 2, 2, stride=2)
        self.conv = double_conv(inputs, outputs)

    def forward(self, x1, x2):
        x1 = self.up(x1)
        dy, dx = x2.size()[2] - x1.size()[2], x2.size()[3] - x1.size()[3]
        x1 = F.pad(x1, [dx // 2, dx - dx // 2, dy // 2, dy - dy // 2])
        return self.conv(torch.cat([x2, x1], dim=1))


class UNet(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.inc = double_conv(1, width)
        self.down1 = nn.Sequential(nn.MaxPool2d(2), double_conv(width, 2 * width))
        self.down2 = nn.Sequential(nn.MaxPool2d(2), double_conv(2 * width, 2 * width))
        self.up1 = Up(4 * width, width, bilinear=True)
        self.up2 = Up(2 * width, width, bilinear=False)
        self.outc = nn.Conv2d(width, 1, 1)
        self.loss = nn.BCEWithLogitsLoss()

    def forward(self, image, mask):
        x1 = self.inc(image)
        x2 = self.down1(x1)
        x3 = self.down2(x2)
        return self.loss(self.outc(self.up2(self.up1(x3, x2), x1)), mask)


def add_args(parser):
    parser.add_argument("-mbsize", type=int, default=4)
    parser.add_argument("-lr", type=float, default=0.05)
    parser.add_argument("--resume", default="")


def cells(batch, step):
    generator = torch.Generator().manual_seed(step)
    smooth = F.interpolate(torch.randn(batch, 1, 5, 5, generator=generator), size=(18, 18), mode="bicubic")
    return smooth + 0.2 * torch.randn(batch, 1, 18, 18, generator=generator), (smooth > 0).float()


def train(args, model, optim, traced, steps):
    for step in steps:
        image, mask = cells(args.mbsize, step)
        fed = [samba.from_torch_tensor(image, name="image"), samba.from_torch_tensor(mask, name="mask")]
        outputs = samba.session.run(fed, traced, hyperparam_dict={"lr": args.lr})
        print(f"iteration {step}: {outputs[0].item():.6f}")
    samba.session.to_cpu(model)
    torch.save({"net": model.state_dict(), "opt": optim.state_dict(), "step": step + 1}, "checkpoint.pt")


def main():
    args = parse_app_args(dev_mode=True, common_parser_fn=add_args)
    utils.set_seed(21)
    model = UNet()
    samba.from_torch_model_(model)
    inputs = (
        samba.randn(args.mbsize, 1, 18, 18, name="image", batch_dim=0),
        samba.rand(args.mbsize, 1, 18, 18, name="mask", batch_dim=0),
    )
    optim = samba.optim.SGD(model.parameters(), lr=0.0, momentum=0.9, nesterov=True)
    if args.command == "compile":
        meta = get_pefmeta(args, model)
        samba.session.compile(model, inputs, optim, name="unet", config_dict=vars(args), pef_metadata=meta)
        return
    traced = utils.trace_graph(model, inputs, optim, pef=args.pef, mapping=args.mapping)
    if args.command == "run":
        train(args, model, optim, traced, range(4))
        utils.set_seed(5)
        for parameter in model.parameters():
            torch.nn.init.normal_(samba.to_torch(parameter).data)
        saved = torch.load(os.path.join(".", "checkpoint.pt"))
        model.load_state_dict(saved["net"])
        optim.load_state_dict(saved["opt"])
        samba.session.to_rdu(model)
        train(args, model, optim, traced, range(saved["step"], saved["step"] + 3))
    elif args.command == "test":
        found = samba.session.run(inputs, traced, section_types=["FWD"])[0]
        utils.assert_close(found, model(*inputs), "loss", threshold=1e-4)
    else:
        utils.measure_performance(
            model=model, inputs=inputs, batch_size=args.mbsize, n_chips=1, inference=args.inference, n_iterations=5
        )


if __name__ == "__main__":
    main()
