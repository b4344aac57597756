# SPDX-License-Identifier: Apache-2.0
"""A program that feeds what programs feed: float64 data, (100, 1) where (100) was traced, a small last batch, dicts.

Its options collide with those of the SDK and must win; single-dash long flags are not the short ones.
"""

import torch
import torch.nn as nn
from sambaflow import samba
from sambaflow.samba import utils
from sambaflow.samba.utils.argparser import parse_app_args


class Scorer(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(6, 1)

    def forward(self, rows, target):
        score = self.layer(rows).squeeze(1)
        return ((score - target) ** 2).mean(), score


def common_args(parser):
    parser.add_argument("-bs", type=int, default=100)
    parser.add_argument("-lr", type=float, default=0.1)
    parser.add_argument("--world-size", type=str, default="large")
    parser.add_argument("--visualize", type=str, default="never")
    parser.add_argument("--h", type=int, default=7)


def run_args(parser):
    common_args(parser)
    parser.add_argument("-n", "--num-iterations", type=int, default=3)
    parser.add_argument("--data-dir", default="data")


def score(rows, target, traced, **options):
    batch = [samba.from_torch_tensor(rows, name="rows"), samba.from_torch_tensor(target, name="target")]
    found = samba.session.run(input_tensors=batch, output_tensors=traced, section_types=["fwd"], **options)
    return samba.to_torch(found[1])


def inputs_of(named):
    """Named tensors by name, whether they come as a list or as a dict."""
    return {tensor.sn_name: tensor for tensor in (named.values() if isinstance(named, dict) else named)}


def check(args, model, traced):
    weight, bias = (samba.to_torch(p).detach().double() for p in model.parameters())
    rows, target = torch.randn(args.bs, 6, dtype=torch.float64), torch.randn(args.bs)
    expected = (rows @ weight.t() + bias).squeeze(1)
    assert torch.allclose(score(rows, target, traced).double(), expected, atol=1e-5)
    assert torch.allclose(score(rows.float(), target.reshape(-1, 1), traced).double(), expected, atol=1e-5)
    assert torch.allclose(
        score(rows.float(), target.reshape(1, -1).expand(1, -1), traced).double(), expected, atol=1e-5
    )
    few = score(rows[:37].float(), target[:37], traced)
    assert few.shape == (37,) and torch.allclose(few.double(), expected[:37], atol=1e-5)
    transposed = rows.float().t().contiguous().t()
    assert torch.allclose(score(transposed, target, traced).double(), expected, atol=1e-5)
    named = samba.from_named_dict({"target": target, "rows": rows.float()})
    loss, out = samba.session.run(named, traced, section_types=["fwd"])
    assert torch.allclose(samba.to_torch(out).double(), expected, atol=1e-5)
    in_dict = {"rows": samba.from_torch_tensor(rows.float(), name="rows"), "target": inputs_of(named)["target"]}
    first = samba.session.run(input_tensors=in_dict, output_tensors=traced[0], section_types=["fwd"])
    assert len(first) == 1 and abs(float(first[0]) - float(loss)) < 1e-6


def main():
    args = parse_app_args(common_parser_fn=common_args, run_parser_fn=run_args)
    assert args.world_size == "large" and args.visualize == "never" and args.h == 9, args
    utils.set_seed(3)
    model = Scorer()
    samba.from_torch_(model)
    inputs = (samba.randn(args.bs, 6, name="rows", batch_dim=0), samba.randn(args.bs, name="target", batch_dim=0))
    optimizer = samba.optim.SGD(model.parameters(), lr=args.lr)
    if args.command == "compile":
        samba.session.compile(model=model, inputs=inputs, optimizers=optimizer, name="scorer", config_dict=vars(args))
    elif args.command == "run":
        check(args, model, utils.trace_graph(model, inputs, optimizer, pef=args.pef, mapping=args.mapping))
        print("passed")


if __name__ == "__main__":
    main()
