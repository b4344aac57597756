# SPDX-License-Identifier: Apache-2.0
"""A vision transformer from torch's own encoder layers, with a class token.

Habits: nn.TransformerEncoderLayer and nn.MultiheadAttention with dropout set by p at run, parameters of shapes of
their own that are expanded, --inference with a dummy label, torch.no_grad around run, AccuracyReport, -b=8 spelling.
"""

import torch
import torch.nn as nn
from sambaflow import samba
from sambaflow.samba import utils
from sambaflow.samba.utils.argparser import parse_app_args
from sambaflow.samba.utils.benchmark_acc import AccuracyReport
from sambaflow.samba.utils.common import common_app_driver


class VisionTransformer(nn.Module):
    def __init__(self, width=24, classes=5, dropout=0.1):
        super().__init__()
        self.patch_embed = nn.Conv2d(3, width, kernel_size=4, stride=4)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(0.02 * torch.randn(1, 17, width))
        layer = nn.TransformerEncoderLayer(width, 4, 2 * width, dropout, "gelu", batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.pool = nn.MultiheadAttention(width, 2, batch_first=True)
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Dropout(dropout), nn.Linear(width, classes))
        self.criterion = nn.CrossEntropyLoss(label_smoothing=0.1)

    def forward(self, image, label):
        x = self.patch_embed(image).flatten(2).transpose(1, 2)
        x = torch.cat((self.cls_token.expand(x.shape[0], -1, -1), x), dim=1) + self.pos_embed
        x = self.encoder(x)
        pooled, _ = self.pool(x[:, :1], x, x, need_weights=False)
        out = self.head(pooled.squeeze(1))
        return self.criterion(out, label), out


def options(parser):
    parser.add_argument("-b", "--batch-size", type=int, default=16)
    parser.add_argument("-e", "--num-epochs", type=int, default=2)


def pictures(batch, step):
    generator = torch.Generator().manual_seed(step)
    label = torch.randint(5, (batch,), generator=generator)
    return torch.randn(batch, 3, 16, 16, generator=generator) + label.view(-1, 1, 1, 1) / 5, label


def main():
    args = parse_app_args(common_parser_fn=options, run_parser_fn=options)
    utils.set_seed(3)
    model = VisionTransformer()
    samba.from_torch_model_(model)
    image = samba.randn(args.batch_size, 3, 16, 16, name="image", batch_dim=0)
    label = samba.randint(5, (args.batch_size,), name="label", batch_dim=0)
    optim = None if args.inference else samba.optim.SGD(model.parameters(), lr=0.0, momentum=0.9, weight_decay=1e-4)
    common_app_driver(args=args, model=model, inputs=(image, label), optim=optim, name=model.__class__.__name__)
    if args.command != "run":
        return
    utils.trace_graph(model, [image, label], optim, pef=args.pef, mapping=args.mapping)
    right = 0
    for epoch in range(args.num_epochs):
        for step in range(5):
            images, labels = pictures(args.batch_size, 10 * epoch + step)
            image.data, label.data = images, labels
            with torch.no_grad():
                loss, out = samba.session.run(
                    (image, label),
                    model.output_tensors,
                    hyperparam_dict={"lr": 0.05 * 0.9**epoch, "momentum": 0.9, "weight_decay": 1e-4, "p": 0.0},
                )
            right += int((out.torch().argmax(1) == labels).sum())
        print(f"epoch {epoch}: loss {samba.to_torch(loss).item():.5f}")
    if args.acc_report_json:
        AccuracyReport(val_accuracy=right / 10 / args.batch_size, batch_size=args.batch_size, num_iterations=10).save(
            args.acc_report_json
        )
    samba.session.to_cpu(model)
    torch.save(model.state_dict(), "vit.pt")


if __name__ == "__main__":
    main()
