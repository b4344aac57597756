# SPDX-License-Identifier: Apache-2.0
"""A recommender with a bfloat16 tower and a float32 head, trained at two rates and resumed from its own checkpoint.

Habits: two optimizers over disjoint parameters, a schedule that sends other hyperparameters each step, section types in
upper case, model.tower.bfloat16(), inputs of four dtypes, autocast around the host's evaluation and inside forward, the
whole model and both optimizers pickled by torch.save and taken up again, five outputs of which the third is the loss.
"""

import math
from pathlib import Path

import torch
import torch.nn as nn
import torch.nn.functional as F
from sambaflow import samba
from sambaflow.samba import utils
from sambaflow.samba.utils.argparser import parse_app_args
from sambaflow.samba.utils.benchmark_acc import AccuracyReport
from sambaflow.samba.utils.pef_utils import get_pefmeta


class Tower(nn.Module):
    def __init__(self, items, width):
        super().__init__()
        self.embedding = nn.Embedding(items, width)
        self.mix = nn.Linear(width + 3, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, item, facts):
        x = torch.cat((self.embedding(item), facts.to(self.mix.weight.dtype)), dim=-1)
        return self.norm(F.silu(self.mix(x)))


class Recommender(nn.Module):
    def __init__(self, items=40, width=16):
        super().__init__()
        self.tower = Tower(items, width).bfloat16()
        self.head = nn.Sequential(nn.Linear(width, width), nn.Tanh(), nn.Dropout(0.2), nn.Linear(width, 2))
        self.scale = nn.Parameter(torch.tensor(1.0))

    def forward(self, item, facts, weight, label):
        with torch.autocast("cpu", enabled=False):
            features = self.tower(item, facts).float()
            logits = self.head(features) * self.scale
        probabilities = logits.softmax(dim=-1)
        each = F.cross_entropy(logits, label, reduction="none")
        loss = (each * weight).mean()
        return probabilities, logits.argmax(dim=-1), loss, each.detach(), features.bfloat16()


def add_args(parser):
    parser.add_argument("-b", "--batch-size", type=int, default=16)
    parser.add_argument("--steps", type=int, default=3)


def rows(args, step):
    generator = torch.Generator().manual_seed(step)
    item = torch.randint(40, (args.batch_size,), generator=generator)
    facts = torch.randn(args.batch_size, 3, generator=generator, dtype=torch.float64)
    label = ((item % 5).double() + facts.sum(1) > 2).long()
    return {"item": item.int(), "facts": facts, "weight": 1.0 + (item % 2).to(torch.bfloat16), "label": label}


def tensors(args, step):
    return [samba.from_torch_tensor(tensor, name=name, batch_dim=0) for name, tensor in rows(args, step).items()]


def get_inputs(args):
    return (
        samba.randint(40, (args.batch_size,), dtype=torch.int32, name="item", batch_dim=0),
        samba.randn(args.batch_size, 3, name="facts", batch_dim=0).bfloat16().float(),
        samba.rand(args.batch_size, dtype=torch.bfloat16, name="weight", batch_dim=0),
        samba.randint(2, (args.batch_size,), name="label", batch_dim=0),
    )


def get_optimizers(model):
    slow = samba.optim.AdamW(model.tower.parameters(), lr=0.0, betas=(0.9, 0.99), eps=1e-3)
    fast = samba.optim.SGD([*model.head.parameters(), model.scale], lr=0.0, momentum=0.9)
    return [slow, fast]


def hyperparameters(step):
    return {"lr": 0.02 * (1 + math.cos(math.pi * step / 6)) / 2, "momentum": 0.5 + 0.05 * step, "weight_decay": 0.001,
            "p": 0.0}  # fmt: skip


def steps(args, traced, numbers):
    for step in numbers:
        probabilities, best, loss, each, _ = samba.session.run(
            input_tensors=tensors(args, step), output_tensors=traced, hyperparam_dict=hyperparameters(step),
            section_types=["FWD", "BCKWD", "OPT"],
        )  # fmt: skip
        assert probabilities.shape == (args.batch_size, 2) and best.dtype == torch.int64 and each.dim() == 1
        print(f"step {step} loss {loss.item():.3f}")


def evaluate(args, model):
    """Accuracy of the host's weights, under autocast."""
    data = rows(args, 99)
    data["facts"] = data["facts"].float()
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        probabilities, best = model.eval()(*data.values())[:2]
    model.train()
    assert float(samba.to_torch(probabilities).float().sum(1).sub(1).abs().max()) < 0.02
    return (best == data["label"]).float().mean().item()


def train(args, model, inputs, optimizers):
    traced = utils.trace_graph(model, inputs, optimizers, pef=args.pef, mapping=args.mapping)
    steps(args, traced, range(args.steps))
    samba.session.to_cpu(model)
    torch.save(model, "model.pth")
    torch.save([optimizer.state_dict() for optimizer in optimizers], "optimizers.pth")

    model = torch.load("model.pth", weights_only=False)
    samba.from_torch_model_(model)
    optimizers = get_optimizers(model)
    for optimizer, state in zip(optimizers, torch.load("optimizers.pth", weights_only=False), strict=True):
        optimizer.load_state_dict(state)
    traced = utils.trace_graph(model, inputs, optimizers, pef=args.pef, mapping=args.mapping)
    steps(args, traced, range(args.steps, 2 * args.steps))
    samba.session.to_cpu(model)
    accuracy = evaluate(args, model)
    AccuracyReport(val_accuracy=accuracy, batch_size=args.batch_size, num_iterations=2 * args.steps).save("acc.json")
    assert Path("acc.json").is_file() and 0 <= accuracy <= 1
    torch.save(model.state_dict(), "two_rates.pt")


def test(args, model, inputs, optimizers):
    traced = utils.trace_graph(model, inputs, optimizers, pef=args.pef, mapping=args.mapping)
    found = samba.session.run(inputs, traced, {"p": 0.0, "lr": 0.0}, ["FWD"])
    gold = model.eval()(*inputs)
    for name, ours, theirs in zip(("probabilities", "best", "loss", "each", "features"), found, gold, strict=True):
        assert ours.dtype == theirs.dtype, name
        utils.assert_close(ours.float(), theirs.float(), name, threshold=0.02, rtol=0.02)


def main():
    args = parse_app_args(common_parser_fn=add_args, dev_mode=True)
    utils.set_seed(8)
    model = Recommender()
    samba.from_torch_model_(model)
    inputs, optimizers = get_inputs(args), get_optimizers(model)
    if args.command == "compile":
        samba.session.compile(
            model, inputs, optimizers, name="two_rates", app_dir=utils.get_file_dir(__file__), config_dict=vars(args),
            pef_metadata=get_pefmeta(args, model),
        )  # fmt: skip
    elif args.command == "run":
        train(args, model, inputs, optimizers)
    elif args.command == "test":
        test(args, model, inputs, optimizers)
    else:
        utils.trace_graph(model, inputs, optimizers, pef=args.pef, mapping=args.mapping)
        utils.measure_performance(model, inputs, args.batch_size, use_sambaloader=True, json="measured.json",
                                  n_iterations=args.num_iterations)  # fmt: skip


if __name__ == "__main__":
    main()
