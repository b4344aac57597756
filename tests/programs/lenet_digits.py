# SPDX-License-Identifier: Apache-2.0
"""LeNet on small pictures, in the manner of the vendor's tutorial.

Habits: -b and -e redefined, learning rate 0 in the optimizer and the real one in each step, bf16().float() dummies,
outputs from model.output_tensors, state dicts saved after to_cpu, a smaller last test batch, SambaTensors in torch.max.
"""

import argparse
import os

import sambaflow.samba as samba
import sambaflow.samba.utils as utils
import torch
import torch.nn as nn
from sambaflow import __version__
from sambaflow.samba.utils.argparser import parse_app_args
from sambaflow.samba.utils.pef_utils import get_pefmeta


class LeNet(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.state = {}
        self.conv1 = nn.Conv2d(1, 6, kernel_size=5, padding=2)
        self.pool1 = nn.MaxPool2d(kernel_size=2, stride=2)
        self.conv2 = nn.Conv2d(6, 16, kernel_size=3)
        self.pool2 = nn.MaxPool2d(kernel_size=2, stride=2)
        self.fc1 = nn.Linear(16 * 3 * 3, 40)
        self.fc2 = nn.Linear(40, num_classes)
        self.criterion = nn.CrossEntropyLoss()

    def forward(self, x, labels):
        x = self.pool1(self.conv1(x).relu())
        x = self.pool2(self.conv2(x).relu())
        x = torch.reshape(x, [x.shape[0], -1])
        x = self.fc1(x).relu()
        out = self.fc2(x)
        return self.criterion(out, labels), out


def add_args(parser: argparse.ArgumentParser):
    parser.add_argument("-b", "--batch-size", type=int, default=32, metavar="N")
    parser.add_argument("--num-classes", type=int, default=4)
    parser.add_argument("--seed", type=int, default=42)


def add_run_args(parser: argparse.ArgumentParser):
    parser.add_argument("-e", "--num-epochs", type=int, default=2)
    parser.add_argument("--lr", type=float, default=0.05)
    parser.add_argument("--momentum", type=float, default=0.9)
    parser.add_argument("--weight-decay", type=float, default=1e-4)
    parser.add_argument("--ckpt-dir", default=".")
    parser.add_argument("--init-ckpt-path", default="")


def get_inputs(args):
    image = samba.randn(args.batch_size, 1, 16, 16, name="image", batch_dim=0).bfloat16().float()
    label = samba.randint(args.num_classes, (args.batch_size,), name="label", batch_dim=0)
    image.host_memory = False
    label.host_memory = False
    return image, label


class Blobs(torch.utils.data.Dataset):
    """Pictures with one bright quarter, which is the class."""

    def __init__(self, count, seed):
        generator = torch.Generator().manual_seed(seed)
        self.labels = torch.randint(4, (count,), generator=generator)
        self.images = torch.randn(count, 1, 16, 16, generator=generator)
        for image, label in zip(self.images, self.labels, strict=True):
            row, column = divmod(int(label), 2)
            image[:, 8 * row : 8 * row + 8, 8 * column : 8 * column + 8] += 1

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        return self.images[index], self.labels[index]


def test_accuracy(args, model):
    correct = total = 0
    for images, labels in torch.utils.data.DataLoader(Blobs(100, seed=9), batch_size=args.batch_size):
        sn_images = samba.from_torch_tensor(images, name="image", batch_dim=0)
        sn_labels = samba.from_torch_tensor(labels, name="label", batch_dim=0)
        _, outputs = samba.session.run(
            input_tensors=(sn_images, sn_labels),
            output_tensors=model.output_tensors,
            hyperparam_dict={"lr": 0.0, "momentum": 0.0},
            section_types=["fwd"],
        )
        _, predicted = torch.max(outputs.data, 1)
        total += labels.size(0)
        correct += (predicted == sn_labels).sum().item()
    print(f"Test Accuracy: {100.0 * correct / total:.2f}")


def train(args, model, optimizer):
    loader = torch.utils.data.DataLoader(Blobs(320, seed=1), batch_size=args.batch_size, drop_last=True)
    hyper = {"lr": args.lr, "momentum": args.momentum, "weight_decay": args.weight_decay}
    for epoch in range(args.num_epochs):
        avg_loss = 0.0
        for images, labels in loader:
            sn_images = samba.from_torch_tensor(images, name="image", batch_dim=0)
            sn_labels = samba.from_torch_tensor(labels, name="label", batch_dim=0)
            loss, outputs = samba.session.run(
                input_tensors=[sn_images, sn_labels],
                output_tensors=model.output_tensors,
                hyperparam_dict=hyper,
                data_parallel=args.data_parallel,
                reduce_on_rdu=args.reduce_on_rdu,
            )
            avg_loss += samba.to_torch(loss).mean()
        print(f"Epoch [{epoch + 1}/{args.num_epochs}], Loss: {avg_loss / len(loader):.5f}")
    test_accuracy(args, model)
    samba.session.to_cpu(model)
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
    torch.save(state, os.path.join(args.ckpt_dir, "lenet.pt"))


def test(args, model, inputs, outputs):
    gold = model(*inputs)
    results = samba.session.run(
        input_tensors=inputs, output_tensors=outputs, hyperparam_dict={"lr": 0.1}, section_types=["fwd", "bckwd", "opt"]
    )
    for name, a, b in zip(["loss", "logits"], gold, results, strict=True):
        utils.assert_close(a, b, name, threshold=1e-4, visualize=args.visualize)
    samba.to_torch(gold[0]).backward()
    for name, parameter in model.named_parameters():
        utils.assert_close(parameter.grad, parameter.sn_grad, f"gradient of {name}", threshold=1e-4)


def main():
    args = parse_app_args(dev_mode=True, common_parser_fn=add_args, run_parser_fn=add_run_args)
    utils.set_seed(args.seed)
    model = LeNet(args.num_classes)
    samba.from_torch_model_(model)
    inputs = get_inputs(args)
    optimizer = samba.optim.SGD(model.parameters(), lr=0.0) if not args.inference else None
    if args.command == "compile":
        print(f"SambaFlow {__version__}")
        samba.session.compile(
            model,
            inputs,
            optimizer,
            name="lenet",
            app_dir=utils.get_file_dir(__file__),
            squeeze_bs_dim=True,
            config_dict=vars(args),
            pef_metadata=get_pefmeta(args, model),
        )
    elif args.command == "test":
        outputs = utils.trace_graph(model, inputs, optimizer, pef=args.pef, mapping=args.mapping)
        test(args, model, inputs, outputs)
    elif args.command == "run":
        if args.init_ckpt_path:
            checkpoint = torch.load(args.init_ckpt_path)
            model.load_state_dict(checkpoint["model"])
            optimizer.load_state_dict(checkpoint["optimizer"])
        utils.trace_graph(model, inputs, optimizer, pef=args.pef, mapping=args.mapping)
        train(args, model, optimizer)
    elif args.command == "measure-performance":
        utils.trace_graph(model, inputs, optimizer, pef=args.pef, mapping=args.mapping)
        utils.measure_performance(
            model,
            inputs,
            args.batch_size,
            args.n_chips,
            args.inference,
            run_graph_only=args.run_graph_only,
            n_iterations=args.num_iterations,
            json=args.bench_report_json,
            compiled_stats_json=args.compiled_stats_json,
            data_parallel=args.data_parallel,
            reduce_on_rdu=args.reduce_on_rdu,
            min_duration=args.min_duration,
        )


if __name__ == "__main__":
    main()
